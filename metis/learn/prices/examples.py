"""Sub-problems to learn prices from: drawn at random, their relaxation solved by the column solver."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metis.learn.prices.features import Features, Float32Array, features_of
from metis.learn.prices.settings import PricesSettings
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray
from metis.problem.kinds import Problem, problem_of
from metis.problem.objectives import Objective
from metis.problem.oracle import Oracle, worth_of
from metis.program.column_program import bound_by_columns
from metis.program.generation import Relaxation

SPREAD = (0.0, 0.0, 0.03, 0.1)  # by which the solver's prices are varied, to choose columns


@dataclass(frozen=True)
class Example:
    """A sub-problem, and columns that its prices must not let pass.

    Attributes:
        seen: what the network sees.
        added: columns, of the applications of `seen`, int8 [columns, n].
        worth: of each in stand-alone containers, float32 [columns].
        demand: containers to place per node, float32 [n].
        best: the solved relaxation per node in stand-alone containers; a bound beyond it is excess.
    """

    seen: Features
    added: NDArray[np.int8]
    worth: Float32Array
    demand: Float32Array
    best: float

    def excess(self, prices: FloatArray) -> float:
        """Return by which share the bound of `prices` [n], in stand-alone containers, exceeds the best."""
        bound = prices @ self.demand + (self.worth - self.added @ prices).max()
        return float(bound / self.best - 1)


def drawn_problem(
    oracle: Oracle, objective: Objective, settings: PricesSettings, rng: np.random.Generator
) -> Problem:
    """Draw a sub-problem: some of the applications, in some mix, on an empty cluster."""
    every, slots = len(oracle.space.apps), oracle.space.slots
    most = min(every, settings.apps)
    count = int(rng.integers(max(2, most // 2), most + 1))
    chosen = rng.choice(every, count, replace=False)
    full = settings.nodes * slots
    load = 1.0 if rng.random() < settings.full_share else rng.uniform(settings.min_load, 1.0)
    low, high = np.log([settings.min_mix, settings.max_mix])
    mix = rng.dirichlet(np.full(count, np.exp(rng.uniform(low, high))))
    group = np.zeros(every, dtype=np.int64)
    group[chosen] = rng.multinomial(max(1, round(load * full)), mix)
    cluster = Cluster(oracle.space, settings.nodes)
    return problem_of(group, cluster, worth_of(objective, group, cluster, oracle))[0]


def solved(
    problem: Problem, settings: PricesSettings, rng: np.random.Generator, prices: FloatArray | None
) -> Example:
    """Solve the relaxation of a sub-problem, and keep the columns that its prices have to respect.

    Args:
        problem: on empty nodes of one kind.
        settings: `width` and `kept`.
        rng: of the prices around the best by which columns are kept, too.
        prices: to begin with, as predicted so far; columns that are best by them are kept, too.
    """
    kind_of = np.zeros(int(problem.nodes[0]), dtype=np.int64)
    relaxed = bound_by_columns(
        problem, kind_of, width=settings.width, seconds=np.inf, prices=prices, proving=False
    )
    seen = features_of(problem)
    added, worth = _kept(relaxed, settings.kept, rng, prices)
    per_node = float(problem.nodes[0]) * seen.unit
    empty = float(relaxed.pools[0].look_up(np.zeros((1, len(problem.demand)), dtype=np.int64))[0])
    return Example(
        seen,
        added[:, seen.apps].astype(np.int8),
        ((worth - empty) / seen.unit).astype(np.float32),
        (problem.demand[seen.apps] / problem.nodes[0]).astype(np.float32),
        (relaxed.solution.value - empty * float(problem.nodes[0])) / per_node,
    )


def _kept(
    relaxed: Relaxation, count: int, rng: np.random.Generator, prices: FloatArray | None
) -> tuple[NDArray[np.int16], FloatArray]:
    """Return the columns that are best by the solver's prices, by some around, and by those predicted."""
    best = relaxed.solution.prices
    around = [best * (1 + spread * rng.standard_normal(len(best))) for spread in SPREAD]
    around += [] if prices is None else [prices]
    found = [relaxed.pools[0].best(some, -np.inf, count // len(around)) for some in around[1:]]
    first = relaxed.pools[0].best(best, -np.inf, count - sum(len(columns.worth) for columns, _ in found))
    columns = [first[0], *(columns for columns, _ in found)]
    return np.concatenate([c.added for c in columns]), np.concatenate([c.worth for c in columns])
