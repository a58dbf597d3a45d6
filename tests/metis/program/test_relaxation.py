"""The linear relaxation: hand-solvable cases, and the same as one program over all columns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.space import ColocationSpace
from metis.program import relaxation
from metis.program.relaxation import relax

TWO = ColocationSpace(("A", "B"), 2)


def worth_of(space, **named):
    """Worth of co-locations by name, such as AB=3; 0 for all others."""
    worth = np.zeros(space.size)
    for name, value in named.items():
        worth[space.index(np.array([[name.count(app) for app in space.apps]]))] = value
    return worth


def whole(worth, group, cluster):
    """Least cost of one program over all co-locations, without existing containers."""
    space = cluster.space
    ids = np.flatnonzero((space.counts <= group).all(axis=1) & (cluster.allowed | (space.totals == 0)))
    matrix = np.hstack([space.counts[ids], np.ones((len(ids), 1))]).T
    return linprog(-worth[ids], A_eq=matrix, b_eq=[*group, cluster.nodes])


def test_the_better_pairs_are_taken():
    worth = worth_of(TWO, A=1, B=1, AB=3, AA=1, BB=1)
    found = relax(worth, np.array([2, 2]), Cluster(TWO, 2))
    assert found.bound == pytest.approx(6)
    assert found.nodes[TWO.index(np.array([[1, 1]]))] == pytest.approx(2)


def test_fractions_reach_more_than_whole_nodes():
    # whole: AB beside C, 2.1; in fractions half a node of each pair, 3
    space = ColocationSpace(("A", "B", "C"), 2)
    worth = worth_of(space, AB=2, BC=2, AC=2, A=0.1, B=0.1, C=0.1)
    assert relax(worth, np.array([1, 1, 1]), Cluster(space, 2)).bound == pytest.approx(3.0)


def test_existing_containers_count():
    worth = worth_of(TWO, A=1, B=1, AB=5, AA=1, BB=1)
    cluster = Cluster(TWO, 2, existing=np.array([[1, 0], [0, 0]]))
    found = relax(worth, np.array([0, 1]), cluster)
    assert found.bound == pytest.approx(5)


def test_what_no_rule_admits_is_refused():
    allowed = np.ones(TWO.size, dtype=bool)
    allowed[TWO.index(np.array([[1, 1], [2, 0], [0, 2]]))] = False
    with pytest.raises(InputError, match="no placement satisfies the rules"):
        relax(np.ones(TWO.size), np.array([2, 1]), Cluster(TWO, 2, allowed=allowed))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), nodes=st.integers(2, 9), few=st.booleans())
def test_it_is_one_program_over_all_columns(seed, nodes, few):
    rng = np.random.default_rng(seed)
    space = ColocationSpace(("A", "B", "C"), 4)
    worth = rng.uniform(0, 1, space.size) * space.totals
    worth[0] = 0.0
    group = rng.multinomial(rng.integers(1, 4 * nodes + 1), [1 / 3] * 3)
    allowed = rng.uniform(size=space.size) < 0.8
    cluster = Cluster(space, nodes, allowed=allowed)
    expected = whole(worth, group, cluster)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relaxation, "COLUMNS", 2 if few else 300)
        if not expected.success:
            with pytest.raises(InputError):
                relax(worth, group, cluster)
            return
        found = relax(worth, group, cluster)
    assert found.bound == pytest.approx(-expected.fun, abs=1e-7)
    assert found.nodes @ space.counts == pytest.approx(group, abs=1e-6)
    assert found.nodes.sum() == pytest.approx(nodes, abs=1e-6)
    assert found.nodes @ worth == pytest.approx(found.bound, abs=1e-6)
