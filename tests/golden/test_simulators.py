"""The fitted tables of every kind of simulator are those that were frozen."""

import numpy as np
import pytest

from tests.golden import subjects
from tests.golden.frozen import check

CELLS = 40


@pytest.fixture(scope="module")
def testbed():
    return subjects.load_embedded(slots=4, noise=0.02)


@pytest.mark.parametrize("kind", ["table", "forest", "boosted", "ensemble"])
def test_fitted_tables(testbed, kind):
    share = 1.0 if kind == "table" else 0.3
    profile = testbed.measure(subjects.choose_colocations(testbed.space, share, seed=3), seed=3)
    chosen = subjects.SimulatorSettings(kind=kind, trees=15, held_out=0.2, seed=5)
    fitted = subjects.fit_simulator(profile, chosen, ("rps",) if kind == "ensemble" else ("rps", "speed"))
    tables, space = fitted.tables, testbed.space
    rows, columns = np.nonzero(space.counts)
    chosen_cells = np.random.default_rng(1).choice(len(rows), CELLS, replace=False)
    where = (rows[chosen_cells], columns[chosen_cells])
    speed = tables.quantities["speed"][where] if "speed" in tables.quantities else None
    value = {
        "apps": space.apps,
        "rows": space.size,
        "report": fitted.report,
        "mean": float(tables.rps.mean()),
        "rps": tables.rps[where],
        "speed": speed,
    }
    check(f"simulators/{kind}", value)


def test_the_embedded_testbed_measures_the_same(testbed):
    profile = testbed.measure(subjects.choose_colocations(testbed.space, 0.1, seed=2), seed=2, repeats=2)
    value = {
        "colocations": profile.colocations,
        "mean": float(np.nanmean(profile.rps)),
        "rps": profile.rps[:8],
    }
    check("simulators/measured", value)
