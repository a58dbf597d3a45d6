import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.constraints import (
    APPLIST,
    RPSLIST,
    Constraint,
    Constraints,
    find_constraints,
    read_constraints,
)
from baselines.pairwise import pairwise_curves, read_pairwise
from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

PUBLISHED = Path(__file__).parents[3] / "shared" / "published"
PAIRWISE = PUBLISHED / "0905-7app-2008-pairwise-normed.csv"
APPS = ("Redis", "MMS", "Checksum", "YCSB-A", "YCSB-B", "SceneDetect", "ISR")
SPACE = ColocationSpace(("a", "b"), 4)


def curves():
    """a is slowed by itself from the second on and helped by one b; b minds nothing."""
    flat = np.ones((2, 2, 4))
    flat[0, 0] = [1.0, 0.95, 0.8, 0.7]
    flat[0, 1] = [1.0, 1.5, 1.2, 0.85]
    return flat


@pytest.fixture(scope="module")
def published():
    if not PAIRWISE.exists():
        pytest.skip(f"the published data is not in {PUBLISHED.parent.name}/{PUBLISHED.name}")
    per_app = PAIRWISE.with_name("0905-7app-2008-pairwise-normed-per-app.csv")
    return find_constraints(read_pairwise(PAIRWISE, per_app, APPS, 8), APPS)


@pytest.mark.published
def test_published_pairwise_profile_gives_the_published_files(published, tmp_path):
    assert len(published) == 39
    assert sum(item.at_least for item in published.items) == 2
    for path in published.write(tmp_path):
        assert path.read_text() == (PUBLISHED / path.name).read_text()


@pytest.mark.published
def test_the_full_published_profile_gives_the_same_constraints(published):
    from metis.measure.published import read_published

    profile = read_published(PUBLISHED / "0905-6435results-normed.npz")
    space = ColocationSpace(APPS, 8)
    rps = np.zeros((space.size, len(APPS)))
    rps[space.index(profile.colocations)] = np.nan_to_num(profile.rps)
    assert find_constraints(pairwise_curves(Tables(space, {"rps": rps})), APPS).items == published.items


def test_both_kinds_from_hand_made_curves():
    found = find_constraints(curves(), ("a", "b"))
    assert [str(item) for item in found.items] == [
        "a: at most 2 a",  # alone with one more of its kind it keeps 0.95
        "a: at least 1 b",
        "a: at most 2 b",
    ]
    assert found.rps is not None
    assert found.rps[1].tolist() == [1.0, 1.5, 1.2, 0.85]


def test_thresholds_decide():
    assert len(find_constraints(curves(), ("a", "b"), threshold=0.6)) == 0
    assert [str(item) for item in find_constraints(curves(), ("a", "b"), 0.25).items] == [
        "a: at most 3 a",
        "a: at least 1 b",
    ]
    for wrong in (0.0, 1.0, -0.1, math.nan):
        with pytest.raises(InputError, match="threshold"):
            find_constraints(curves(), ("a", "b"), wrong)


def test_rps_is_compared_with_the_rps_alone():
    assert find_constraints(curves() * 0.5, ("a", "b")).items == find_constraints(curves(), ("a", "b")).items
    dead = curves()
    dead[1, :, 0] = 0
    with pytest.raises(InputError, match="b alone"):
        find_constraints(dead, ("a", "b"))


def test_curves_of_tables_are_co_locations_of_the_space():
    rps = np.arange(SPACE.size * 2, dtype=float).reshape(SPACE.size, 2)
    found = pairwise_curves(Tables(SPACE, {"rps": rps}))
    assert found.shape == (2, 2, 4)
    assert found[0, 1].tolist() == [rps[SPACE.index([1, k]), 0] for k in range(4)]
    assert found[1, 1].tolist() == [rps[SPACE.index([0, k + 1]), 1] for k in range(4)]


def test_extent_is_summed_per_container():
    most = Constraints(("a", "b"), (Constraint("a", "b", False, 1),))
    least = Constraints(("a", "b"), (Constraint("a", "b", True, 2, weight=3.0),))
    table = most.extent_table(SPACE)
    assert table[SPACE.index([2, 2])] == 2  # two a, each one b too many
    assert table[SPACE.index([1, 3])] == 2
    assert table[SPACE.index([0, 4])] == 0
    assert least.extent_table(SPACE)[SPACE.index([2, 1])] == 6  # two a, each one b short, weight 3
    itself = Constraints(("a", "b"), (Constraint("a", "a", False, 1),))
    assert itself.extent_table(SPACE)[SPACE.index([3, 0])] == 6  # three a, each two over


def test_violations_of_a_placement():
    constraints = Constraints(
        ("a", "b"), (Constraint("a", "b", False, 0, weight=2.0), Constraint("b", "a", True, 1))
    )
    cluster = Cluster(SPACE, 3, np.array([[1, 0], [0, 0], [0, 0]]))
    found = constraints.violations(np.array([[0, 2], [0, 1], [1, 0]]), cluster)
    assert found.by_constraint == {"a: at most 0 b": 2.0, "b: at least 1 a": 1.0}
    assert (found.count, found.extent, found.weighted) == (2, 3.0, 5.0)
    assert found.total == (2 + 3) * 3
    per_node = constraints.node_extents(np.array([[0, 2], [0, 1], [1, 0]]), cluster)
    assert {rule: extents.tolist() for rule, extents in per_node.items()} == {
        "a: at most 0 b": [2, 0, 0],
        "b: at least 1 a": [0, 1, 0],
    }


@st.composite
def some_constraints(draw):
    def one():
        at_least = draw(st.booleans())
        names = st.sampled_from(["a", "b"])
        return Constraint(draw(names), draw(names), at_least, draw(st.integers(int(at_least), 4)))

    return Constraints(("a", "b"), tuple(one() for _ in range(draw(st.integers(0, 5)))))


@settings(max_examples=50, deadline=None)
@given(some_constraints(), st.integers(0, 2**32 - 1))
def test_a_placement_violates_what_its_nodes_do(constraints, seed):
    rng = np.random.default_rng(seed)
    placement = SPACE.counts[rng.integers(0, SPACE.size, 5)]
    found = constraints.violations(placement, Cluster(SPACE, 5))
    by_hand = 0
    for row in placement:
        for item in constraints.items:
            have, limit = row[SPACE.apps.index(item.other)], item.threshold
            off = max(limit - have, 0) if item.at_least else max(have - limit, 0)
            by_hand += off * row[SPACE.apps.index(item.app)]
    assert found.extent == by_hand == sum(found.by_constraint.values())
    assert constraints.extent_table(SPACE)[SPACE.index(placement)].sum() == found.weighted
    assert (found.count == 0) == (found.extent == 0)
    assert found.count <= found.total


def test_a_hard_constraint_is_a_rule_and_no_cost():
    hard = Constraints(("a", "b"), (Constraint("a", "b", False, 1, weight=math.inf),))
    assert not hard.extent_table(SPACE).any()
    mask = hard.mask(SPACE)
    assert mask[SPACE.index([2, 1])]
    assert mask[SPACE.index([0, 3])]
    assert not mask[SPACE.index([1, 2])]
    with pytest.raises(InputError, match="hard"):
        hard.write(Path("unused"))


def test_weights_by_pair():
    constraints = find_constraints(curves(), ("a", "b")).weighted([("a", "b", 2.5)])
    assert constraints.weights.tolist() == [1.0, 2.5, 2.5]
    with pytest.raises(InputError, match="'c'"):
        constraints.weighted([("a", "c", 2.0)])
    with pytest.raises(InputError, match="weight"):
        constraints.weighted([("a", "b", 0.0)])


def test_files_are_read_back(tmp_path):
    found = find_constraints(curves(), ("a", "b"))
    found.write(tmp_path)
    again = read_constraints(tmp_path / APPLIST, ("a", "b"), 4)
    assert again.items == found.items
    assert again.rps is not None
    assert found.rps is not None
    assert (again.rps == found.rps).all()
    assert (
        (tmp_path / APPLIST).read_text().startswith("app_s,app_c,less_or_lager,threshold\n1,1,0,2\n1,2,1,1\n")
    )
    assert (tmp_path / RPSLIST).read_text().splitlines()[1] == "1.0,0.95,0.8,0.7"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3,1,0,1", "line 2: unknown application 3"),
        ("1,0,0,1", "line 2: unknown application 0"),
        ("1,1,0,5", "line 2.*threshold 5"),
        ("1,1,1,0", "line 2.*threshold 0"),
        ("1,1,2,1", "line 2.*less_or_lager 2"),
        ("1,1,0", "line 2: has 3 values, the header 4 names"),
        ("1,1,0,1,1", "line 2: has 5 values, the header 4 names"),
        ("1,1,0,x", "line 2: give 4 whole numbers"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, message):
    path = tmp_path / "bad.csv"
    path.write_text(f"app_s,app_c,less_or_lager,threshold\n{line}\n")
    with pytest.raises(InputError, match=message):
        read_constraints(path, ("a", "b"), 4)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_constraints(tmp_path / "missing.csv", ("a", "b"), 4)
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="first line must be"):
        read_constraints(path, ("a", "b"), 4)


def test_constraints_must_fit_the_cluster():
    constraints = Constraints(("a", "b"), (Constraint("a", "b", False, 5),))
    with pytest.raises(InputError, match="4 slots"):
        constraints.extent_table(SPACE)
    with pytest.raises(InputError, match="the cluster runs"):
        constraints.extent_table(ColocationSpace(("a", "c"), 8))
    with pytest.raises(InputError, match="unknown application 'c'"):
        Constraints(("a", "b"), (Constraint("a", "c", False, 1),))
    with pytest.raises(InputError, match="whole number"):
        Constraint("a", "b", True, 0)


def test_the_table_shows_every_constraint():
    lines = find_constraints(curves(), ("a", "b")).table().splitlines()
    assert len(lines) == 4
    assert lines[2].split() == ["a", "at", "least", "1", "b", "1", "1.00", "1.50", "1.20", "0.85"]


def test_pairwise_files(tmp_path):
    space = ColocationSpace(("a", "b"), 2)
    counts, rps = tmp_path / "counts.csv", tmp_path / "rps.csv"
    rows = [(1, 0, 1.0, 0), (0, 1, 0, 1.0), (2, 0, 0.9, 0), (0, 2, 0, 0.8), (1, 1, 0.5, 1.5)]
    counts.write_text("a,b,total\n" + "".join(f"{a},{b},9\n" for a, b, _, _ in rows))
    rps.write_text("a,b\n" + "".join(f"{a},{b}\n" for _, _, a, b in rows))
    found = read_pairwise(counts, rps, space.apps, 2)
    assert found.tolist() == [[[1.0, 0.9], [1.0, 0.5]], [[1.0, 1.5], [1.0, 0.8]]]
    with pytest.raises(InputError, match="no row measures one a beside 2 a"):
        read_pairwise(counts, rps, space.apps, 3)
    rps.write_text("a,b\n1.0,0\n")
    with pytest.raises(InputError, match="same rows"):
        read_pairwise(counts, rps, space.apps, 2)
    rps.write_text("a,b\n1.0,x\n")
    with pytest.raises(InputError, match="not a readable CSV"):
        read_pairwise(counts, rps, space.apps, 2)
