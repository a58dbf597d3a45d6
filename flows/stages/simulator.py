"""Stage simulator: fit a simulator to the profile and write it out over the whole space."""

from flows.configuration.settings import Settings
from flows.engine.declaration import Stage
from flows.engine.provenance import profile_dataset
from flows.engine.work import Work
from flows.placing.tables import FILE, fitted_in
from metis.problem.objectives import tabulated


def run(work: Work) -> None:
    """Write `simulator.npz`: what an exploration believes, or a fit; its fidelity becomes metrics.

    Its tables are those that schedulers choose by: with `caution` lower than what is expected.
    """
    from metis.measure.profile_files import load_profile
    from metis.simulate.fitting import fit_simulator

    if "explore" in work.inputs and _take_over(work):
        return
    profile = load_profile(work.inputs["profile"] / "profile.npz")
    source = work.recording.inputs.get("profile")
    given = profile_dataset(work.inputs["profile"], source, profile.space.apps, len(profile))
    chosen = work.settings.simulator
    work.recording.describe({"metis.seed": str(chosen.seed)}, {}, [given])
    fitted = fit_simulator(profile, chosen, work.derived["quantities"]).cautious(chosen.spreads)
    fitted.save(work.folder / FILE)
    work.write_json("report.json", fitted.report)
    work.recording.metrics(fitted.report)


def _take_over(work: Work) -> bool:
    """Write what the exploration believes, if it knows the quantities: it saw every run."""
    explored = fitted_in(work.inputs["explore"])
    if not set(work.derived["quantities"]) <= set(explored.tables.quantities):
        return False
    explored.cautious(work.settings.simulator.spreads).save(work.folder / FILE)
    work.write_json("report.json", explored.report)
    work.recording.metrics(explored.report)
    return True


def _inputs(settings: Settings, part: str) -> tuple[str, ...]:
    del part
    believed = settings.profile.explored and settings.simulator.kind == "ensemble"
    return ("profile", "explore") if believed and settings.simulator.noise is None else ("profile",)


def _quantities(settings: Settings) -> tuple[str, ...]:
    return tabulated(settings.objective)


STAGE = Stage(
    name="simulator",
    about="Fit the simulator to the profile.",
    run=run,
    settings=("simulator",),
    # objectives that need the same quantities share a simulator
    derived={"quantities": _quantities},
    inputs=_inputs,
    modules=("metis.simulate.fitting",),
    doing="fitted",
)
