"""Stage sample: what a random share of the co-locations, as the paper profiles, would have led to."""

from pathlib import Path
from typing import Any

from flows.configuration.objects import knows_truth, make_groups, make_testbed
from flows.configuration.settings import Settings
from flows.engine.declaration import Stage
from flows.engine.work import Work, read_json
from flows.stages.shared import OPTIMUM, PROBLEM, TESTBED, is_profiled, packaged_coefficients
from metis.errors import InputError
from metis.problem.objectives import tabulated

RESULTS, FACTS = "results.csv", "sample.json"
TREES = 100  # of a forest, as with simulator=forest


def run(work: Work) -> None:
    """Write `results.csv`, a row per group for the optimum on that simulator, and `sample.json`."""
    from flows.placing.comparison import judge, place_optima
    from metis.measure.testbed import list_colocations
    from metis.simulate.fitting import fit_simulator
    from metis.simulate.settings import SimulatorSettings

    settings, chosen = work.settings, work.settings.sample
    share = chosen.share
    if share is None:
        raise InputError("sample.share is null: give a share of the co-locations")
    quantities = tabulated(settings.objective)
    testbed = make_testbed(settings)
    wanted = list_colocations(testbed.space, "share", share=share, seed=chosen.seed)
    profile = testbed.measure(wanted, chosen.seed)
    work.progress("random share measured, its simulator", 1, 3)
    kind = SimulatorSettings(kind=chosen.simulator, trees=TREES, held_out=0.0, seed=chosen.seed)
    tables = fit_simulator(profile, kind, quantities).tables
    groups, truth = make_groups(settings, testbed.space.apps), testbed.truth(quantities)
    found = [place_optima(settings, one, groups, work.progress) for one in (tables, truth)]
    results = judge({OPTIMUM: found[0]}, settings, tables, groups, truth, found[1])
    work.write(RESULTS, results.to_csv(index=False).encode())
    facts: dict[str, Any] = {
        "share": share,
        "measurements": len(profile),
        "simulator": chosen.simulator,
    }
    work.write_json(FACTS, facts)
    work.recording.metrics({"measurements": len(profile), "true_ratio": float(results["true_ratio"].mean())})


def in_words(folder: Path) -> str:
    """Return what the output of this stage says, in one sentence."""
    import pandas as pd

    from flows.report.intervals import interval
    from flows.report.words import plus_minus

    facts, results = read_json(folder / FACTS), pd.read_csv(folder / RESULTS)
    reached = plus_minus(interval(results["true_ratio"]))
    return (
        f"Profiled as in the paper, by a random {facts['share']:.0%} of the co-locations "
        f"({facts['measurements']:,} measurements, simulator {facts['simulator']}), "
        f"the exact optimum is truly at {reached} of the best possible."
    )


def has_sample(settings: Settings) -> bool:
    """Whether a random share is shown beside what was explored."""
    explored = settings.profile.explored and is_profiled(settings)
    return settings.sample.share is not None and explored and knows_truth(settings)


STAGE = Stage(
    name="sample",
    about="Place by a random share of the co-locations, as the paper profiles them, for comparison.",
    run=run,
    settings=("sample", *PROBLEM, *TESTBED, "optimum"),
    unkeyed=("profile.path",),
    derived={"coefficients": packaged_coefficients},
    inputs=("setup",),
    modules=("metis.measure.testbed", "metis.simulate.fitting", "flows.placing.comparison"),
    present=has_sample,
    doing="tried",
)
