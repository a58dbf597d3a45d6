"""Training the high level's policy by REINFORCE against the value network's judgement of its deals."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.learn.value.dealing import FANOUT, Dealer, deal, even_score, play_deals
from metis.learn.value.fitting import Adam, backward, forward
from metis.learn.value.network import Float32Array, ValueNetwork, glorot
from metis.learn.value.problem import ValueProblem, draw_starts
from metis.learn.value.settings import DealerSettings, ValueSettings
from metis.problem.counts import FloatArray, IntArray
from metis.threads import one_thread


class DealerLearner:
    """REINFORCE over whole deals; a `metis.learn.loop.Learner`.

    The reward of a deal is the sum of V over the three sub-clusters, less that of dealing even_score,
    standardised over the step: no sub-cluster is filled while training.
    """

    def __init__(
        self,
        network: ValueNetwork,
        problem: ValueProblem,
        sub_nodes: int,
        settings: DealerSettings | None = None,
    ) -> None:
        self.settings = settings or DealerSettings()
        self._network, self._problem, self._sub_nodes = network, problem, sub_nodes
        rng = np.random.default_rng([self.settings.seed, 0])
        sizes = (2 * len(problem.space.apps) + 2, self.settings.hidden, 1)
        self._layers = [part for layer in glorot(sizes, rng) for part in layer]
        self._adam = Adam.start(self._layers)
        self._steps = 0

    @property
    def dealer(self) -> Dealer:
        """The policy as trained so far."""
        return Dealer(tuple(self._layers))

    def step(self) -> dict[str, float]:
        """Deal `episodes` groups, then make one update. See `Learner.step`."""
        # on products this small BLAS threads only wait for each other: they took three times the CPU time
        with one_thread("blas"):
            return self._step()

    def _step(self) -> dict[str, float]:
        settings, problem = self.settings, self._problem
        rng = np.random.default_rng([settings.seed, 1, self._steps])
        drawn = ValueSettings(min_load=settings.min_load, max_load=settings.max_load, full_share=0.0)
        nodes = FANOUT * self._sub_nodes
        starts = draw_starts(settings.episodes, (nodes, nodes), problem, drawn, rng)
        free = np.full((settings.episodes, FANOUT), self._sub_nodes * problem.space.slots)
        counts, seen, chosen = play_deals(self._layers, starts.rest, free, rng)
        even = np.stack([deal(group, row) for group, row in zip(starts.rest, free, strict=True)])
        value = self._judge(counts, starts.vacancy)
        reward = (value / self._judge(even, starts.vacancy) - 1).astype(np.float32)
        advantage = (reward - reward.mean()) / (reward.std() + np.float32(1e-8))
        self._update(seen, chosen, advantage)
        self._steps += 1
        return {
            "loss": float(-reward.mean()),
            "over_even": float(reward.mean()),
            "episodes": float(settings.episodes),
        }

    def _judge(self, counts: IntArray, vacancy: Float32Array) -> FloatArray:
        n, children, apps = counts.shape
        nodes = np.full(n * children, self._sub_nodes)
        value = self._network.value(counts.reshape(-1, apps), nodes, np.repeat(vacancy, children))
        return np.asarray(value.astype(np.float64).reshape(n, children).sum(axis=1))

    def _update(self, seen: Float32Array, chosen: NDArray[np.int64], advantage: Float32Array) -> None:
        step, episode = np.nonzero(chosen >= 0)
        inputs = seen[step, episode]
        activations = forward(self._layers, inputs.reshape(-1, inputs.shape[-1]))
        logits = activations[-1].reshape(-1, FANOUT) + even_score(inputs)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        gradient = odds / odds.sum(axis=1, keepdims=True)
        gradient[np.arange(len(step)), chosen[step, episode]] -= 1
        # every deal counts alike, however many containers it had
        gradient *= (advantage / (chosen >= 0).sum(axis=0))[episode][:, None] / chosen.shape[1]
        gradients = backward(self._layers, activations, gradient.reshape(-1, 1).astype(np.float32))
        self._layers, self._adam = self._adam.update(self._layers, gradients, self.settings.learning_rate)

    def state(self) -> dict[str, NDArray[Any]]:
        """See `Learner.state`."""
        layers = {f"layer{i}": p for i, p in enumerate(self._layers)}
        return layers | {"steps": np.array(self._steps)} | self._adam.state()

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """See `Learner.restore`."""
        self._layers = [np.asarray(state[f"layer{i}"]) for i in range(len(self._layers))]
        self._adam = self._adam.restored(state)
        self._steps = int(state["steps"])
