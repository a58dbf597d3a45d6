"""Compare schedulers on the same groups.

metis compare groups.path=groups.npz groups.rows=0:10 schedulers=[optimum,greedy,greedy+local_search]
metis compare group.size=400 cluster.nodes=81 simulator=forest output=json
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from baselines.registry import check_name
from flows.build import knows_truth, make_groups, make_testbed, tabulated
from flows.compose import compose_plain
from flows.console import comparison_table, progress_bar, stdout
from flows.materials import fitted_simulator, weights_for
from flows.output import only_json
from flows.placing import OPTIMUM, judge, place_groups, place_optima, scheduler_for
from flows.settings import Settings, validated
from flows.steps import all_schedulers
from flows.work import Progress


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    settings = validated(compose_plain(arguments))
    with only_json(settings.output == "json") as answer:
        with progress_bar() as progress:
            results = compare(settings, progress)
        if OPTIMUM not in settings.schedulers:
            results = results[results["scheduler"] != OPTIMUM]
        if settings.output == "json":
            answer({"schedulers": as_json(results)})
        else:
            stdout.print(comparison_table(results, title_of(settings, results)))
    return 0


def compare(settings: Settings, progress: Progress) -> pd.DataFrame:
    """Place every group with every scheduler; one row each, see `flows.placing.judge`."""
    tables = fitted_simulator(settings).tables
    groups = make_groups(settings, tables.space.apps)
    # a mistyped name or testbed must not be found out after a minute of work
    truth = make_testbed(settings).truth(tabulated(settings)) if knows_truth(settings) else None
    names = [check_name(name) for name in all_schedulers(settings)]
    weights = weights_for(settings, tables, progress)
    schedulers = {name: scheduler_for(settings, name, tables, weights) for name in names}
    decisions = {}
    for name, scheduler in schedulers.items():

        def tell(done: int, total: int, name: str = name) -> None:
            progress(name, done, total)

        decisions[name] = place_groups(scheduler, settings, tables, groups, tell)
    true_optimum = None if truth is None else place_optima(settings, truth, groups, progress)
    return judge(decisions, settings, tables, groups, truth, true_optimum)


def as_json(results: pd.DataFrame) -> dict[str, Any]:
    """Mean, median and least of RPS and ratio, mean and most of seconds, per scheduler."""
    answer: dict[str, Any] = {}
    for name, rows in results.groupby("scheduler", sort=False):
        measures = [m for m in ("rps", "ratio", "true_rps", "true_ratio") if m in rows]
        answer[str(name)] = {m: _spread(rows[m]) for m in measures}
        seconds = rows["seconds"]
        answer[str(name)]["seconds"] = {"mean": float(seconds.mean()), "max": float(seconds.max())}
    return answer


def title_of(settings: Settings, results: pd.DataFrame) -> str:
    """What was compared, in one line."""
    groups = results["group"].nunique()
    plural = "s" if groups > 1 else ""
    return f"{groups} group{plural} on {settings.cluster.nodes} nodes, objective {settings.objective.kind}"


def _spread(column: "pd.Series[float]") -> dict[str, float]:
    return {"mean": float(column.mean()), "median": float(column.median()), "min": float(column.min())}
