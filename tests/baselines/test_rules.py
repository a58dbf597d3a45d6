"""Rules hold for every scheduler, and what already runs stays, whatever the rules."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baselines.contract import Materials
from baselines.medea import MedeaSettings
from baselines.registry import SCHEDULERS, learns, make_scheduler
from metis.errors import InputError, PlacementError
from metis.problem.cluster import Cluster
from metis.problem.objectives import MeanRps
from metis.problem.rules import Rules
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

SPACE = ColocationSpace(("Redis", "MMS", "Checksum", "ISR"), 4)
WITHOUT_LEARNING = [name for name in SCHEDULERS if not learns(name)]
NAMES = [name + suffix for name in WITHOUT_LEARNING for suffix in ("", "+local_search")]
REFUSALS = ("no placement satisfies the rules", "no node can hold")


def breaks(rules, counts):
    """Whether one node's counts break a rule, read off the rules' words, not their mask."""
    held = dict(zip(SPACE.apps, counts, strict=True))
    for a, b in rules.never_together:
        if held[a] and held[b] and (a != b or held[a] > 1):
            return True
    if any(held[app] > most for app, most in rules.at_most.items()):
        return True
    return any(held[app] and not any(held[h] for h in hosts) for app, hosts in rules.only_beside.items())


@st.composite
def some_rules(draw):
    apps = st.sampled_from(SPACE.apps)
    never = draw(st.lists(st.tuples(apps, apps), max_size=2))
    at_most = draw(st.dictionaries(apps, st.integers(0, 3), max_size=2))
    guests = draw(st.lists(apps, max_size=2, unique=True))
    beside = {}
    for guest in guests:
        others = [app for app in SPACE.apps if app != guest]
        beside[guest] = draw(st.lists(st.sampled_from(others), min_size=1, max_size=2, unique=True))
    return Rules(never, at_most, beside)


@st.composite
def cases(draw):
    rules = draw(some_rules())
    rng = np.random.default_rng(draw(st.integers(0, 100_000)))
    nodes = draw(st.integers(1, 5))
    existing = rng.multinomial(2, [0.15, 0.15, 0.15, 0.15, 0.4], size=nodes)[:, :4] * draw(st.integers(0, 1))
    cluster = Cluster(SPACE, nodes, existing=existing, allowed=rules.mask(SPACE))
    most = max(cluster.free_slots // 2, 1)
    group = rng.multinomial(rng.integers(1, most + 1), np.full(4, 0.25))
    rps = np.where(SPACE.counts > 0, rng.uniform(0.3, 1.5, SPACE.counts.shape), 0.0)
    return rules, cluster, group, Tables(SPACE, {"rps": rps})


def tried(name, group, cluster, tables):
    """The placement, or None where the scheduler reports that there is none."""
    before = cluster.existing.copy()
    worth = MeanRps().bind(group, cluster, tables)
    quick = Materials(tables, {"medea": MedeaSettings(draws=0)})  # its random draws cost a solve each
    try:
        placement = make_scheduler(name, quick).place(group, cluster, worth).placement
    except InputError as error:
        assert any(words in str(error) for words in REFUSALS)  # noqa: PT017
        return None
    except PlacementError as error:
        assert "no node admits" in str(error)  # noqa: PT017
        return None
    finally:
        np.testing.assert_array_equal(cluster.existing, before)
    return placement


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_rules_hold_for_every_scheduler(name, case):
    rules, cluster, group, tables = case
    placement = tried(name, group, cluster, tables)
    if placement is None:
        return
    total = placement + cluster.existing
    assert (placement >= 0).all()
    np.testing.assert_array_equal(placement.sum(axis=0), group)
    assert (total.sum(axis=1) <= SPACE.slots).all()
    broken = [n for n in range(cluster.nodes) if placement[n].any() and breaks(rules, total[n])]
    assert not broken


@settings(max_examples=60, deadline=None)
@given(cases())
def test_where_the_optimum_finds_nothing_no_other_does(case):
    _, cluster, group, tables = case
    if tried("optimum", group, cluster, tables) is None:
        for name in ("greedy", "spread", "round_robin"):
            assert tried(name, group, cluster, tables) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_guest_is_placed_beside_its_host(name):
    """`only_beside`, on a group that any scheduler can place: two slots stay free beside every two Redis."""
    rules = Rules(at_most={"Redis": 2}, only_beside={"MMS": ["Redis"], "ISR": ["Redis", "MMS"]})
    cluster = Cluster(SPACE, 6, allowed=rules.mask(SPACE))
    group = np.array([6, 2, 1, 1])
    rps = np.where(SPACE.counts > 0, 1.2 - 0.1 * SPACE.totals[:, None], 0.0)
    placement = tried(name, group, cluster, Tables(SPACE, {"rps": rps}))
    assert placement is not None
    assert not any(breaks(rules, row) for row in placement)
