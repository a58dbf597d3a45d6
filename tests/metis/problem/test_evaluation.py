import numpy as np
import pytest

from metis.problem.cluster import Cluster
from metis.problem.evaluation import evaluate, gap, value
from metis.problem.objectives import FreeNodes
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

SPACE = ColocationSpace(("web", "db"), 2)
RPS = np.array([[0, 0], [0, 1.0], [0, 0.8], [1.0, 0], [1.5, 0.9], [0.7, 0]])
TABLES = Tables(SPACE, {"rps": RPS})


def test_a_placement_by_hand():
    cluster = Cluster(SPACE, 4, existing=np.array([[0, 1], [0, 0], [0, 0], [0, 0]]))
    placement = np.array([[1, 0], [0, 2], [0, 0], [0, 0]])
    worth = FreeNodes(2.0).bind(placement.sum(axis=0), cluster, TABLES)
    judged = evaluate(placement, cluster, TABLES, worth)
    assert sorted(judged.container_rps) == pytest.approx([0.8, 0.8, 0.9, 1.5])
    assert judged.rps == pytest.approx(1.0)
    assert judged.value == pytest.approx(1.0 + 2.0 * 2 / 4)
    assert value(placement, cluster, worth) == judged.value
    assert judged.slo == {"0.90": 0.5, "0.95": 0.25, "1.00": 0.25}
    assert judged.free_nodes == 2


def test_other_levels():
    cluster = Cluster(SPACE, 1)
    judged = evaluate(np.array([[1, 1]]), cluster, TABLES, np.zeros(SPACE.size), levels=[0.5, 2])
    assert judged.slo == {"0.50": 1.0, "2.00": 0.0}


def test_nothing_placed_is_worth_nothing():
    judged = evaluate(np.zeros((2, 2), dtype=int), Cluster(SPACE, 2), TABLES, np.zeros(SPACE.size))
    assert (judged.rps, judged.free_nodes) == (0.0, 2)
    assert set(judged.slo.values()) == {0.0}


@pytest.mark.parametrize(("reached", "bound", "expected"), [(0.9, 1.0, 0.1), (2, 2, 0), (1, 0, 0), (0, 4, 1)])
def test_the_gap_is_the_share_of_the_bound_that_is_missed(reached, bound, expected):
    assert gap(reached, bound) == pytest.approx(expected)
