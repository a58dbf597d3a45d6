"""Placing many groups with one scheduler, and judging placements: shared by the chain and by the verbs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from baselines.registry import Materials, make_scheduler, sections_of, timed_place
from flows.build import make_cluster, make_objective
from flows.settings import Settings
from metis.errors import InputError
from metis.files import load_arrays, save_arrays
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.evaluation import evaluate, gap, value
from metis.problem.scheduler import Decision, Scheduler
from metis.problem.tables import Tables

if TYPE_CHECKING:
    import pandas as pd

    from flows.work import Progress

OPTIMUM = "optimum"
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Decisions:
    """What one scheduler decided for every group.

    Attributes:
        placements: int [groups, nodes, apps], new containers.
        seconds: wall time of each decision after one warm-up, [groups].
        traces: what the scheduler wanted remembered, per group.
    """

    placements: IntArray
    seconds: np.ndarray[Any, np.dtype[np.float64]]
    traces: Sequence[Mapping[str, Any]]

    def save(self, path: Path, groups: IntArray) -> None:
        """Write placements and seconds as `.npz`."""
        save_arrays(path, {"placements": self.placements, "seconds": self.seconds, "groups": groups})

    @classmethod
    def load(cls, path: Path, traces: Sequence[Mapping[str, Any]]) -> "Decisions":
        """Read what `save` wrote."""
        stored = load_arrays(path)
        return cls(stored["placements"], stored["seconds"], traces)


def scheduler_options(settings: Settings, name: str) -> dict[str, dict[str, Any]]:
    """The sections of settings that a scheduler reads."""
    everything = settings.model_dump(mode="json")
    return {section: everything[section] for section in sections_of(name)}


def scheduler_for(
    settings: Settings, name: str, tables: Tables, weights: Callable[[str], Any] | None = None
) -> Scheduler:
    """The scheduler called `name` under these settings; `weights` gives those of a learner by its name."""
    options = scheduler_options(settings, name)
    return make_scheduler(name, Materials(tables, options, settings.seed, weights))


def place_groups(
    scheduler: Scheduler,
    settings: Settings,
    tables: Tables,
    groups: IntArray,
    tell: Tell | None = None,
    *,
    timed: bool = True,
) -> Decisions:
    """Place each of `groups` [groups, apps] on the same cluster; where `timed`, the first one warms up.

    With `groups.arrive` they come one after another, and what was placed before stays.
    """
    cluster = make_cluster(settings, tables.space)
    objective = make_objective(settings)
    made: list[Decision] = []
    for i, group in enumerate(groups):
        worth = objective.bind(group, cluster, tables)
        place = partial(timed_place, scheduler) if timed and not i else scheduler.place
        made.append(place(group, cluster, worth))
        if settings.groups.arrive:
            cluster = replace(cluster, existing=cluster.existing + made[-1].placement)
        if tell:
            tell(i + 1, len(groups))
    return Decisions(
        np.stack([decision.placement for decision in made]),
        np.array([decision.seconds for decision in made]),
        [decision.trace for decision in made],
    )


def place_optima(settings: Settings, truth: Tables, groups: IntArray, progress: "Progress") -> Decisions:
    """The exact optimum of every group on the testbed's tables; nobody asks for its seconds."""
    return place_groups(
        scheduler_for(settings, OPTIMUM, truth),
        settings,
        truth,
        groups,
        lambda done, total: progress("true optimum", done, total),
        timed=False,
    )


def joined(parts: Sequence[Decisions]) -> Decisions:
    """The decisions for groups that were placed in parts, in order."""
    return Decisions(
        np.concatenate([part.placements for part in parts]),
        np.concatenate([part.seconds for part in parts]),
        [trace for part in parts for trace in part.traces],
    )


def judge(
    decisions: Mapping[str, Decisions],
    settings: Settings,
    tables: Tables,
    groups: IntArray,
    truth: Tables | None = None,
    true_optimum: Decisions | None = None,
) -> "pd.DataFrame":
    """One row per scheduler and group.

    Columns: scheduler, group, rps, value, bound, ratio (value / the optimum's value), gap (1 - value /
    bound), seconds, free_nodes, slo_<level>; with a testbed also true_rps, true_value and true_ratio; with
    `medea.ends` worst and best, the values between which Medea is indifferent.

    Args:
        decisions: by scheduler; `optimum` must be among them.
        settings: cluster and objective.
        tables: the simulator's.
        groups: int [groups, apps].
        truth: the testbed's tables.
        true_optimum: the optimum's decisions on `truth`.
    """
    import pandas as pd  # slow to import, and placing alone does not need it

    if truth is not None and truth.space != tables.space:
        raise InputError(
            f"testbed: measures {list(truth.space.apps)} on {truth.space.slots} slots, "
            f"the profile {list(tables.space.apps)} on {tables.space.slots}; both must be alike"
        )
    objective = make_objective(settings)
    rows = []
    for i, group in enumerate(groups):
        for name, decided in decisions.items():
            cluster = met_by(decided, i, settings, tables)
            worth = objective.bind(group, cluster, tables)
            best, bound = _optimum_of(decisions[OPTIMUM], i, group, cluster, worth, settings)
            true_worth = None if truth is None else objective.bind(group, cluster, truth)
            true_best = None
            if truth is not None and true_worth is not None:
                true_best, _ = _optimum_of(true_optimum, i, group, cluster, true_worth, settings)
            placement = decided.placements[i]
            judged = evaluate(placement, cluster, tables, worth)
            row: dict[str, Any] = {
                "scheduler": name,
                "group": i,
                "rps": judged.rps,
                "value": judged.value,
                "bound": bound,
                "ratio": ratio(judged.value, best),
                "gap": gap(judged.value, bound),
                "seconds": float(decided.seconds[i]),
                "free_nodes": judged.free_nodes,
                **{f"slo_{level}": share for level, share in judged.slo.items()},
            }
            ends = {name: decided.traces[i][name] for name in ("worst", "best") if name in decided.traces[i]}
            row |= ends
            if truth is not None and true_worth is not None:
                real = evaluate(placement, cluster, truth, true_worth)
                row |= {"true_rps": real.rps, "true_value": real.value}
                if true_best is not None:
                    row["true_ratio"] = ratio(real.value, true_best)
            rows.append(row)
    return pd.DataFrame(rows)


def met_by(decided: Decisions, i: int, settings: Settings, tables: Tables) -> Cluster:
    """The cluster that group i met: where groups arrive, with what the same scheduler placed before."""
    start = make_cluster(settings, tables.space)
    if not settings.groups.arrive:
        return start
    return replace(start, existing=start.existing + decided.placements[:i].sum(axis=0))


def _optimum_of(
    known: Decisions | None,
    i: int,
    group: IntArray,
    cluster: Cluster,
    worth: FloatArray,
    settings: Settings,
) -> tuple[float, float]:
    """Value and bound of the optimum for group i on this very cluster: known, or solved now."""
    if known is not None and not settings.groups.arrive:
        placement, bound = known.placements[i], float(known.traces[i]["bound"])
    else:
        from baselines.optimum import place_optimum

        placement, trace = place_optimum(group, cluster, worth, settings.optimum.made())
        bound = float(trace["bound"])
    reached = value(placement, cluster, worth)
    return reached, max(bound, reached)


def ratio(reached: float, best: float) -> float:
    """`reached` as a share of `best`; 1 where both are 0."""
    return reached / best if best > 0 else 1.0
