"""Sweeps: `metis run -m key=a,b ...` as one Hydra multirun, one MLflow parent with a child per job.

Hydra expands the overrides and joblib runs the jobs; what a job finds finished under its keys it reuses, so
a sweep that was interrupted, or had failed jobs, does only what is missing when it is started again. Another
launcher or sweeper of Hydra's runs its jobs itself. With `hydra/sweeper=optuna` they are Optuna's trials,
which maximise the mean ratio to the optimum; its study is in memory, and seeded: started again it proposes
the same settings, whose steps are found finished.
"""

import os
import re
import sys
import time
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from flows.configuration.compose import (
    compose_jobs,
    compose_plain,
    for_hydra,
    quote_path,
    settings_of,
    store_defaults,
    sweep_part,
)
from flows.configuration.settings import Settings
from flows.engine.console import clock, progress_lines, say
from flows.engine.secrets import masked_command
from flows.engine.store import Store
from flows.sweeps.job import CURVES, PARENT, RESULTS, job, run_job
from metis.errors import InputError
from metis.files import written_whole

if TYPE_CHECKING:
    import pandas as pd

FLAGS = ("-m", "--multirun")
OPTUNA = "hydra/sweeper=optuna"
PLUGINS = ("hydra/sweeper=", "hydra/launcher=")
CHOICES = re.compile(r"=.*\b(interval|choice|range|shuffle|tag|int|float)\(")  # for a sweeper, not a value
IN_MEMORY = (
    "Optuna's study is in memory and ends with this process: the same command proposes the same settings "
    "again (seed={seed}), and finds by their keys what was finished"
)
BEST = "optimization_results.yaml"  # where Optuna's sweeper writes its best trial


@dataclass(frozen=True)
class SweepOutcome:
    """The outcome of a sweep.

    Attributes:
        run_id: of its MLflow run.
        settings: of its first job.
        summary: one row per setting and scheduler; None where no job was evaluated.
        folder: of table and figure.
        exit_code: 1 where a job failed.
    """

    run_id: str
    settings: Settings
    summary: "pd.DataFrame | None"
    folder: Path
    exit_code: int


@dataclass(frozen=True)
class Planned:
    """A job that is to run: the overrides that make it, and its settings."""

    words: Sequence[str]
    settings: Settings


def is_sweep(arguments: Sequence[str]) -> bool:
    """Whether `-m` was given, or an experiment that is a sweep by itself."""
    if any(flag in arguments for flag in FLAGS):
        return True
    if not any(argument.startswith(("experiment=", "+experiment=")) for argument in arguments):
        return False
    return sweep_part(arguments)[0].endswith("MULTIRUN")


def run_sweep(arguments: Sequence[str]) -> SweepOutcome:
    """Run every job, then write the aggregate table and figure to the parent run."""
    given = [argument for argument in arguments if argument not in FLAGS]
    overrides = [word if "," in word or CHOICES.search(word) else quote_path(word) for word in given]
    with progress_lines("sweep: "):
        planned = _planned(overrides)
        first = planned[0].settings
        store = Store(first.tracking)
    with store.parent(f"sweep {' '.join(given)}"[:200], {"metis.command": _command(arguments)}) as parent:
        by_hydra = any(o.startswith(PLUGINS) for o in overrides)
        whole = (
            _launch_by_hydra(parent, overrides, first)
            if by_hydra
            else _launch(parent, planned, _command(arguments))
        )
        jobs = store.children(parent)
        failed = [job for job in jobs if job.status != "FINISHED"]
        folders = [job.folder for job in jobs if job.status == "FINISHED" and job.folder]
        results, curves = _collect(folders, RESULTS), _collect(folders, CURVES)
        folder = Path(first.out) if first.out else store.root / "sweeps" / parent[:8]
        summary = None if results is None else _publish(store, parent, results, curves, first, folder)
        if OPTUNA in overrides:
            _say_best(store, parent)
    for one in failed:
        say(f"metis: {one.name}: {one.error}")
    if failed or not whole:
        say(_command(arguments))
    return SweepOutcome(parent, first, summary, folder, int(bool(failed) or not whole))


def _planned(overrides: Sequence[str]) -> list[Planned]:
    """Return every job, composed and validated before the first runs; of Optuna's trials what they share."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    own = [o for o in overrides if not o.startswith("hydra")]
    if OPTUNA in overrides:
        fixed = [o for o in own if "," not in o and not CHOICES.search(o)]
        return [Planned(fixed, settings_of(fixed, compose_plain(fixed, quoted=True)))]
    params = sweep_part(own)[1].get("params") or {}
    named = {o.partition("=")[0].lstrip("+~") for o in own}
    everything = [*(f"{key}={value}" for key, value in params.items() if key not in named), *own]
    try:
        parsed = OverridesParser.create().parse_overrides(everything)
        for one in parsed:
            if one.is_sweep_override() and next(iter(one.sweep_iterator()), None) is None:
                raise InputError(f"{one.input_line}: names no value, so that the sweep has no job")
        jobs = BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]
    except HydraException as error:
        raise InputError(" ".join(str(error).split())[:300]) from None
    return [
        Planned(words, settings_of(words, composed))
        for words, composed in zip(jobs, compose_jobs(jobs), strict=True)
    ]


def _launch(parent: str, planned: Sequence[Planned], command: str) -> bool:
    """Run the jobs, `runner.jobs` at once; return False where a process was lost, whose job alone is lost.

    By joblib without Hydra's launcher, which composes every job twice more: a quarter of a second each.
    """
    from joblib import Parallel, delayed

    jobs = len(planned)
    calls = [
        delayed(run_job)(parent, one.settings, one.words, f"{i}/{jobs}", command)
        for i, one in enumerate(planned, start=1)
    ]
    began = time.monotonic()
    try:
        parallel = Parallel(n_jobs=planned[0].settings.runner.jobs, return_as="generator_unordered")
        for done, _ in enumerate(parallel(calls), start=1):
            left = (time.monotonic() - began) / done * (jobs - done)
            say(f"{done} of {jobs} jobs done" + (f", about {clock(left)} left" if done < jobs else ""))
        return True
    except BrokenExecutor:
        say("metis: a process that ran jobs was killed; is there memory for so many at once (runner.jobs)?")
        return False


def _launch_by_hydra(parent: str, overrides: Sequence[str], settings: Settings) -> bool:
    """Run the jobs through the plugins that were asked for; return False where one gave up."""
    import hydra

    folder = Path(settings.tracking.path).absolute() / "sweeps"
    fixed = [
        "hydra.output_subdir=null",
        "hydra.job.chdir=false",
        f"hydra.sweep.dir='{folder}'",
        "hydra.sweep.subdir=jobs",
        "hydra/job_logging=none",
        "hydra/hydra_logging=none",
    ]
    if OPTUNA in overrides:
        fixed += ["hydra.sweeper.direction=maximize", f"hydra.sweeper.sampler.seed={settings.seed}"]
        fixed += [f"hydra.sweeper.n_jobs={settings.runner.jobs}"]
    if settings.runner.jobs > 1 and not any(o.startswith("hydra/launcher=") for o in overrides):
        fixed += ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={settings.runner.jobs}"]
    if OPTUNA in overrides:
        say(IN_MEMORY.format(seed=settings.seed))
    os.environ[PARENT] = parent
    store_defaults()
    kept = sys.argv
    sys.argv = ["metis", "-m", *fixed, *map(for_hydra, overrides)]
    try:
        hydra.main(version_base="1.3", config_path="pkg://conf", config_name="config")(job)()
        return True
    except SystemExit as end:
        return not end.code
    finally:
        sys.argv = kept


def _collect(folders: Sequence[Path], name: str) -> "pd.DataFrame | None":
    import pandas as pd  # half a second, which a run that asks whether it is a sweep should not pay

    frames = [pd.read_csv(folder / name) for folder in folders if (folder / name).is_file()]
    return pd.concat(frames, ignore_index=True) if frames else None


def _publish(
    store: Store,
    parent: str,
    results: "pd.DataFrame",
    curves: "pd.DataFrame | None",
    settings: Settings,
    folder: Path,
) -> "pd.DataFrame":
    """Write table and figure into `folder` and to the sweep's run; return the summary."""
    from flows.sweeps.figures import sweep_figure
    from flows.sweeps.table import aggregate

    summary = aggregate(results)
    figure = sweep_figure(results, settings.published, curves, arrive=settings.groups.arrive)
    for name, content in (
        ("results.csv", results.to_csv(index=False).encode()),
        ("summary.csv", summary.to_csv(index=False).encode()),
        ("figure.svg", figure),
    ):
        with written_whole(folder / name) as file:
            file.write(content)
        store.log_file(parent, folder / name)
    return summary


def _say_best(store: Store, parent: str) -> None:
    """Print Optuna's best trial, as words to paste."""
    path = store.root / "sweeps" / BEST
    if not path.is_file():
        return
    best = yaml.safe_load(path.read_text(encoding="utf-8"))
    store.log_file(parent, path)
    words = " ".join(f"{key}={value}" for key, value in best.get("best_params", {}).items())
    say(f"best: {words} (ratio {best.get('best_value', float('nan')):.4f})")


def _command(arguments: Sequence[str]) -> str:
    return masked_command(["metis", "run", *arguments])
