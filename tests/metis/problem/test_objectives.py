import numpy as np
import pytest

from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.evaluation import value
from metis.problem.objectives import (
    OBJECTIVES,
    FreeNodes,
    Latency,
    MeanRps,
    P99Below,
    SloShare,
    make_objective,
    tabulated,
)
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

SPACE = ColocationSpace(("web", "db"), 2)
# ids: nothing, db, 2 db, web, web + db, 2 web
RPS = np.array([[0, 0], [0, 1.0], [0, 0.8], [1.0, 0], [1.5, 0.9], [0.7, 0]])
P99 = np.array([[0, 0], [0, 0.2], [0, 0.5], [1.0, 0], [0.9, 0.3], [2.5, 0]])  # seconds
SPEED = np.array([[0, 0], [0, 1.0], [0, 0.5], [1.0, 0], [2.0, 0.6], [0.4, 0]])
TABLES = Tables(SPACE, {"rps": RPS, "speed": SPEED, "p99": P99})
GROUP = np.array([2, 1])
CLUSTER = Cluster(SPACE, 3)


def value_of(objective, placement, cluster=CLUSTER, tables=TABLES):
    worth = objective.bind(np.asarray(placement).sum(axis=0), cluster, tables)
    assert worth.shape == (SPACE.size,)
    assert worth.dtype == np.float64
    return value(np.asarray(placement), cluster, worth)


def test_mean_rps_by_hand():
    assert value_of(MeanRps(), [[1, 1], [1, 0], [0, 0]]) == pytest.approx((1.5 + 0.9 + 1.0) / 3)
    assert value_of(MeanRps(), [[2, 0], [0, 1], [0, 0]]) == pytest.approx((0.7 + 0.7 + 1.0) / 3)


def test_existing_containers_count_in_value_and_mean():
    cluster = Cluster(SPACE, 3, existing=np.array([[0, 1], [0, 0], [0, 0]]))
    assert value_of(MeanRps(), [[1, 0], [1, 0], [0, 0]], cluster) == pytest.approx((1.5 + 0.9 + 1.0) / 3)
    assert value_of(SloShare(0.9), [[1, 0], [1, 0], [0, 0]], cluster) == pytest.approx(1.0)


def test_slo_share_counts_containers_at_or_above_the_level():
    assert value_of(SloShare(0.9), [[1, 1], [1, 0], [0, 0]]) == pytest.approx(1.0)  # 0.9 is at the level
    assert value_of(SloShare(0.95), [[1, 1], [1, 0], [0, 0]]) == pytest.approx(2 / 3)
    assert value_of(SloShare(1.0), [[2, 0], [0, 1], [0, 0]]) == pytest.approx(1 / 3)


def test_free_nodes_add_beta_per_vacant_share():
    placement = [[1, 1], [1, 0], [0, 0]]
    assert value_of(FreeNodes(1.5), placement) == pytest.approx(value_of(MeanRps(), placement) + 1.5 / 3)
    assert value_of(FreeNodes(0), placement) == pytest.approx(value_of(MeanRps(), placement))


def test_latency_is_the_mean_speed_of_what_was_measured():
    placement = [[1, 1], [1, 0], [0, 0]]
    assert value_of(Latency(), placement) == pytest.approx((2.0 + 0.6 + 1.0) / 3)
    blind = Tables(SPACE, {"rps": RPS, "speed": np.column_stack([SPEED[:, 0], np.full(SPACE.size, np.nan)])})
    assert blind.unmeasured("speed") == {"db"}
    assert value_of(Latency(), placement, tables=blind) == pytest.approx((2.0 + 1.0) / 2)


def test_latency_names_whoever_was_not_measured():
    blind = Tables(SPACE, {"rps": RPS, "speed": np.column_stack([SPEED[:, 0], np.full(SPACE.size, np.nan)])})
    with pytest.raises(InputError, match=r"no latency was measured for db"):
        Latency().bind(np.array([0, 2]), CLUSTER, blind)
    with pytest.raises(InputError, match=r"'speed' is not among .* \(rps\): .*quantities="):
        Latency().bind(GROUP, CLUSTER, Tables(SPACE, {"rps": RPS}))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: SloShare(0), "objective.level 0"),
        (lambda: SloShare(11), "objective.level 11"),
        (lambda: FreeNodes(-1), "objective.beta -1"),
        (lambda: FreeNodes(101), "objective.beta 101"),
        (lambda: Tables(SPACE, {"rps": RPS[:3]}), "this space needs"),
        (lambda: Tables(SPACE, {"rps": RPS, "speed": SPEED[:, :1]}), "this space needs"),
    ],
)
def test_refuses_what_is_out_of_range(make, told):
    with pytest.raises(InputError, match=told):
        make()


def test_names_say_the_parameter():
    names = [o.name for o in (MeanRps(), SloShare(0.9), FreeNodes(0.5), Latency(), P99Below(2.0))]
    assert names == ["rps", "slo0.90", "free0.5", "latency", "p99<2s"]
    assert P99Below(2, {"web": 1, "db": 0.5}).name == P99Below(2, {"db": 0.5, "web": 1}).name
    assert P99Below(None, {"db": 0.5}).name == "p99<db 0.5s"


def test_p99_below_counts_containers_below_their_limit():
    both = P99Below(limits={"web": 1.0, "db": 0.3})
    # web alone takes just 1.0 s, beside db 0.9 s; db alone 0.2 s, beside web just 0.3 s: not below
    assert value_of(both, [[1, 1], [1, 0], [0, 0]]) == pytest.approx(1 / 3)
    assert value_of(both, [[1, 0], [1, 0], [0, 1]]) == pytest.approx(1 / 3)
    assert value_of(P99Below(1.1), [[1, 0], [1, 0], [0, 1]]) == pytest.approx(1.0)
    assert value_of(P99Below(1.1), [[2, 0], [0, 0], [0, 1]]) == pytest.approx(1 / 3)


def test_p99_below_an_application_without_limit_is_met_and_a_name_goes_before_the_default():
    assert value_of(P99Below(None, {"web": 1.0}), [[2, 0], [0, 0], [0, 1]]) == pytest.approx(1 / 3)
    assert value_of(P99Below(5.0, {"db": 0.1}), [[2, 0], [0, 0], [0, 1]]) == pytest.approx(2 / 3)


def test_p99_below_counts_existing_containers():
    cluster = Cluster(SPACE, 3, existing=np.array([[0, 1], [0, 0], [0, 0]]))
    assert value_of(P99Below(1.0), [[1, 0], [1, 0], [0, 0]], cluster) == pytest.approx(2 / 3)


def test_p99_below_needs_a_measured_latency():
    blind = Tables(SPACE, {"p99": np.column_stack([P99[:, 0], np.full(SPACE.size, np.nan)])})
    # the default limit says nothing of containers whose latency was never measured
    assert value_of(P99Below(1.0), [[1, 1], [1, 0], [0, 0]], tables=blind) == pytest.approx(1 / 2)
    with pytest.raises(InputError, match=r"objective\.limits\.db: no p99 was measured for db"):
        value_of(P99Below(limits={"db": 1.0}), [[1, 1], [1, 0], [0, 0]], tables=blind)
    assert value_of(P99Below(limits={"db": 1.0}), [[1, 0], [1, 0], [0, 0]], tables=blind) == 1.0
    with pytest.raises(InputError, match=r"no p99 was measured for db"):
        value_of(P99Below(1.0), [[0, 1], [0, 0], [0, 0]], tables=blind)
    with pytest.raises(InputError, match=r"unknown application 'cache'.*web, db"):
        value_of(P99Below(limits={"cache": 1.0}), [[1, 0], [0, 0], [0, 0]])


def test_an_objective_is_made_from_its_kind_and_parameters():
    assert make_objective({"kind": "slo", "level": 0.9}) == SloShare(0.9)
    assert make_objective({"kind": "free_nodes", "beta": 2}) == FreeNodes(2.0)
    assert make_objective({"kind": "p99_below", "limit": None, "limits": {"web": 2}}) == P99Below(
        None, {"web": 2.0}
    )
    assert make_objective({"kind": "p99_below", "limits": None}) == P99Below()
    assert make_objective({}) == MeanRps()
    assert all(make_objective({"kind": kind}).kind == kind for kind in OBJECTIVES)


def test_each_objective_states_the_quantities_that_it_needs():
    stated = {
        "rps": ("rps",),
        "slo": ("rps",),
        "free_nodes": ("rps",),
        "latency": ("speed",),
        "p99_below": ("p99",),
    }
    assert {kind: OBJECTIVES[kind].needs for kind in stated} == stated
    assert tabulated(MeanRps()) == ("rps",)
    assert tabulated(P99Below()) == ("rps", "p99")


class OneApp:
    """An objective of a user's own: containers of the first application beside no other."""

    kind, name, needs = "one_app", "one_app", ("rps",)

    def bind(self, group, cluster, tables):
        counts = tables.space.counts
        return counts[:, 0] * (counts[:, 1:] == 0).all(axis=1) / group[0]


def test_an_objective_of_the_users_own_is_named_by_module_and_class():
    own = make_objective({"kind": f"{__name__}:OneApp"})
    assert value_of(own, [[1, 1], [1, 0], [0, 0]]) == pytest.approx(0.5)
    with pytest.raises(InputError, match="OneApp has no such parameter; it has none"):
        make_objective({"kind": f"{__name__}:OneApp", "weight": 2})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "slos"}, "objective.kind 'slos': .*did you mean slo.*rps, slo, .*p99_below"),
        ({"kind": "speed"}, "objective.kind 'speed': .*use rps, slo"),
        (
            {"kind": "slo", "levle": 1},
            "objective.levle: slo has no such parameter; did you mean objective.level?",
        ),
        ({"kind": "rps", "beta": 1}, "objective.beta: rps has no such parameter; it has none"),
        ({"kind": "slo", "level": 50}, "objective.level 50"),
        ({"kind": "slo", "level": "much"}, "objective.level 'much'"),
        ({"kind": "p99_below", "limit": 0}, "objective.limit 0"),
        ({"kind": "p99_below", "limit": None}, "give objective.limit in seconds"),
        ({"kind": "p99_below", "limits": {"web": -1}}, "objective.limits.web -1"),
        ({"kind": "nowhere:Nothing"}, "'nowhere:Nothing': No module named"),
        ({"kind": "metis.problem.tables:Tables"}, "give a class with"),
    ],
)
def test_refuses_an_objective_that_cannot_be_made(given, message):
    with pytest.raises(InputError, match=message) as refused:
        make_objective(given)
    assert "\n" not in str(refused.value)
