"""Sweeps: `metis run -m key=a,b ...` as one Hydra multirun, one MLflow parent with a child per job.

Hydra expands the overrides and joblib runs the jobs; what a job finds finished under its keys it reuses, so
a sweep that was interrupted, or had failed jobs, does only what is missing when it is started again. With
`hydra/sweeper=optuna` the jobs are Optuna's trials, which maximise the mean ratio to the optimum; its study
is in memory, and seeded: started again it proposes the same settings, whose steps are found finished.
"""

import json
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from flows.compose import quote_path
from flows.console import say, stdout
from flows.settings import Settings, validated
from flows.store import Store
from flows.sweep_table import aggregate, sweep_figure, sweep_table
from flows.work import read_json
from metis.errors import InputError, MetisError
from metis.files import written_whole

PARENT = "METIS_SWEEP_PARENT"
FLAGS = ("-m", "--multirun")
OPTUNA = "hydra/sweeper=optuna"
CHOICES = re.compile(r"=.*\b(interval|choice|range|shuffle|tag|int|float)\(")  # for a sweeper, not a value
BEST = "optimization_results.yaml"  # where Optuna's sweeper tells its best trial


def is_sweep(arguments: Sequence[str]) -> bool:
    """Whether `-m` was given, or an experiment that is a sweep by itself."""
    if any(flag in arguments for flag in FLAGS):
        return True
    if not any(argument.startswith(("experiment=", "+experiment=")) for argument in arguments):
        return False
    mode = _hydra_part([a for a in arguments if a not in FLAGS]).get("mode")
    return str(mode).endswith("MULTIRUN")


def run_sweep(arguments: Sequence[str]) -> int:
    """Run every job, then write the aggregate table and figure to the parent run."""
    given = [argument for argument in arguments if argument not in FLAGS]
    overrides = [word if "," in word or CHOICES.search(word) else quote_path(word) for word in given]
    first = _check_jobs(overrides)
    store = Store(first.tracking)
    with store.parent(f"sweep {' '.join(given)}"[:200], {"metis.command": _command(arguments)}) as parent:
        os.environ[PARENT] = parent
        whole = _launch(overrides, first)
        jobs = store.children(parent)
        failed = [job for job in jobs if job.status != "FINISHED"]
        results = _collect([job.folder for job in jobs if job.status == "FINISHED" and job.folder])
        if results is not None:
            _publish(store, parent, results, first)
        if OPTUNA in overrides:
            _tell_best(store, parent)
    for job in failed:
        say(f"metis: {job.name}: {job.error}")
    if failed or not whole:
        say(_command(arguments))
        return 1
    return 0


def job(composed: Any) -> float:
    """One job of the multirun; answers the mean ratio to the optimum, which Optuna may maximise."""
    from omegaconf import OmegaConf

    from flows.pipeline import run_chain

    plain: Any = OmegaConf.to_container(composed, resolve=True)
    settings = validated({str(key): value for key, value in plain.items()})
    changed = _job_overrides()
    if "scheduler" in changed:
        settings = settings.model_copy(update={"schedulers": [settings.scheduler]})
    # an ephemeral Prefect server per job would cost more than the job
    quiet = settings.tracking.model_copy(update={"orchestrate": bool(os.environ.get("PREFECT_API_URL"))})
    settings = settings.model_copy(update={"tracking": quiet})
    store = Store(settings.tracking)
    name = " ".join(f"{key}={value}" for key, value in changed.items()) or "job"
    try:
        with store.child_recording(os.environ[PARENT], name, changed) as recording:
            outcome = run_chain(settings)
            folder = outcome.folder("evaluate")
            if folder is None:
                return float("nan")
            results = pd.read_csv(folder / "results.csv")
            fit = outcome.folder("simulator")
            for key, value in (read_json(fit / "report.json") if fit else {}).items():
                if key in ("r2", "mse"):
                    results[key] = value
            for key in changed.keys() - {"scheduler", "schedulers"}:
                results[key] = changed[key]
            with written_whole(recording.folder / "results.csv") as file:
                file.write(results.to_csv(index=False).encode())
            others = results[results["scheduler"] != "optimum"]
            judged = others if len(others) else results
            told = {"nodes": str(settings.cluster.nodes), "seed": str(settings.seed)}
            recording.describe({}, {name: value for name, value in told.items() if name not in changed})
            means = judged[["ratio", "rps", "seconds"]].mean()
            recording.metrics({str(name): float(value) for name, value in means.items()})
            return float(means["ratio"])
    except MetisError as error:
        say(f"metis: {name}: {error}")
        return float("nan")


def _check_jobs(overrides: Sequence[str]) -> Settings:
    """Compose and validate every job before the first runs; the settings of the first."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    from flows.compose import compose_plain

    own = [o for o in overrides if not o.startswith("hydra")]
    if OPTUNA in overrides:
        fixed = [o for o in own if "," not in o and not CHOICES.search(o)]
        return validated(compose_plain(fixed, quoted=True))  # Optuna draws the rest as it goes
    params = _hydra_part(own).get("sweeper", {}).get("params") or {}
    named = {o.partition("=")[0].lstrip("+~") for o in own}
    everything = [*own, *(f"{key}={value}" for key, value in params.items() if key not in named)]
    try:
        parsed = OverridesParser.create().parse_overrides(everything)
        jobs = BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]
    except HydraException as error:
        raise InputError(" ".join(str(error).split())[:300]) from None
    checked = [validated(compose_plain(list(each), quoted=True)) for each in jobs]
    return checked[0]


def _hydra_part(overrides: Sequence[str]) -> dict[str, Any]:
    from hydra import compose, initialize_config_module
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    fixed = [o for o in overrides if o.startswith(("experiment=", "+experiment="))]
    try:
        with initialize_config_module("conf", version_base="1.3"):
            composed = compose("config", overrides=fixed, return_hydra_config=True)
    except HydraException:
        return {}  # composing the job itself will tell what is wrong
    part: Any = {
        "mode": composed.hydra.mode,
        "sweeper": OmegaConf.to_container(composed.hydra.sweeper, resolve=False),
    }
    return dict(part)


def _launch(overrides: Sequence[str], settings: Settings) -> bool:
    """Run the jobs through Hydra; False where it gave up on one, which does not keep the others' results."""
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
    kept = sys.argv
    sys.argv = ["metis", "-m", *fixed, *overrides]
    try:
        hydra.main(version_base="1.3", config_path="pkg://conf", config_name="config")(job)()
        return True
    except SystemExit as end:
        return not end.code
    finally:
        sys.argv = kept


def _job_overrides() -> dict[str, str]:
    """What this job changes against the plain configuration, by key."""
    from hydra.core.hydra_config import HydraConfig

    task = [str(override) for override in HydraConfig.get().overrides.task]
    pairs = dict(override.lstrip("+").partition("=")[::2] for override in task)
    return {key: value for key, value in pairs.items() if key not in ("experiment", "tracking.path")}


def _collect(folders: Sequence[Path]) -> pd.DataFrame | None:
    frames = [pd.read_csv(folder / "results.csv") for folder in folders if (folder / "results.csv").is_file()]
    return pd.concat(frames, ignore_index=True) if frames else None


def _publish(store: Store, parent: str, results: pd.DataFrame, settings: Settings) -> None:
    summary = aggregate(results)
    folder = Path(settings.out) if settings.out else store.root / "sweeps" / parent[:8]
    figure = sweep_figure(results, settings.published)
    for name, content in (
        ("results.csv", results.to_csv(index=False).encode()),
        ("summary.csv", summary.to_csv(index=False).encode()),
        ("figure.svg", figure),
    ):
        with written_whole(folder / name) as file:
            file.write(content)
        store.log_file(parent, folder / name)
    if settings.output == "json":
        sys.stdout.write(json.dumps({"sweep": parent, "summary": summary.to_dict("records")}) + "\n")
        return
    stdout.print(sweep_table(summary))
    stdout.print(f"table and figure: {folder}", soft_wrap=True, markup=False)


def _tell_best(store: Store, parent: str) -> None:
    """Optuna's best trial, as words to paste."""
    path = store.root / "sweeps" / BEST
    if not path.is_file():
        return
    best = yaml.safe_load(path.read_text(encoding="utf-8"))
    store.log_file(parent, path)
    words = " ".join(f"{key}={value}" for key, value in best.get("best_params", {}).items())
    say(f"best: {words} (ratio {best.get('best_value', float('nan')):.4f})")


def _command(arguments: Sequence[str]) -> str:
    return shlex.join(["metis", "run", *arguments])
