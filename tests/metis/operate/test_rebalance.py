"""Plans of moves with their figures, order and reasons."""

import numpy as np
import pytest

from metis.errors import InputError
from metis.operate.prices import explain_container, explain_node
from metis.operate.rebalance import rebalance, shown_points
from metis.operate.settings import RebalanceSettings
from metis.problem.cluster import Cluster
from metis.problem.rules import Rules
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

SPACE = ColocationSpace(("a", "b"), 2)
# alone 1, two alike 0.5 each, a beside b 0.9 each
RPS = {(1, 0): (1, 0), (0, 1): (0, 1), (2, 0): (0.5, 0), (0, 2): (0, 0.5), (1, 1): (0.9, 0.9)}
TABLES = Tables(SPACE, {"rps": np.array([RPS.get(tuple(c), (0, 0)) for c in SPACE.counts.tolist()], float)})
WORTH = (SPACE.counts * TABLES.rps).sum(axis=1)
NODES = ("n1", "n2", "n3")


def made(existing, moves, rules=None, **words):
    cluster = Cluster(SPACE, 3, existing=np.array(existing), allowed=(rules or Rules()).mask(SPACE))
    chosen = RebalanceSettings(gap=0.0, **words.pop("chosen", {}))
    return rebalance(TABLES, WORTH, cluster, NODES, moves, chosen, **words)


def test_one_plan_has_its_figures_placement_and_waves():
    found = made([[2, 0], [0, 2], [0, 0]], 1, chosen={"startup": {"a": 3.0, "b": 4.0}})
    document = found.document(0)
    assert document["moves"] == 1
    assert document["value"] == pytest.approx(3.0)
    assert document["rps"] == pytest.approx(0.75)
    assert document["bound"] == pytest.approx(3.0)
    assert document["gap"] == 0
    [[move]] = document["waves"]
    assert move == {"app": move["app"], "from": {"a": "n1", "b": "n2"}[move["app"]], "to": "n3"}
    assert document["takes"] == {"a": 3.0, "b": 4.0}[move["app"]]
    assert sum(sum(held.values()) for held in document["placement"].values()) == 4
    assert found.before == {"value": 2.0, "rps": 0.5, "breaks": {}}


def test_a_frontier_proposes_where_the_next_move_gains_less_than_the_mean():
    found = made([[2, 0], [0, 2], [0, 0]], [0, 1, 2, 3])
    assert [plan.value for plan in found.plans] == pytest.approx([2.0, 3.0, 3.8, 3.8])
    knee = found.knee()
    assert found.plans[knee.index].moves == 1
    assert "1 moves bring 56% of what 2 bring" in knee.why
    mean, each = (
        float(knee.why.split(before)[1].split()[0].rstrip(",")) for before in ("mean of ", "next 1: ")
    )
    assert each < mean


def test_a_frontier_of_what_cannot_be_better_proposes_no_move():
    found = made([[1, 0], [0, 1], [0, 0]], None)
    assert found.knee().index == 0
    assert found.plans[0].moves == 0


def test_where_nothing_may_move_the_frontier_is_what_runs():
    found = made([[2, 0], [0, 2], [0, 0]], None, chosen={"stay": ("a", "b")})
    assert [(plan.moves, plan.value) for plan in found.plans] == [(0, pytest.approx(2.0))]
    assert found.document(0)["waves"] == []


def test_a_node_that_breaks_a_rule_is_named_and_said_to_be_mended():
    found = made([[2, 0], [0, 0], [0, 0]], 1, Rules(at_most={"a": 1}))
    assert found.before["breaks"] == {"n1": "2 a"}
    assert found.document(0)["mends"] == ["n1"]


def test_what_finds_no_order_is_named():
    rules = Rules(never_together=(("a", "b"),))
    full = Cluster(SPACE, 3, existing=np.array([[2, 0], [0, 2], [2, 0]]), allowed=rules.mask(SPACE))
    worth = np.arange(SPACE.size, dtype=float)
    found = rebalance(TABLES, worth, full, NODES, 9, RebalanceSettings())
    assert found.document(0)["moves"] == 0


def test_a_node_is_explained_by_prices():
    found = made([[2, 0], [0, 2], [0, 0]], 1)
    moving = explain_node(found, 0, found.document(0)["waves"][0][0]["from"])
    assert moving["moves"] == 1
    assert moving["surplus"] >= -1e-9
    assert "goes from 2" in moving["why"]
    staying = explain_node(found, 0, "n1" if moving["node"] == "n2" else "n2")
    assert staying["holds"] == staying["becomes"]
    assert "no change is worth its moves" in staying["why"]


def test_rounding_is_no_loss():
    """Which of two alike containers moves is all the same."""
    found = made([[2, 0], [2, 0], [0, 0]], 1)
    moving = explain_node(found, 0, found.document(0)["waves"][0][0]["from"])
    assert "one move costs" in moving["why"]
    other = explain_node(found, 0, "n1" if moving["node"] == "n2" else "n2")
    for one in (moving, other):
        assert one["second_loses"] == 0 or abs(one["second_loses"]) > 1e-9
        assert "e-1" not in one["why"]


def test_a_container_is_explained_by_prices():
    found = made([[1, 0], [1, 1], [0, 0]], 0)
    stays = explain_container(found, 0, "a-2")
    assert (stays["node"], stays["moves"], stays["without"]) == ("n2", False, "1 b")
    assert stays["loses"] >= -1e-9
    lower = f"lower by {stays['loses']:.3g}" if stays["loses"] else "nothing is gained by it"
    assert stays["why"].startswith(
        "a-2 stays on n2, which ends up with 1 a + 1 b. Without it, n2 would best hold"
    )
    assert stays["why"].endswith(lower)
    pinned = made([[2, 0], [0, 0], [0, 0]], 1, chosen={"stay": ("a",)})
    words = "a-1 stays on n1: rebalance.stay lets no container of a move"
    assert explain_container(pinned, 0, "a-1")["why"] == words
    moving = made([[2, 0], [0, 0], [0, 0]], 1)
    assert [explain_container(moving, 0, f"a-{i}")["moves"] for i in (1, 2)] == [True, False]
    words = "a-1 moves: the plan takes 1 of the 2 a, which are alike, off n1"
    assert explain_container(moving, 0, "a-1")["why"] == words
    receives = moving.plans[0].placement[1:].sum(axis=1).argmax() + 1
    assert "no container of its own has to move" in explain_node(moving, 0, moving.nodes[receives])["why"]


@pytest.mark.parametrize(
    ("explain", "name", "says"),
    [
        (explain_node, "n9", "why=n9: there is no such node; there are n1 to n3"),
        (explain_container, "c-1", r"why_not=c-1: give APPLICATION-NUMBER"),
        (
            explain_container,
            "a-3",
            "why_not=a-3: 2 containers of a run; give a-1 to a-2, counted node by node",
        ),
        (
            explain_container,
            "a-0",
            "why_not=a-0: 2 containers of a run; give a-1 to a-2, counted node by node",
        ),
        (
            explain_container,
            "b-1",
            "why_not=b-1: 0 containers of b run; give one of an application that runs",
        ),
        (explain_container, "a-x", "why_not=a-x: give"),
    ],
)
def test_what_there_is_not_cannot_be_explained(explain, name, says):
    found = made([[2, 0], [0, 0], [0, 0]], 0)
    with pytest.raises(InputError, match=says):
        explain(found, 0, name)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"move_cost": {"c": 1.0}}, "move_cost names the unknown application 'c'"),
        ({"move_cost": {"a": -1.0}}, "move_cost.a -1: give 0 or more"),
        ({"chosen": {"stay": ("c",)}}, "rebalance.stay names the unknown application 'c'"),
        ({"chosen": {"startup": {"c": 1.0}}}, "rebalance.startup names the unknown application 'c'"),
    ],
)
def test_unknown_applications_are_refused(words, says):
    with pytest.raises(InputError, match=says):
        made([[2, 0], [0, 0], [0, 0]], 1, **words)


def test_seconds_of_a_start_are_no_less_than_none():
    with pytest.raises(InputError, match=r"rebalance\.startup\.a -1: give seconds, 0 or more"):
        RebalanceSettings(startup={"a": -1.0})


@pytest.mark.parametrize(
    ("values", "least", "found"),
    [
        ([1.0, 1.2, 1.3, 1.3, 1.3], 0, (3, "4 moves gain no more than 2")),
        ([1.0, 1.2, 1.2, 1.3], 0, (4, "")),
        ([1.0, 1.0], 0, (1, "1 move gains no more than 0")),
        ([1.0, 1.0 + 1e-12], 1, (2, "")),
        ([1.0], 0, (1, "")),
    ],
)
def test_a_frontier_is_shown_up_to_the_last_number_of_moves_that_gains(values, least, found):
    points = [{"value": value, "cost": 0.0, "limit": i} for i, value in enumerate(values)]
    assert shown_points(points, least) == found
