"""Stage simulator: fit a simulator to the profile and write it out over the whole space."""

from flows.configuration.settings import Settings
from flows.engine.declaration import Stage
from flows.engine.provenance import profile_dataset
from flows.engine.work import Work
from flows.placing.tables import FILE
from metis.problem.objectives import tabulated


def run(work: Work) -> None:
    """Write `simulator.npz`; R2 and MSE held out become metrics."""
    from metis.measure.profile_files import load_profile
    from metis.simulate.fitting import fit_simulator

    profile = load_profile(work.inputs["profile"] / "profile.npz")
    source = work.recording.inputs.get("profile")
    given = profile_dataset(work.inputs["profile"], source, profile.space.apps, len(profile))
    chosen = work.settings.simulator
    work.recording.describe({"metis.seed": str(chosen.seed)}, {}, [given])
    fitted = fit_simulator(profile, chosen, work.derived["quantities"])
    fitted.save(work.folder / FILE)
    work.write_json("report.json", fitted.report)
    work.recording.metrics(fitted.report)


def _quantities(settings: Settings) -> tuple[str, ...]:
    return tabulated(settings.objective)


STAGE = Stage(
    name="simulator",
    about="Fit the simulator to the profile.",
    run=run,
    settings=("simulator",),
    # objectives that need the same quantities share a simulator
    derived={"quantities": _quantities},
    inputs=("profile",),
    modules=("metis.simulate.fitting",),
    doing="fitted",
)
