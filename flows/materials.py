"""Fitted simulators kept between commands: a cache that may be deleted at any time, never a record."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.build import measure_profile, simulator_settings, tabulated
from flows.settings import Settings
from flows.steps import plan
from flows.work import Progress
from metis.errors import InputError
from metis.measure.profile import Profile
from metis.measure.profile_files import load_profile
from metis.problem.tables import Tables
from metis.simulate.fitting import fit_simulator
from metis.simulate.simulator import FittedSimulator


def fitted_simulator(settings: Settings) -> FittedSimulator:
    """The simulator of these settings, fitted now or taken from the cache of an earlier command."""
    path = cache_folder(settings) / f"simulator-{simulator_key(settings)}.npz"
    if path.is_file():
        try:
            return FittedSimulator.load(path)
        except InputError:
            path.unlink(missing_ok=True)  # a damaged cache costs a fit, never the command
    profile = finished_profile(settings) if settings.testbed.kind == "swarm" else measure_profile(settings)
    fitted = fit_simulator(profile, simulator_settings(settings), tabulated(settings))
    fitted.save(path)
    return fitted


def finished_profile(settings: Settings) -> Profile:
    """The profile of a live cluster: as given, or as measured by a run of the chain; never measured now.

    Raises:
        InputError: it was not measured under these settings; says how to.
    """
    if settings.profile.path:
        return measure_profile(settings)
    from flows.pipeline import reusable  # with MLflow, which only this needs
    from flows.store import Store

    steps = [step for step in plan(settings) if step.stage in ("explore", "profile")]
    record = reusable(steps, Store(settings.tracking)).get("profile")
    if record is None:
        raise InputError(
            "no profile was measured under these settings: `metis run stages=[profile]` with them measures "
            "one, `metis status` says what differs, and profile=file profile.path=FILE gives one"
        )
    return load_profile(record.folder / "profile.npz")


def weights_for(settings: Settings, tables: Tables, progress: Progress) -> Callable[[str], Any]:
    """Weights by learner for these settings: trained at first use, kept for the next command."""
    from flows.learned import cached_weights

    return cached_weights(settings, tables, simulator_key(settings), cache_folder(settings), progress)


def simulator_key(settings: Settings) -> str:
    """Key of the simulator: settings, files and source that decide its tables."""
    steps = {step.name: step for step in plan(settings)}
    profile = steps["profile"].key({"setup": "", "explore": ""})
    return steps["simulator"].key({"profile": profile})


def cache_folder(settings: Settings) -> Path:
    """Where fitted things are kept."""
    return Path(settings.tracking.path).absolute() / "cache"
