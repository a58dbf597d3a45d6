"""The order of moves: every state on the way keeps capacity and rules."""

import numpy as np
import pytest

from metis.operate.waves import Move, Order, WaveOrder, as_named_waves
from metis.problem.cluster import Cluster
from metis.problem.limits import limits_of, most_on_one
from metis.problem.node_types import NodeTypeSettings, state_problem
from metis.problem.rules import Rules
from metis.problem.space import ColocationSpace

SPACE = ColocationSpace(("a", "b", "c"), 3)
FREE = WaveOrder(Cluster(SPACE, 1))
RULES = {
    "none": Rules(),
    "apart": Rules(never_together=(("a", "b"),), at_most={"c": 2}),
    "beside": Rules(only_beside={"c": ("a",)}),
}


def states(order: Order, before):
    """Every placement on the way, one container at a time, int [states, nodes, apps]."""
    held, seen = before.copy(), []

    def change(node, app, by):
        if node is not None:
            held[node, app] += by
            seen.append(held.copy())

    for wave in order.waves:
        for move in wave:
            if move.stop_first:
                change(move.source, move.app, -1)
        for move in wave:
            change(move.target, move.app, +1)
        for move in reversed(wave):
            if not move.stop_first:
                change(move.source, move.app, -1)
    return np.array(seen).reshape(-1, *before.shape)


def illegal_rows(allowed, rows, started):
    """Co-locations on the way that break capacity or a rule, bool [rows].

    Args:
        allowed: by the rules, bool [SPACE.size].
        rows: what a node holds on the way, int [rows, apps].
        started: what it held before everything: one that broke a rule may go on to while it only loses.
    """
    lost = (rows < 0).any(axis=1) | (rows.sum(axis=1) > SPACE.slots)
    ids = SPACE.index(np.where(lost[:, None], 0, rows))
    kept = ~allowed[SPACE.index(started)] & (rows <= started).all(axis=1)
    return lost | ~(allowed[ids] | kept)


def filled(rng, allowed, nodes, tries):
    """A placement within the rules, container by container."""
    ids, plus = [0] * nodes, SPACE.plus
    for node, app in zip(
        rng.integers(nodes, size=tries).tolist(), rng.integers(3, size=tries).tolist(), strict=True
    ):
        reached = plus[ids[node], app]
        if reached >= 0 and allowed[reached]:
            ids[node] = reached
    return SPACE.counts[ids]


@pytest.mark.parametrize("name", RULES)
def test_ten_thousand_random_plans_pass_no_illegal_state(name):
    rng = np.random.default_rng(0)
    allowed = RULES[name].mask(SPACE)
    rules = WaveOrder(Cluster(SPACE, 1, allowed=allowed))
    rows, started, complete = [], [], 0
    for i in range(3400):
        nodes = int(rng.integers(2, 5))
        before = filled(rng, allowed, nodes, 3 * nodes + 6 * (i % 3))
        # the same containers elsewhere, or others
        after = before[rng.permutation(nodes)] if i % 2 else filled(rng, allowed, nodes, 3 * nodes)
        unavailable = i % 4 // 2
        order = rules.order(before, after, unavailable)
        passed = states(order, before)
        rows.append(passed.reshape(-1, 3))
        started.append(np.tile(before, (len(passed), 1)))
        assert order.complete is False or ([before, *passed][-1] == after).all()
        assert order.down.max() <= unavailable
        fewest = np.minimum(before.sum(axis=0), after.sum(axis=0)) - unavailable
        assert (passed.sum(axis=1) >= fewest).all()  # no container is lost on the way
        complete += order.complete
    assert not illegal_rows(allowed, np.concatenate(rows), np.concatenate(started)).any()
    assert complete > 2000


def test_a_move_with_room_starts_before_the_old_copy_goes():
    before, after = np.array([[2, 0, 0], [0, 1, 0]]), np.array([[1, 0, 0], [1, 1, 0]])
    order = FREE.order(before, after, startup=[4.0, 9.0, 1.0])
    assert order.waves == ((Move(0, 0, 1),),)
    assert order.seconds == 4.0
    assert order.complete
    assert not order.down.any()


def test_a_full_node_gives_before_it_takes():
    before = np.array([[3, 0, 0], [0, 2, 0]])
    order = FREE.order(before, np.array([[2, 1, 0], [1, 1, 0]]))
    assert order.waves == ((Move(0, 0, 1),), (Move(1, 1, 0),))


def test_a_swap_of_full_nodes_goes_over_a_free_slot():
    before, after = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 1]]), np.array([[2, 1, 0], [1, 2, 0], [0, 0, 1]])
    order = FREE.order(before, after)
    assert order.complete
    assert order.detours == 1
    assert order.waves[0][0] == Move(order.waves[0][0].app, order.waves[0][0].source, 2, detour=True)
    assert len(order.waves) == 3


def test_a_swap_without_any_room_is_impossible_unless_some_may_be_down():
    before, after = np.array([[3, 0, 0], [0, 3, 0]]), np.array([[2, 1, 0], [1, 2, 0]])
    stuck = FREE.order(before, after)
    assert not stuck.complete
    assert stuck.waves == ()
    assert stuck.left.sum() == 2
    order = FREE.order(before, after, unavailable=1)
    assert order.complete
    assert order.down.tolist() == [1, 1, 0]
    assert {(move.source, move.target, move.stop_first) for move in order.waves[0]} == {
        (0, 1, True),
        (1, 0, True),
    }


def test_a_container_and_the_one_it_needs_move_together():
    rules = WaveOrder(Cluster(SPACE, 1, allowed=RULES["beside"].mask(SPACE)))
    order = rules.order(np.array([[1, 0, 1], [0, 0, 0]]), np.array([[0, 0, 0], [1, 0, 1]]))
    assert [[move.app for move in wave] for wave in order.waves] == [[0, 2]]  # the host starts first


def test_what_arrives_and_what_leaves_has_one_end_only():
    before, after = np.array([[1, 0, 0], [0, 1, 0]]), np.array([[1, 1, 0], [0, 1, 0]])
    assert FREE.order(before, after).waves == ((Move(1, None, 0),),)
    assert FREE.order(after, before).waves == ((Move(1, 0, None),),)


def test_nothing_to_do_is_no_wave():
    order = FREE.order(np.eye(3, dtype=np.int64), np.eye(3, dtype=np.int64))
    assert order.waves == ()
    assert order.complete
    assert order.seconds == 0


def test_waves_are_named_by_application_and_node():
    before, after = np.array([[3, 0, 0], [0, 3, 0]]), np.array([[2, 1, 0], [1, 2, 0]])
    named = as_named_waves(FREE.order(before, after, unavailable=1), SPACE.apps, ["n1", "n2"])
    assert {"app": "a", "from": "n1", "to": "n2", "stop_first": True} in named[0]


TYPES = (
    NodeTypeSettings("small", count=3, slots=2, capacity={"cpu": 2}, domains={"zone": ("x", "y")}),
    NodeTypeSettings("large", count=2, slots=3, capacity={"cpu": 4}, domains={"zone": ("x", "y")}),
)
REQUESTS = {"a": {"cpu": 1}, "b": {"cpu": 2}, "c": {"cpu": 0.5}}
STATED = Rules(never_together=(("a", "b"),), spread={"a": {"zone": 2}, "c": {"node": 1}})


def fits(cluster, held, before):
    """Whether what runs keeps capacities, rules and limits, both copies counted; what broke them may stay."""
    made, total = cluster.stated, np.full(3, 99)  # so that no limit is left out as one that cannot bind
    if (held @ made.requests > made.capacity).any():
        return False
    kept = (held <= before).all(axis=1)
    right = cluster.admits(held) & (held <= most_on_one(made, total)).all(axis=1)
    limits = all(one.used(held) <= max(one.most, one.used(before)) for one in limits_of(made, total))
    return (right | kept).all() and limits


def test_random_plans_on_nodes_that_differ_pass_no_illegal_state():
    rng = np.random.default_rng(2)
    made = state_problem(TYPES, REQUESTS, STATED, SPACE.apps, 3, np.ones(3, dtype=np.int64))
    cluster = Cluster(SPACE, 5, allowed=STATED.mask(SPACE), rules=STATED, stated=made)
    rules, complete = WaveOrder(cluster), 0
    for i in range(300):
        before, after = np.zeros((2, 5, 3), dtype=np.int64)
        for _ in range(12):
            for held in (before, after):
                node, app = rng.integers(5), rng.integers(3)
                held[node, app] += 1
                if not fits(cluster, held, held * 0):
                    held[node, app] -= 1
        order = rules.order(before, after, unavailable=i % 2)
        passed = states(order, before)
        assert not order.complete or ([before, *passed][-1] == after).all()
        assert all(fits(cluster, held, before) for held in passed)
        complete += order.complete
    assert complete > 150


def test_a_limit_that_is_reached_lets_a_container_stop_first():
    rules = Rules(spread={"a": {"zone": 1}})
    made = state_problem(TYPES[:1], REQUESTS, rules, SPACE.apps, 3, np.ones(3, dtype=np.int64))
    cluster = Cluster(SPACE, 3, allowed=rules.mask(SPACE), rules=rules, stated=made)
    before, after = np.zeros((2, 3, 3), dtype=np.int64)
    before[0, 0] = after[2, 0] = 1  # both in zone x
    assert not WaveOrder(cluster).order(before, after).complete
    order = WaveOrder(cluster).order(before, after, unavailable=1)
    assert order.waves == ((Move(0, 0, 2, stop_first=True),),)
