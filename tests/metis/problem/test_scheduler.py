"""A plain function as a scheduler: times are taken, what it returns is checked."""

from itertools import count

import numpy as np
import pytest

from metis.errors import InputError, PlacementError
from metis.problem import scheduler
from metis.problem.cluster import Cluster
from metis.problem.scheduler import TimedScheduler
from metis.problem.space import ColocationSpace

SPACE = ColocationSpace(("a", "b"), 2)
CLUSTER = Cluster(SPACE, 2)
GROUP = np.array([2, 1])


def place(group, cluster, worth):
    """All of a on the first node, all of b on the second."""
    del cluster, worth
    return np.diag(group), {"note": 1}


def test_wall_and_processor_time_are_taken_around_the_call(monkeypatch):
    wall, processor = count(10, 3), count(100, 7)
    monkeypatch.setattr(scheduler, "perf_counter", lambda: float(next(wall)))
    monkeypatch.setattr(scheduler, "process_time", lambda: float(next(processor)))
    decision = TimedScheduler("mine", place).place(GROUP, CLUSTER, np.zeros(SPACE.size))
    assert (decision.seconds, decision.cpu_seconds) == (3.0, 7.0)
    assert decision.placement.tolist() == [[2, 0], [0, 1]]
    assert decision.trace == {"note": 1}


@pytest.mark.parametrize("returned", [None, np.diag(GROUP), (np.diag(GROUP),), ("ab", {})])
def test_a_function_that_returns_no_placement_is_named(returned):
    with pytest.raises(PlacementError, match=r"^mine: "):
        TimedScheduler("mine", lambda *_: returned).place(GROUP, CLUSTER, np.zeros(SPACE.size))


def test_a_group_that_does_not_fit_is_refused_before_the_call():
    with pytest.raises(InputError, match="do not fit"):
        TimedScheduler("mine", place).place(np.array([4, 1]), CLUSTER, np.zeros(SPACE.size))
