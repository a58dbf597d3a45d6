"""REINFORCE over a tree, for the training loop, and replay of the best episodes (Metis, SC 2020)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from metis.errors import InputError
from metis.learn.paper.policy import Rollout, Start, Weights, improve, initial_weights, run_episodes
from metis.learn.paper.tree import TreeShape
from metis.problem.counts import FloatArray, IntArray
from metis.settings import Count, settings

# for the learners whose defaults differ
Sampled = Annotated[int, Ge(2)]
Rate = Annotated[float, Gt(0), Le(1)]
Bonus = Annotated[float, Ge(0)]
Replayed = Annotated[int, Ge(0)]


@settings("learn")
class ReinforceSettings:
    """How a policy learns; the defaults are those published for the sub-scheduler.

    Every learner has a subclass with the defaults that it runs with.

    Attributes:
        episodes: new episodes per update and group.
        learning_rate: Adam's.
        entropy: weight of the entropy bonus.
        hidden: tanh units of a level's policy.
        replayed: episodes replayed per update; 0 for no replay.
        eta: an episode is kept for replay while its value x eta reaches the best seen.
        eta_floor: what eta sinks to.
        eta_step: share of eta - 1 that is left each time more episodes qualify than are kept.
        kept: episodes kept for replay.
        demonstrations: episodes of load balancing to begin with.
        demonstrations_within: they are replayed while within this share of the best.
    """

    episodes: Sampled = 10
    learning_rate: Rate = 1e-2
    entropy: Bonus = 0.01
    hidden: Count = 128
    replayed: Replayed = 0
    eta: Annotated[float, Ge(1)] = 1.02
    eta_floor: Annotated[float, Ge(1)] = 1.001
    eta_step: Annotated[float, Gt(0), Le(1)] = 0.9
    kept: Count = 100
    demonstrations: Annotated[int, Ge(0)] = 0
    demonstrations_within: Annotated[float, Ge(0)] = 0.05

    def __post_init__(self) -> None:
        if self.eta_floor > self.eta:
            raise InputError(f"learn.eta {self.eta:g}: give at least learn.eta_floor, {self.eta_floor:g}")


@dataclass(frozen=True)
class TreeProblem:
    """A group to place on the leaves of a tree: `policy.Start` without the leading axis, and the judge.

    Attributes:
        demand: containers to place, int [apps].
        counts: containers in place at every leaf, int [leaves, apps].
        ids: state of every leaf, int [leaves].
        nodes: open nodes at every leaf, int [leaves].
        moves: state after one more container, int [states, apps]; -1 where not admitted.
        order: the order in which applications are placed, int [apps].
        judge: value of each episode, float [E], from its loads, int [E, leaves, apps], and from the
            containers it lost, int [E].
    """

    demand: IntArray
    counts: IntArray
    ids: IntArray
    nodes: IntArray
    moves: IntArray
    order: IntArray
    judge: Callable[[IntArray, IntArray], FloatArray]

    def starts(self, episodes: int) -> Start:
        """Return the start of so many episodes of this problem."""

        def rows(values: IntArray) -> IntArray:
            return np.broadcast_to(values, (episodes, *values.shape))

        return Start(
            rows(self.demand), rows(self.counts), rows(self.ids), rows(self.nodes), self.moves, self.order
        )

    def sequence(self) -> IntArray:
        """Return the application of each container in the order of placing, int [T]."""
        return np.repeat(self.order, self.demand[self.order])


class Reinforce:
    """A `Learner`: each step rolls out episodes of one problem and makes one update.

    Rewards are standardised over the update's samples, all of one problem; what the paper subtracts before
    (round-robin's value, or the best so far) is the same for all of them and therefore falls out.

    Args:
        shape: the tree.
        settings: how to learn.
        seed: of weights, sampling and replay.
        draw: returns the problem of a step, by the step's number.
        weights: to go on from; None for fresh ones.
    """

    def __init__(
        self,
        shape: TreeShape,
        settings: ReinforceSettings,
        seed: int,
        draw: Callable[[int], TreeProblem],
        weights: Sequence[NDArray[np.float32]] | None = None,
    ) -> None:
        import tensorflow as tf

        self.shape, self.settings, self.seed, self.draw = shape, settings, seed, draw
        fresh = initial_weights(shape, np.random.default_rng(seed)) if weights is None else weights
        self.weights: Weights = tuple(tf.constant(w) for w in fresh)
        self.moments: Weights = tuple(tf.zeros_like(w) for w in (*self.weights, *self.weights))
        self.count = 0

    def step(self) -> dict[str, float]:
        """See `Learner.step`; besides the required, `entropy` and `value`, the mean of the new episodes."""
        problem = self.draw(self.count)
        rollout = self._roll(problem, self.settings.episodes)
        values = problem.judge(rollout.loads, rollout.lost)
        metrics = self._learn(rollout, values)
        return metrics | {"episodes": float(self.settings.episodes), "value": float(values.mean())}

    def prepare(self) -> None:
        """Start TensorFlow and trace what a step runs, so that no step pays for it; changes nothing else."""
        problem = self.draw(0)
        for episodes in (1, 2):  # the second number of episodes makes a trace that serves any
            rollout = self._roll(problem, episodes)
            problem.judge(rollout.loads, rollout.lost)
            nothing = np.zeros(episodes)
            improve(self.shape, self.weights, self.moments, self.count, rollout, nothing, 0.0, 0.0)

    def arrays(self) -> list[NDArray[np.float32]]:
        """Return the weights as plain arrays, in the order of `policy.initial_weights`."""
        return [np.asarray(w) for w in self.weights]

    def state(self) -> dict[str, NDArray[Any]]:
        """See `Learner.state`."""
        weights = {f"weights/{i}": np.asarray(w) for i, w in enumerate(self.weights)}
        moments = {f"moments/{i}": np.asarray(m) for i, m in enumerate(self.moments)}
        return weights | moments | {"count": np.array(self.count)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """See `Learner.restore`."""
        import tensorflow as tf

        self.weights = tuple(tf.constant(state[f"weights/{i}"]) for i in range(len(self.weights)))
        self.moments = tuple(tf.constant(state[f"moments/{i}"]) for i in range(len(self.moments)))
        self.count = int(state["count"])

    def _roll(self, problem: TreeProblem, episodes: int, forced: IntArray | None = None) -> Rollout:
        seed = (self.seed % 2**31, self.count)
        return run_episodes(self.shape, self.weights, problem.starts(episodes), seed, forced=forced)

    def _learn(self, rollout: Rollout, values: FloatArray) -> dict[str, float]:
        spread = values.std()
        advantage = (values - values.mean()) / (spread if spread > 1e-12 else 1.0)
        self.weights, self.moments, metrics = improve(
            self.shape,
            self.weights,
            self.moments,
            self.count,
            rollout,
            advantage,
            self.settings.learning_rate,
            self.settings.entropy,
        )
        self.count += 1
        return metrics


class Episodes:
    """Episodes kept for replay: `leaves` int [T, n] and `values` float [n]."""

    def __init__(self, containers: int) -> None:
        self.leaves = np.zeros((containers, 0), dtype=np.int64)
        self.values = np.zeros(0)

    def add(self, leaves: IntArray, values: FloatArray) -> None:
        """Add more episodes."""
        self.leaves = np.concatenate([self.leaves, leaves], axis=1)
        self.values = np.concatenate([self.values, values])

    def keep(self, which: NDArray[Any]) -> None:
        """Drop all episodes but `which`, a mask or indices."""
        self.leaves, self.values = self.leaves[:, which], self.values[which]


class ReinforceOnGroup(Reinforce):
    """REINFORCE for one group: remembers the best episode, replays the best and the demonstrations.

    Attributes:
        best: leaf of every container in the best episode, int [T]; its value is `best_value`.
    """

    def __init__(
        self, shape: TreeShape, settings: ReinforceSettings, seed: int, problem: TreeProblem
    ) -> None:
        super().__init__(shape, settings, seed, lambda _: problem)
        self.problem = problem
        self.eta = settings.eta
        containers = int(problem.demand.sum())
        self.best, self.best_value = np.full(containers, -1, dtype=np.int64), -np.inf
        self.memory, self.demonstrations = Episodes(containers), Episodes(containers)

    def step(self) -> dict[str, float]:
        """See `Learner.step`; `value` is the mean of the new episodes, `best` the best so far."""
        settings, rng = self.settings, np.random.default_rng((self.seed, self.count))
        showing = self.count == 0 and settings.demonstrations > 0
        new = settings.demonstrations if showing else settings.episodes
        known = self._replayed(rng)
        forced = np.full((len(self.best), new), -1, dtype=np.int64)
        if showing:
            forced = balanced_episodes(self.problem, new, rng)
        rollout = self._roll(self.problem, new + len(known.values), np.hstack([forced, known.leaves]))
        fresh = self.problem.judge(rollout.loads[:new], rollout.lost[:new])
        metrics = self._learn(rollout, np.concatenate([fresh, known.values]))
        self._remember(rollout.leaves[:, :new], fresh, showing)
        return metrics | {"episodes": float(new), "value": float(fresh.mean()), "best": self.best_value}

    def _replayed(self, rng: np.random.Generator) -> Episodes:
        """Draw the episodes replayed in this step, of the best and of demonstrations that are near them."""
        pool = Episodes(len(self.best))
        for kept in (self.memory, self.demonstrations):
            pool.add(kept.leaves, kept.values)
        pool.keep(rng.permutation(len(pool.values))[: self.settings.replayed])
        return pool

    def _remember(self, leaves: IntArray, values: FloatArray, showing: bool) -> None:
        settings, top = self.settings, int(values.argmax())
        if values[top] > self.best_value:
            self.best, self.best_value = leaves[:, top].copy(), float(values[top])
        if showing:
            self.demonstrations.add(leaves, values)
        self.demonstrations.keep(self._near(self.demonstrations.values, settings.demonstrations_within))
        if settings.replayed == 0:
            return
        if not showing:
            self.memory.add(leaves, values)
        self.memory.keep(self._near(self.memory.values, 1 - 1 / self.eta))
        if len(self.memory.values) > settings.kept:
            self.eta = max(settings.eta_floor, 1 + (self.eta - 1) * settings.eta_step)
            self.memory.keep(np.sort(np.argsort(-self.memory.values, kind="stable")[: settings.kept]))

    def _near(self, values: FloatArray, within: float) -> NDArray[np.bool_]:
        return np.asarray(values >= self.best_value - within * abs(self.best_value))

    def state(self) -> dict[str, NDArray[Any]]:
        """See `Learner.state`."""
        return super().state() | {
            "eta": np.array(self.eta),
            "best": self.best,
            "best_value": np.array(self.best_value),
            "memory/leaves": self.memory.leaves,
            "memory/values": self.memory.values,
            "demonstrations/leaves": self.demonstrations.leaves,
            "demonstrations/values": self.demonstrations.values,
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """See `Learner.restore`."""
        super().restore(state)
        self.eta, self.best, self.best_value = float(state["eta"]), state["best"], float(state["best_value"])
        for name, kept in (("memory", self.memory), ("demonstrations", self.demonstrations)):
            kept.leaves, kept.values = state[f"{name}/leaves"], state[f"{name}/values"]

    def best_loads(self) -> IntArray:
        """Return the containers that the best episode put at every leaf, int [leaves, apps]."""
        loads = np.zeros((self.shape.leaves, self.shape.apps), dtype=np.int64)
        placed = self.best >= 0
        np.add.at(loads, (self.best[placed], self.problem.sequence()[placed]), 1)
        return loads


def balanced_episodes(problem: TreeProblem, episodes: int, rng: np.random.Generator) -> IntArray:
    """Balance the load: every container to the leaf of least load per node, ties at random.

    Returns the leaf of every container, int [T, episodes].

    The load is that of the container's application first, then of all, which spreads each evenly.
    A container that no leaf admits gets -1.
    """
    sequence, every = problem.sequence(), np.arange(episodes)
    nodes = np.maximum(problem.nodes, 1)
    ids = np.tile(problem.ids, (episodes, 1))
    held = np.tile(problem.counts, (episodes, 1, 1))
    leaves = np.full((len(sequence), episodes), -1, dtype=np.int64)
    for t, a in enumerate(sequence):
        after = problem.moves[ids, a]
        load = (held[:, :, a] + held.sum(axis=2) / 1e3) / nodes + rng.random(ids.shape) / 1e6
        load[(after < 0) | (problem.nodes == 0)] = np.inf
        leaf = load.argmin(axis=1)
        fits = np.isfinite(load[every, leaf])
        leaves[t] = np.where(fits, leaf, -1)
        held[every[fits], leaf[fits], a] += 1
        ids[every[fits], leaf[fits]] = after[every[fits], leaf[fits]]
    return leaves
