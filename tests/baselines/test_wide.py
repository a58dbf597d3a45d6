"""Schedulers by an oracle: the same as by a table where there is one, and sound where there is none."""

import numpy as np
import pytest

from baselines.contract import Materials, WideMaterials
from baselines.registry import SCHEDULERS, check_wide, entry_of, make_scheduler, make_wide_scheduler
from metis.errors import InputError, PlacementError
from metis.learn.prices.network import drawn_weights
from metis.learn.prices.weights import PriceWeights
from metis.measure.synthetic import SyntheticModel, SyntheticOracle
from metis.measure.testbed import EmbeddedTestbed
from metis.problem.cluster import Cluster
from metis.problem.evaluation import evaluate, value
from metis.problem.objectives import FreeNodes, MeanRps
from metis.problem.oracle import worth_of
from metis.problem.rules import Rules

MODEL = SyntheticModel.drawn(5, 4)
TABLES = EmbeddedTestbed(MODEL, 4, 0.0).truth()
ORACLE = SyntheticOracle(MODEL, 4)
GROUP = np.array([7, 5, 6, 2, 4])
WIDE = [name for name in SCHEDULERS if entry_of(name).wide is not None]


@pytest.mark.parametrize("objective", [MeanRps(), FreeNodes(0.5)])
@pytest.mark.parametrize("name", ["greedy", "spread", "round_robin"])
def test_places_the_same_by_an_oracle_as_by_a_table(name, objective):
    rules = Rules(at_most={"app-1": 2}, never_together=(("app-4", "app-2"),))
    cluster = Cluster(TABLES.space, 8, allowed=rules.mask(TABLES.space), rules=rules)
    by_table = make_scheduler(name, Materials(TABLES))
    placed = by_table.place(GROUP, cluster, objective.bind(GROUP, cluster, TABLES)).placement
    by_oracle = make_wide_scheduler(name)
    same = by_oracle.place(GROUP, cluster, worth_of(objective, GROUP, cluster, ORACLE)).placement
    if name != "round_robin":  # which goes by ids where there are some
        np.testing.assert_array_equal(placed, same)
    assert placed.sum() == same.sum()


def test_local_search_by_an_oracle_ends_where_that_by_a_table_does():
    cluster = Cluster(TABLES.space, 8)
    worth = MeanRps().bind(GROUP, cluster, TABLES)
    one = make_scheduler("spread+local_search", Materials(TABLES)).place(GROUP, cluster, worth)
    oracle = worth_of(MeanRps(), GROUP, cluster, ORACLE)
    other = make_wide_scheduler("spread+local_search").place(GROUP, cluster, oracle)
    assert other.trace["steps"] == one.trace["steps"] > 0
    assert value(other.placement, cluster, worth) == pytest.approx(value(one.placement, cluster, worth))


@pytest.mark.parametrize("name", [*WIDE, "greedy+local_search", f"{__name__}:by_hand"])
def test_keeps_the_contract_where_nothing_is_tabulated(name):
    oracle = SyntheticOracle(SyntheticModel.drawn(40, 1), 8)
    rules = Rules(never_together=(("app-01", "app-02"),))
    cluster = Cluster(oracle.space, 4, existing=np.eye(4, 40, dtype=int), rules=rules)
    group = np.zeros(40, dtype=int)
    group[[1, 5, 6, 7, 30]] = [2, 4, 3, 2, 4]
    worth = worth_of(MeanRps(), group, cluster, oracle)
    weights = PriceWeights(drawn_weights(8, 1, np.random.default_rng(0)), "rps")
    materials = WideMaterials(weights=lambda learner: weights)
    decision = make_wide_scheduler(name, materials).place(group, cluster, worth)
    found = evaluate(decision.placement, cluster, oracle, worth)
    assert found.value == pytest.approx(found.rps)
    assert len(found.container_rps) == group.sum() + 4


def by_hand(group, cluster, worth):
    """A scheduler of a user's own: the first node that keeps the rules."""
    assert worth.of(cluster.existing).shape == (cluster.nodes,)
    placement = np.zeros_like(cluster.existing)
    for app in np.repeat(np.arange(len(group)), group):
        after = placement + cluster.existing + np.eye(len(group), dtype=int)[app]
        fits = (after.sum(axis=1) <= cluster.space.slots) & cluster.admits(after)
        placement[fits.argmax(), app] += 1
    return placement, {}


def test_a_broken_rule_is_an_error_where_nothing_is_tabulated():
    oracle = SyntheticOracle(SyntheticModel.drawn(40, 1), 8)
    cluster = Cluster(oracle.space, 1, rules=Rules(never_together=(("app-01", "app-02"),)))
    group = np.zeros(40, dtype=int)
    group[:2] = 1
    worth = worth_of(MeanRps(), group, cluster, oracle)
    with pytest.raises(PlacementError, match=r"node 0 holds 1 app-01 \+ 1 app-02, which a rule forbids"):
        make_wide_scheduler(f"{__name__}:all_on_one").place(group, cluster, worth)
    for name in ("greedy", "spread"):
        with pytest.raises(PlacementError, match="no node admits another container of app-02"):
            make_wide_scheduler(name).place(group, cluster, worth)


def all_on_one(group, cluster, worth):
    return group[None], {}


def test_what_needs_a_table_is_refused_by_name():
    for name in ("metis-flat", "medea+local_search"):
        with pytest.raises(
            InputError, match=rf"'{name.replace('+', '.')}' needs a table .* use optimum, columns, greedy"
        ):
            check_wide(name)
    with pytest.raises(InputError, match="'colums' is unknown"):
        check_wide("colums")
