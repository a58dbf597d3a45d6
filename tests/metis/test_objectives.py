import numpy as np
import pytest

from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.objectives import FreeNodes, Latency, MeanRps, SloShare, unmeasured
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

SPACE = ColocationSpace(("web", "db"), 2)
# ids: nothing, db, 2 db, web, web + db, 2 web
RPS = np.array([[0, 0], [0, 1.0], [0, 0.8], [1.0, 0], [1.5, 0.9], [0.7, 0]])
SPEED = np.array([[0, 0], [0, 1.0], [0, 0.5], [1.0, 0], [2.0, 0.6], [0.4, 0]])
TABLES = Tables(SPACE, RPS, SPEED)
GROUP = np.array([2, 1])
CLUSTER = Cluster(SPACE, 3)


def value(objective, placement, cluster=CLUSTER, tables=TABLES):
    worth = objective.bind(np.asarray(placement).sum(axis=0), cluster, tables)
    assert worth.shape == (SPACE.size,)
    assert worth.dtype == np.float64
    return worth[SPACE.index(np.asarray(placement) + cluster.existing)].sum()


def test_mean_rps_by_hand():
    assert value(MeanRps(), [[1, 1], [1, 0], [0, 0]]) == pytest.approx((1.5 + 0.9 + 1.0) / 3)
    assert value(MeanRps(), [[2, 0], [0, 1], [0, 0]]) == pytest.approx((0.7 + 0.7 + 1.0) / 3)


def test_existing_containers_count_in_value_and_mean():
    cluster = Cluster(SPACE, 3, existing=np.array([[0, 1], [0, 0], [0, 0]]))
    assert value(MeanRps(), [[1, 0], [1, 0], [0, 0]], cluster) == pytest.approx((1.5 + 0.9 + 1.0) / 3)
    assert value(SloShare(0.9), [[1, 0], [1, 0], [0, 0]], cluster) == pytest.approx(1.0)


def test_slo_share_counts_containers_at_or_above_the_level():
    assert value(SloShare(0.9), [[1, 1], [1, 0], [0, 0]]) == pytest.approx(1.0)  # 0.9 is at the level
    assert value(SloShare(0.95), [[1, 1], [1, 0], [0, 0]]) == pytest.approx(2 / 3)
    assert value(SloShare(1.0), [[2, 0], [0, 1], [0, 0]]) == pytest.approx(1 / 3)


def test_free_nodes_add_beta_per_vacant_share():
    placement = [[1, 1], [1, 0], [0, 0]]
    assert value(FreeNodes(1.5), placement) == pytest.approx(value(MeanRps(), placement) + 1.5 / 3)
    assert value(FreeNodes(0), placement) == pytest.approx(value(MeanRps(), placement))


def test_latency_is_the_mean_speed_of_what_was_measured():
    placement = [[1, 1], [1, 0], [0, 0]]
    assert value(Latency(), placement) == pytest.approx((2.0 + 0.6 + 1.0) / 3)
    blind = Tables(SPACE, RPS, np.column_stack([SPEED[:, 0], np.full(SPACE.size, np.nan)]))
    assert unmeasured(blind) == {"db"}
    assert value(Latency(), placement, tables=blind) == pytest.approx((2.0 + 1.0) / 2)


def test_latency_names_whoever_was_not_measured():
    blind = Tables(SPACE, RPS, np.column_stack([SPEED[:, 0], np.full(SPACE.size, np.nan)]))
    with pytest.raises(InputError, match=r"no latency was measured for \['db'\]"):
        Latency().bind(np.array([0, 2]), CLUSTER, blind)
    with pytest.raises(InputError, match=r"\['db', 'web'\]"):
        Latency().bind(GROUP, CLUSTER, Tables(SPACE, RPS))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: SloShare(0), "objective.level 0"),
        (lambda: SloShare(11), "objective.level 11"),
        (lambda: FreeNodes(-1), "objective.beta -1"),
        (lambda: FreeNodes(101), "objective.beta 101"),
        (lambda: Tables(SPACE, RPS[:3]), "this space needs"),
        (lambda: Tables(SPACE, RPS, SPEED[:, :1]), "this space needs"),
    ],
)
def test_refuses_what_is_out_of_range(make, told):
    with pytest.raises(InputError, match=told):
        make()


def test_names_say_the_parameter():
    names = [o.name for o in (MeanRps(), SloShare(0.9), FreeNodes(0.5), Latency())]
    assert names == ["rps", "slo0.90", "free0.5", "latency"]
