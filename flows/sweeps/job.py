"""One job of a sweep: a run of the chain below the sweep's MLflow run, in any process."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from flows.configuration.settings import Settings, validated
from flows.engine.console import progress_lines, say
from flows.engine.memo import Outcome
from flows.engine.runs import ABOUT
from flows.engine.startup import go_easy_on_garbage
from flows.engine.store import Store
from flows.engine.work import Progress, read_json
from metis.errors import MetisError
from metis.files import written_whole

if TYPE_CHECKING:
    import pandas as pd

PARENT = "METIS_SWEEP_PARENT"
NAME_SHOWN = 40  # letters of a job's name that begin a line of progress
RESULTS, CURVES = "results.csv", "curves.csv"


def job(composed: Any) -> float:
    """Run one job as Hydra calls it; return the mean ratio to the optimum, which Optuna may maximise."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(composed, resolve=True)
    settings = validated({str(key): value for key, value in plain.items()})
    return run_job(os.environ[PARENT], settings, list(HydraConfig.get().overrides.task))


def run_job(
    parent: str, settings: Settings, words: Sequence[str], place: str = "", command: str = "metis run"
) -> float:
    """Run one job below the MLflow run `parent`; return its mean ratio to the optimum, NaN where it failed.

    Args:
        parent: the sweep's run.
        settings: of the job.
        words: the overrides that made them.
        place: of the job among all, such as `2/6`.
        command: the command of the sweep.
    """
    go_easy_on_garbage()
    changed = _changed(words)
    name = " ".join(f"{key}={value}" for key, value in changed.items()) or "job"
    shown = shorten(name, NAME_SHOWN, placeholder=" ...")
    with progress_lines(f"{place} {shown}: ".lstrip()) as progress:
        return _run(parent, settings, changed, name, progress, command)


def _run(
    parent: str, settings: Settings, changed: Mapping[str, str], name: str, progress: Progress, command: str
) -> float:
    from flows.prefect.run import run_chain
    from flows.stages.evaluate import read_results

    if "scheduler" in changed:
        settings = replace(settings, schedulers=(settings.scheduler,))
    # an ephemeral Prefect server per job would cost more than the job
    quiet = replace(settings.tracking, orchestrate=bool(os.environ.get("PREFECT_API_URL")))
    settings = replace(settings, tracking=quiet)
    store = Store(settings.tracking)
    try:
        with store.child_recording(parent, name, changed) as recording:
            outcome = run_chain(settings, progress, command)
            folder = outcome.folder("evaluate")
            if folder is None:
                return float("nan")
            results = read_results(folder)
            fit = outcome.folder("simulator")
            for key, value in (read_json(fit / "report.json") if fit else {}).items():
                if key in ("r2", "mse"):
                    results[key] = value
            for key in changed.keys() - {"scheduler", "schedulers"}:
                results[key] = changed[key]
            results["nodes"] = settings.cluster.nodes
            profile = outcome.folder("profile")
            if profile:
                results["measured"] = read_json(profile / "profile.json")["colocations"]
            with written_whole(recording.folder / RESULTS) as file:
                file.write(results.to_csv(index=False).encode())
            curves = _curves(outcome)
            if len(curves):
                with written_whole(recording.folder / CURVES) as file:
                    file.write(curves.to_csv(index=False).encode())
            others = results[results["scheduler"] != "optimum"]
            judged = others if len(others) else results
            known = {"nodes": str(settings.cluster.nodes), "seed": str(settings.seed)}
            recording.describe({}, {name: value for name, value in known.items() if name not in changed})
            means = judged[["ratio", "rps", "seconds", "cpu_seconds"]].mean()
            recording.metrics({str(name): float(value) for name, value in means.items()})
            return float(means["ratio"])
    except MetisError as error:
        say(f"metis: {name}: {error}")
        return float("nan")


def _curves(outcome: Outcome) -> "pd.DataFrame":
    """Return the curves of schedulers that learn each group: scheduler, group, and what a row holds."""
    import pandas as pd

    rows = []
    for step, record in outcome.records.items():
        path = record.folder / ABOUT / "traces.json"
        if not step.startswith("highlevel/") or not path.is_file():
            continue
        for group, trace in enumerate(read_json(path)):
            own = {"scheduler": step.partition("/")[2], "group": group}
            rows += [own | row for row in trace.get("curve", [])]
    return pd.DataFrame(rows)


def _changed(words: Sequence[str]) -> dict[str, str]:
    """Return the settings that a job changes, by key."""
    pairs = dict(word.lstrip("+").partition("=")[::2] for word in words)
    return {key: value for key, value in pairs.items() if key not in ("experiment", "tracking.path")}
