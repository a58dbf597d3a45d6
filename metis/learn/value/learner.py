"""The value learner: V and its prices from played episodes and from the bound that prices give."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.learn.value.choices import Choices, Limits, usable_cores
from metis.learn.value.dealing import Dealer
from metis.learn.value.episodes import States, play
from metis.learn.value.fitting import Adam, Minibatch, backward, forward, losses
from metis.learn.value.network import ValueNetwork, features, glorot, width
from metis.learn.value.pool import POOLED, PooledChoices, likely_colocations
from metis.learn.value.problem import ValueProblem, draw_starts
from metis.learn.value.settings import ValueSettings
from metis.learn.value.weights import ValueWeights
from metis.threads import one_thread


class ValueLearner:
    """Learns V(rest, nodes) for one worth table; a `metis.learn.loop.Learner`.

    A step plays episodes of random groups on random sub-clusters, remembers the states met, and fits the
    network to two things at once: V to the worth that followed a state, and the prices to the bound
    min over prices of prices . r / m + max over co-locations s of (worth(s) - prices . s), which is the
    linear relaxation's dual and which true prices attain. The bound needs no episode, so it also teaches
    V on clusters far larger than any that is played.
    """

    def __init__(self, problem: ValueProblem, settings: ValueSettings | None = None) -> None:
        self.problem = problem
        self.settings = settings or ValueSettings()
        self._choices = _choices(problem, self.settings)
        apps = len(problem.space.apps)
        rng = np.random.default_rng([self.settings.seed, 0])
        layers = glorot((width(apps), *self.settings.hidden, apps + 1), rng)
        self._layers = [part for layer in layers for part in layer]
        self._adam = Adam.start(self._layers)
        self._steps = 0
        self._replay = _Replay(self.settings.replay, apps)

    @property
    def network(self) -> ValueNetwork:
        """The network as trained so far."""
        return ValueNetwork(tuple(self._layers[::2]), tuple(self._layers[1::2]), self.problem.space.slots)

    def weights(self, dealer: Dealer | None = None) -> ValueWeights:
        """Return the weights as trained so far, with a learned high level or without."""
        return ValueWeights(self.network, self.problem, self.settings.max_nodes, dealer)

    def step(self) -> dict[str, float]:
        """Play `episodes` sub-clusters, then make `updates` updates. See `Learner.step`."""
        # on products this small BLAS threads only wait for each other
        with one_thread("blas"):
            return self._step()

    def _step(self) -> dict[str, float]:
        settings, problem = self.settings, self.problem
        rng = np.random.default_rng([settings.seed, 1, self._steps])
        done = min(1.0, self._steps / max(1, settings.steps - 1))
        noise = settings.noise + (settings.last_noise - settings.noise) * done
        starts = draw_starts(
            settings.episodes, (settings.min_nodes, settings.max_nodes), problem, settings, rng
        )
        states = play(
            self.network, self._choices, problem.space, problem.table, starts, settings.candidates, noise, rng
        )
        self._replay.add(states)
        losses = [self._learn(rng, done) for _ in range(settings.updates)]
        self._steps += 1
        value, bound = np.mean(losses, axis=0)
        return {
            "loss": float(value + bound),
            "value_loss": float(value),
            "bound": float(bound),
            "episodes": float(settings.episodes),
        }

    def _learn(self, rng: np.random.Generator, done: float) -> tuple[float, float]:
        settings, problem, slots = self.settings, self.problem, self.problem.space.slots
        seen = self._replay.sample(settings.minibatch, rng)
        again = settings.priced - settings.priced // 2
        fresh = draw_starts(
            settings.priced // 2, (settings.max_nodes, settings.wide_nodes), problem, settings, rng
        )
        rest = np.concatenate([seen.rest, seen.rest[:again], fresh.rest])
        nodes = np.concatenate([seen.nodes, seen.nodes[:again], fresh.nodes])
        vacancy = np.concatenate([seen.vacancy, seen.vacancy[:again], fresh.vacancy])
        activations = forward(self._layers, features(rest, nodes, vacancy, slots))
        priced = slice(len(seen.nodes), None)
        prices, bonus = activations[-1][priced, :-1], vacancy[priced]
        fits = (rest[priced], rest[priced], nodes[priced], 1)
        picks = self._choices.best(prices, bonus, fits, 1)[0][:, 0]
        batch = Minibatch(
            inputs=activations[0],
            share=(rest / nodes[:, None]).astype(np.float32),
            returns=(seen.returns / seen.nodes).astype(np.float32),
            weight=np.sqrt(seen.nodes).astype(np.float32),
            best=self._choices.counts[picks].astype(np.float32),
            worth=(self._choices.worth[picks] + np.where(self._choices.ids[picks] == 0, bonus, 0)),
            wide=(nodes[priced] > settings.max_nodes).astype(np.float32),
        )
        value, bound, gradient = losses(activations[-1], batch, settings.value_strength)
        rate = settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * done)))
        gradients = backward(self._layers, activations, gradient)
        self._layers, self._adam = self._adam.update(self._layers, gradients, rate)
        return value, bound

    def state(self) -> dict[str, NDArray[Any]]:
        """See `Learner.state`; randomness follows from the seed and the step."""
        return (
            {f"layer{i}": p for i, p in enumerate(self._layers)}
            | {"steps": np.array(self._steps)}
            | self._adam.state()
            | self._replay.state()
        )

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """See `Learner.restore`.

        Raises:
            InputError: the state is of a network of other layers.
        """
        layers = [np.asarray(state[f"layer{i}"]) for i in range(len(self._layers))]
        if [p.shape for p in layers] != [p.shape for p in self._layers]:
            raise InputError("value: the stored state is of a network with other layers or applications")
        self._layers = layers
        self._adam = self._adam.restored(state)
        self._steps = int(state["steps"])
        self._replay.restore(state)


def _choices(problem: ValueProblem, settings: ValueSettings) -> Choices:
    if problem.space.size > POOLED:
        return PooledChoices(problem, likely_colocations(problem, settings))
    every = np.ones(problem.space.size, dtype=bool)
    worth, limits = problem.table.astype(np.float32), Limits(problem.space, every)
    return Choices(problem.space, worth, every, limits, threads=usable_cores())


class _Replay:
    """The last states met, in a ring."""

    def __init__(self, capacity: int, apps: int) -> None:
        self._capacity = capacity
        self._added = 0
        self._arrays: dict[str, NDArray[Any]] = {
            "rest": np.zeros((capacity, apps), dtype=np.int32),
            "nodes": np.ones(capacity, dtype=np.int32),
            "vacancy": np.zeros(capacity, dtype=np.float32),
            "returns": np.zeros(capacity, dtype=np.float32),
        }

    def add(self, states: States) -> None:
        """Remember `states`, forgetting the oldest."""
        new = min(len(states.nodes), self._capacity)
        where = (self._added + np.arange(new)) % self._capacity
        for name, array in self._arrays.items():
            array[where] = getattr(states, name)[:new]
        self._added += new

    def sample(self, n: int, rng: np.random.Generator) -> States:
        """Draw `n` remembered states, with replacement."""
        rows = rng.integers(0, min(self._added, self._capacity), n)
        picked = {name: array[rows] for name, array in self._arrays.items()}
        return States(
            picked["rest"].astype(np.int64),
            picked["nodes"].astype(np.int64),
            picked["vacancy"],
            picked["returns"],
        )

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the filled part, and how many states were ever added."""
        filled = min(self._added, self._capacity)
        return {f"replay_{name}": array[:filled] for name, array in self._arrays.items()} | {
            "replay_added": np.array(self._added)
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `state` returned."""
        self._added = int(state["replay_added"])
        for name, array in self._arrays.items():
            stored = state[f"replay_{name}"]
            array[: len(stored)] = stored
