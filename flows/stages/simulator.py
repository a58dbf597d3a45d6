"""Stage simulator: fit a simulator to the profile and write it out over the whole space."""

from functools import partial

from flows.configuration.settings import Settings
from flows.engine.declaration import Stage
from flows.engine.provenance import profile_dataset
from flows.engine.work import Work
from flows.placing.problem import check_table
from flows.placing.tables import FILE, LOWRANK, ORACLE, fitted_in, model_file
from flows.stages.shared import TESTBED, check_files, packaged_coefficients
from metis.problem.objectives import tabulated

AFTER_EXPLORING = 0.25  # spreads of caution: what the last runs made look best has had few of them


def run(work: Work) -> None:
    """Write `simulator.npz`: what an exploration believes, a fit, or the testbed's truth.

    Its fidelity becomes metrics. Its tables are those that schedulers choose by: with `caution` lower than
    what is expected. Where co-locations are too many to tabulate, it writes `oracle.npz` (the truth),
    `lowrank.npz`, `processes.npz` (the ensemble) or `trees.npz` instead.
    """
    from metis.measure.profile_files import load_profile
    from metis.simulate.fitting import fit_simulator, oracle_of

    if work.settings.simulator.kind == "testbed":
        _read_truth(work)
        return
    if "explore" in work.inputs and _take_over(work):
        return
    profile = load_profile(work.inputs["profile"] / "profile.npz")
    source = work.recording.inputs.get("profile")
    given = profile_dataset(work.inputs["profile"], source, profile.space.apps, len(profile))
    chosen = work.settings.simulator
    work.recording.describe({"metis.seed": str(chosen.seed)}, {}, [given])
    quantities, caution = work.derived["quantities"], chosen.caution or 0.0
    progress = partial(_report, work)
    if profile.space.tabulated:
        fitted = fit_simulator(profile, chosen, quantities, progress).cautious(caution)
        fitted.save(work.folder / FILE)
        report = fitted.report
    else:
        oracle, report = oracle_of(profile, chosen, quantities, progress)
        oracle.cautious(caution).save(work.folder / model_file(oracle))
    work.write_json("report.json", report)
    work.recording.metrics(report)


def _report(work: Work, done: int, total: int) -> None:
    work.progress("fits", done, total, "")


def _take_over(work: Work) -> bool:
    """Write what the exploration believes, if it knows the quantities: it saw every run."""
    caution = work.settings.simulator.caution
    caution = AFTER_EXPLORING if caution is None else caution
    if (work.inputs["explore"] / LOWRANK).is_file():
        return _take_over_oracle(work, caution)
    explored = fitted_in(work.inputs["explore"])
    if not set(work.derived["quantities"]) <= set(explored.tables.quantities):
        return False
    explored.cautious(caution).save(work.folder / FILE)
    work.write_json("report.json", explored.report)
    work.recording.metrics(explored.report)
    return True


def _take_over_oracle(work: Work, caution: float) -> bool:
    """Write the same where co-locations are too many to tabulate."""
    from metis.measure.profile_files import load_profile
    from metis.simulate.lowrank_oracle import LowRankOracle

    explored = LowRankOracle.load(work.inputs["explore"] / LOWRANK)
    if not set(work.derived["quantities"]) <= set(explored.fits):
        return False
    explored.cautious(caution).save(work.folder / LOWRANK)
    profile = load_profile(work.inputs["profile"] / "profile.npz")
    report = {"measured": len(profile) / (explored.space.size - 1)}
    work.write_json("report.json", report)
    work.recording.metrics(report)
    return True


def _read_truth(work: Work) -> None:
    """Write what the testbed knows, and that nothing of it was predicted."""
    from flows.configuration.objects import make_oracle, make_testbed
    from metis.simulate.simulator import FittedSimulator

    report = {"measured": 1.0}
    if work.settings.testbed.kind == "synthetic" and work.settings.wide:
        make_oracle(work.settings).save(work.folder / ORACLE)
    else:
        truth = make_testbed(work.settings).truth(work.derived["quantities"])
        FittedSimulator(truth, report).save(work.folder / FILE)
    work.write_json("report.json", report)
    work.recording.metrics(report)


def _declared(settings: Settings, part: str) -> tuple[str, ...]:
    del part
    return ("simulator", *(TESTBED if settings.simulator.kind == "testbed" else ()))


def _modules(settings: Settings, part: str) -> tuple[str, ...]:
    del part
    read = settings.simulator.kind == "testbed"
    return ("metis.measure.testbed", "metis.measure.synthetic") if read else ("metis.simulate.fitting",)


def _inputs(settings: Settings, part: str) -> tuple[str, ...]:
    del part
    if settings.simulator.kind == "testbed":
        return () if settings.cluster.live else ("setup",)
    believed = settings.profile.explored and settings.simulator.kind == (
        "lowrank" if settings.wide else "ensemble"
    )
    return ("profile", "explore") if believed and settings.simulator.noise is None else ("profile",)


def _quantities(settings: Settings) -> tuple[str, ...]:
    return tabulated(settings.objective)


def _coefficients(settings: Settings) -> str | None:
    return packaged_coefficients(settings) if settings.simulator.kind == "testbed" else None


def _check(settings: Settings) -> None:
    check_files(settings)
    check_table(settings)


STAGE = Stage(
    name="simulator",
    about="Fit the simulator to the profile.",
    run=run,
    settings=_declared,
    # objectives that need the same quantities share a simulator
    derived={"quantities": _quantities, "coefficients": _coefficients},
    inputs=_inputs,
    check=_check,
    modules=_modules,
    doing="fitted",
)
