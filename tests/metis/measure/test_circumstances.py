"""What counts as a disturbance, and how much a measurement beside it counts."""

import numpy as np
import pytest

from metis.measure.circumstances import KEPT, Circumstances, disturbance, kept_row, summary, weight_of


def test_what_others_took_disturbs_beyond_what_they_may():
    assert disturbance(Circumstances(taken=0.1), 0.15) == ""
    assert disturbance(Circumstances(taken=0.3), 0.15) == "others took 30% of the node's processor time"
    assert "20% the hypervisor" in disturbance(Circumstances(taken=0.3, stolen=0.2), 0.15)
    assert disturbance(Circumstances(taken=0.9), 1.0) == ""
    assert disturbance(Circumstances(), 0.15) == ""  # nothing is known


def test_a_load_generator_at_its_limit_is_named():
    for found in (Circumstances(generator=0.97, late=0.01), Circumstances(generator=0.3, late=0.4)):
        line = disturbance(found, 0.15)
        assert line.startswith("the load generator was at its limit")
        assert "\n" not in line


@pytest.mark.parametrize(("taken", "weight"), [(0.1, 1.0), (0.16, 0.468), (0.45, 0.1), (1.0, 0.022)])
def test_the_more_others_took_the_less_it_counts(taken, weight):
    assert weight_of(Circumstances(taken=taken), 0.15) == pytest.approx(weight, abs=2e-3)


def test_the_summary_has_median_and_worst():
    rows = np.array([kept_row({"taken": 0.1, "memory": 0.9}), kept_row({"taken": 0.5, "memory": 0.2})])
    assert rows.shape == (2, len(KEPT))
    assert summary(rows, np.array([1.0, 0.1])) == {"taken": [0.3, 0.5], "memory": [0.55, 0.2], "disturbed": 1}
