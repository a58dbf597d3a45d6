"""The problem that V solves: a worth table in stand-alone containers, and random groups on sub-clusters."""

import hashlib
from dataclasses import dataclass

import numpy as np

from metis.errors import InputError
from metis.learn.value.network import Float32Array
from metis.learn.value.settings import ValueSettings
from metis.problem.counts import FloatArray, IntArray
from metis.problem.space import ColocationSpace


@dataclass(frozen=True)
class ValueProblem:
    """The worth of co-locations, free of the scale that binding to a group gives it.

    An objective's worth is a table times a positive number (one over the containers), plus a vacancy
    bonus on the empty co-location that depends on the group. Weights learn the table, for any bonus
    between 0 and `vacancy`, and so serve every group.

    Attributes:
        space: the co-locations.
        objective: name of the objective, for messages.
        table: worth in units in which the best container is worth 1, float64 [size]; 0 when empty.
        vacancy: the largest bonus trained for, in the same unit; 0 for an objective without one.
    """

    space: ColocationSpace
    objective: str
    table: FloatArray
    vacancy: float = 0.0

    @classmethod
    def of(
        cls, space: ColocationSpace, objective: str, worth: FloatArray, vacancy: float = 0.0
    ) -> "ValueProblem":
        """Make the problem of a worth table of any positive scale.

        Args:
            space: the co-locations.
            objective: its name.
            worth: what `Objective.bind` returned for some group, [size].
            vacancy: the largest bonus of an empty node that will be met, in the unit of `worth`; without
                one, the bonus found in `worth`.

        Raises:
            InputError: no co-location is worth anything, or a worth is not finite.
        """
        if worth.shape != (space.size,) or not np.isfinite(worth).all():
            raise InputError(f"worth of shape {worth.shape}: give {space.size} finite numbers")
        each = worth[1:] / space.totals[1:]
        unit = float(each.max())
        if unit <= 0:
            raise InputError(f"objective {objective}: no co-location is worth more than 0, nothing to learn")
        table = worth / unit
        vacancy = max(vacancy, float(worth[0])) / unit
        table[0] = 0.0
        return cls(space, objective, table, vacancy)

    @property
    def digest(self) -> str:
        """Fingerprint of the table, to six digits."""
        return hashlib.sha256(np.round(self.table, 6).tobytes()).hexdigest()[:12]

    def unit(self, worth: FloatArray) -> float:
        """Return the positive number that `worth` [size] is this table times, its first entry aside.

        Raises:
            InputError: `worth` is of another space, objective or simulator.
        """
        if worth.shape != self.table.shape:
            raise InputError(
                f"these weights are for {len(self.table)} co-locations ({len(self.space.apps)} applications, "
                f"{self.space.slots} slots), the worth given has {len(worth)}"
            )
        unit = float(worth[1:] @ self.table[1:]) / float(self.table[1:] @ self.table[1:])
        if unit <= 0 or not np.allclose(worth[1:] / unit, self.table[1:], rtol=1e-4, atol=1e-4):
            raise InputError(
                f"these weights were trained for objective {self.objective} on the worth table "
                f"{self.digest}; the worth given is another: train on it first"
            )
        return unit


@dataclass(frozen=True)
class Starts:
    """Groups to be placed on empty sub-clusters, one a row.

    Attributes:
        rest: containers per application, [n, apps].
        nodes: of each sub-cluster, [n].
        vacancy: bonus of an empty node, float32 [n].
    """

    rest: IntArray
    nodes: IntArray
    vacancy: Float32Array


def draw_starts(
    n: int, nodes: tuple[int, int], problem: ValueProblem, settings: ValueSettings, rng: np.random.Generator
) -> Starts:
    """Draw `n` random groups on clusters of nodes[0] to nodes[1] nodes, of all loads and mixes."""
    apps = len(problem.space.apps)
    sizes = rng.integers(nodes[0], nodes[1] + 1, n)
    loads = rng.uniform(settings.min_load, settings.max_load, n)
    loads[rng.random(n) < settings.full_share] = settings.max_load
    totals = np.maximum(1, np.round(loads * sizes * problem.space.slots)).astype(np.int64)
    concentration = np.exp(rng.uniform(np.log(settings.min_mix), np.log(settings.max_mix), n))
    gammas = rng.gamma(concentration[:, None], size=(n, apps)) + 1e-12
    shares = gammas / gammas.sum(axis=1, keepdims=True)
    vacancy = (rng.random(n) * problem.vacancy).astype(np.float32)
    return Starts(rng.multinomial(totals, shares).astype(np.int64), sizes.astype(np.int64), vacancy)
