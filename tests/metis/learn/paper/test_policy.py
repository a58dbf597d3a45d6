"""The rollout and the update, against definitions recomputed in plain numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis.learn.paper.policy import Start, improve, initial_weights, run_episodes
from metis.learn.paper.sub_scheduler import admitted_moves
from metis.learn.paper.tree import TreeShape
from metis.problem.cluster import Cluster
from metis.problem.space import ColocationSpace

SPACE = ColocationSpace(("A", "B"), 3)
SHAPE = TreeShape(fan_out=3, levels=2, apps=2, hidden=8)


def start_of(demands, nodes=None, existing=None, shape=SHAPE, allowed=None):
    demands = np.asarray(demands)
    nodes = np.ones(shape.leaves, dtype=int) if nodes is None else np.asarray(nodes)
    counts = np.zeros((shape.leaves, 2), dtype=int) if existing is None else np.asarray(existing)
    rows = len(demands)
    return Start(
        demand=demands,
        counts=np.tile(counts, (rows, 1, 1)),
        ids=np.tile(SPACE.index(counts), (rows, 1)),
        nodes=np.tile(nodes, (rows, 1)),
        moves=admitted_moves(Cluster(SPACE, shape.leaves, allowed=allowed)),
        order=np.arange(2),
    )


def fresh(shape=SHAPE, seed=0):
    import tensorflow as tf

    return tuple(tf.constant(w) for w in initial_weights(shape, np.random.default_rng(seed)))


def test_rollout_sees_what_the_paper_says():
    existing = np.zeros((9, 2), dtype=int)
    existing[4] = [1, 1]
    nodes = np.array([1, 1, 1, 1, 1, 1, 1, 1, 0])
    start = start_of([[3, 2], [1, 5]], nodes, existing)
    rollout = run_episodes(SHAPE, fresh(), start, (1, 2))
    seen = np.asarray(rollout.record[0])
    for episode, demand in enumerate(start.demand):
        held, left = existing.copy(), demand.copy()
        sequence = np.repeat([0, 1], demand)
        for t, a in enumerate(sequence):
            left[a] -= 1
            leaf = int(rollout.leaves[t, episode])
            for level, parent in ((0, 0), (1, leaf // 3)):
                width = 3 if level == 0 else 1
                children = [range((parent * 3 + k) * width, (parent * 3 + k + 1) * width) for k in range(3)]
                tentative = [
                    (held[list(c)].sum(axis=0) + np.eye(2)[a]) / max(nodes[list(c)].sum(), 1)
                    for c in children
                ]
                expected = np.concatenate([*tentative, np.eye(2)[a], left / 8])
                np.testing.assert_allclose(seen[t, episode, level], expected, rtol=1e-5)
            held[leaf, a] += 1
        np.testing.assert_array_equal(rollout.loads[episode] + existing, held)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_masks_hold_and_no_container_is_lost(seed, opened):
    rng = np.random.default_rng(seed)
    nodes = rng.permutation(np.arange(9) < opened).astype(int)
    existing = rng.multinomial(int(rng.integers(0, 4)), [0.4, 0.3, 0.3], size=9)[:, :2] * nodes[:, None]
    free = int(3 * opened - existing.sum())
    demands = np.stack([rng.multinomial(rng.integers(0, free + 1), [0.5, 0.5]) for _ in range(4)])
    rollout = run_episodes(SHAPE, fresh(seed=seed % 7), start_of(demands, nodes, existing), (seed, 0))
    np.testing.assert_array_equal(rollout.loads.sum(axis=1), demands)
    np.testing.assert_array_equal(rollout.lost, 0)
    assert ((rollout.loads + existing).sum(axis=2) <= 3).all()
    assert (rollout.loads[:, nodes == 0] == 0).all()


def test_a_rule_masks_like_a_full_node_and_loses_what_fits_nowhere():
    alone = ~((SPACE.counts > 0).all(axis=1))
    rollout = run_episodes(SHAPE, fresh(), start_of([[4, 4]] * 20, allowed=alone), (0, 0))
    assert not (rollout.loads > 0).all(axis=2).any()
    one = np.zeros(9, dtype=int)
    one[5] = 1
    rollout = run_episodes(SHAPE, fresh(), start_of([[2, 1]], one, allowed=alone), (0, 0))
    assert rollout.loads[0, 5].tolist() == [2, 0]
    assert rollout.lost.tolist() == [1]
    assert rollout.leaves[:, 0].tolist() == [5, 5, -1]


def test_forced_episodes_are_followed_beside_sampled_ones():
    forced = np.full((4, 2), -1)
    forced[:, 1] = [8, 0, 8, 3]
    rollout = run_episodes(SHAPE, fresh(), start_of([[2, 2], [2, 2]]), (0, 0), forced=forced)
    assert rollout.leaves[:, 1].tolist() == [8, 0, 8, 3]
    choices = np.asarray(rollout.record[2])[:, 1]
    assert choices.tolist() == [[2, 2], [0, 0], [2, 2], [1, 0]]


def test_sampling_follows_the_softmax_and_greedy_its_mode():
    import tensorflow as tf

    shape = TreeShape(fan_out=3, levels=1, apps=2, hidden=4)
    w1, b1, w2, _ = fresh(shape)
    shares = np.array([0.2, 0.7, 0.1], dtype=np.float32)
    weights = (w1, b1, tf.zeros_like(w2), tf.constant(np.log(shares)[None]))
    start = start_of([[1, 0]] * 4000, shape=shape)
    drawn = np.bincount(run_episodes(shape, weights, start, (3, 4)).leaves[0], minlength=3) / 4000
    np.testing.assert_allclose(drawn, shares, atol=0.03)
    assert (run_episodes(shape, weights, start, (3, 4), greedy=True).leaves == 1).all()


def test_the_update_follows_the_gradient_of_the_stated_loss():
    import tensorflow as tf

    weights = fresh()
    moments = tuple(tf.zeros_like(w) for w in (*weights, *weights))
    rollout = run_episodes(SHAPE, weights, start_of([[2, 1]] * 5), (0, 1))
    gain = np.array([1.0, -0.5, 0.3, -2.0, 1.2])

    def loss(w2):
        bumped = (*weights[:2], tf.constant(w2), weights[3])
        return improve(SHAPE, bumped, moments, 0, rollout, gain, 1e-2, 0.05)[2]["loss"]

    new, moved, _ = improve(SHAPE, weights, moments, 0, rollout, gain, 1e-2, 0.05)
    gradient = np.asarray(moved[2]) / 0.1
    w2, step = np.asarray(weights[2]), 1e-2
    for cell in ((0, 0, 0), (1, 3, 2), (0, 5, 1)):
        up, down = w2.copy(), w2.copy()
        up[cell] += step
        down[cell] -= step
        assert gradient[cell] == pytest.approx((loss(up) - loss(down)) / (2 * step), abs=2e-4)
    large = np.abs(gradient) > 1e-4
    assert large.any()
    np.testing.assert_allclose((np.asarray(new[2]) - w2)[large], -1e-2 * np.sign(gradient[large]), rtol=1e-2)
