"""Stage simulator: fit a simulator to the profile and write it out over the whole space."""

from flows.build import simulator_settings, tabulated
from flows.recorded import profile_dataset
from flows.work import Work
from metis.measure.profile_files import load_profile
from metis.simulate.fitting import fit_simulator


def run(work: Work) -> None:
    """Write `simulator.npz`; R2 and MSE held out become metrics."""
    profile = load_profile(work.inputs["profile"] / "profile.npz")
    source = work.recording.inputs.get("profile")
    given = profile_dataset(work.inputs["profile"], source, profile.space.apps, len(profile))
    work.recording.describe({"metis.seed": str(work.settings.simulator.made().seed)}, {}, [given])
    fitted = fit_simulator(profile, simulator_settings(work.settings), tabulated(work.settings))
    fitted.save(work.folder / "simulator.npz")
    work.write_json("report.json", fitted.report)
    work.recording.metrics(fitted.report)
