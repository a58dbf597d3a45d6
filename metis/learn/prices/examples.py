"""Sub-problems to learn prices from: drawn at random, their relaxation solved by the column solver.

Some are on nodes that are all alike, some on several types of nodes with resources: what a network learns
there it knows of types that it never saw.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError, SolverError
from metis.learn.prices.features import Features, Float32Array, features_of
from metis.learn.prices.settings import PricesSettings
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem, problem_of
from metis.problem.node_types import NodeTypeSettings, state_problem
from metis.problem.objectives import Objective
from metis.problem.oracle import Oracle, types_of, worth_of
from metis.problem.rules import Rules
from metis.problem.tables import Tables
from metis.program.column_program import bound_by_columns
from metis.program.generation import Relaxation

SPREAD = (0.0, 0.0, 0.03, 0.1)  # by which the solver's prices are varied, to choose columns
KINDS = 4  # types of nodes in a sub-problem at most
RESOURCES = 2  # beside slots, at most
MEAN = 0.6  # of a slot's share of a resource that a container asks for, about
ROOMIEST = 4.0  # nodes have up to so many times the resource for each slot that others have
FULLEST = 0.95  # share of what nodes of several types have, at most: more is seldom placed
ATTEMPTS = 10  # to draw a sub-problem that can be placed


@dataclass(frozen=True)
class Example:
    """A sub-problem, and columns that its prices must not let pass.

    Attributes:
        seen: what the network sees.
        added: columns, of the applications of `seen`, int8 [columns, n].
        worth: of each in stand-alone containers, float32 [columns].
        kind: of each, int8 [columns].
        nodes: share of the nodes that are of each kind, float32 [kinds].
        demand: containers to place per node, float32 [n].
        best: the solved relaxation per node in stand-alone containers; a bound beyond it is excess.
    """

    seen: Features
    added: NDArray[np.int8]
    worth: Float32Array
    kind: NDArray[np.int8]
    nodes: Float32Array
    demand: Float32Array
    best: float

    def excess(self, prices: FloatArray) -> float:
        """Return by which share the bound of `prices` [n], in stand-alone containers, exceeds the best."""
        reduced = self.worth - self.added @ prices
        highest = np.array([reduced[self.kind == kind].max() for kind in range(len(self.nodes))])
        return float((prices @ self.demand + highest @ self.nodes) / self.best - 1)


def drawn_problem(
    known: Tables | Oracle, objective: Objective, settings: PricesSettings, rng: np.random.Generator
) -> Problem:
    """Draw a sub-problem: some of the applications, in some mix, on an empty cluster."""
    every, slots = len(known.space.apps), known.space.slots
    most = min(every, settings.apps)
    count = int(rng.integers(max(2, most // 2), most + 1)) if most > 1 else 1
    chosen = rng.choice(every, count, replace=False)
    load = 1.0 if rng.random() < settings.full_share else rng.uniform(settings.min_load, 1.0)
    low, high = np.log([settings.min_mix, settings.max_mix])
    mix = np.zeros(every)
    mix[chosen] = rng.dirichlet(np.full(count, np.exp(rng.uniform(low, high))))
    if settings.typed_share and rng.random() < settings.typed_share:
        return _on_types(known, objective, settings.nodes, mix, min(load, FULLEST), rng)
    group = np.zeros(every, dtype=np.int64)
    group[chosen] = rng.multinomial(max(1, round(load * settings.nodes * slots)), mix[chosen])
    cluster = Cluster(known.space, settings.nodes)
    return problem_of(group, cluster, worth_of(objective, group, cluster, known))[0]


def _on_types(
    known: Tables | Oracle,
    objective: Objective,
    nodes: int,
    mix: FloatArray,
    load: float,
    rng: np.random.Generator,
) -> Problem:
    """Draw types of nodes, and what containers ask for; place `load` of what is scarcest, at most."""
    space, names = known.space, list(types_of(known))
    several = int(rng.integers(2, max(2, min(KINDS, nodes)) + 1))
    names = [str(name) for name in rng.permutation(names)[:several]] or [f"type-{i}" for i in range(several)]
    slots = rng.integers((space.slots + 1) // 2, space.slots + 1, len(names))
    slots[rng.integers(len(names))] = space.slots
    counts = 1 + rng.multinomial(max(nodes - len(names), 0), rng.dirichlet(np.full(len(names), 3.0)))
    resources = [f"resource-{r}" for r in range(rng.integers(0, RESOURCES + 1))]
    per_slot = ROOMIEST ** rng.random((len(names), len(resources)))
    asked = MEAN * 2.0 ** rng.integers(-2, 3, (len(space.apps), len(resources)))
    asked = np.minimum(asked, (slots[:, None] * per_slot).max(axis=0))
    types = tuple(
        NodeTypeSettings(
            name,
            count=int(counts[t]),
            slots=int(slots[t]),
            capacity={one: float(slots[t] * per_slot[t, r]) for r, one in enumerate(resources)},
        )
        for t, name in enumerate(names)
    )
    requests = {
        app: {one: float(asked[a, r]) for r, one in enumerate(resources)} for a, app in enumerate(space.apps)
    }
    total = [float(counts @ slots), *(counts @ (slots[:, None] * per_slot))]
    mean = np.array([1.0, *(mix @ asked)])
    group = rng.multinomial(max(1, int(load * (np.array(total) / mean).min())), mix)
    stated = state_problem(types, requests, Rules(), space.apps, space.slots, (group > 0).astype(np.int64))
    cluster = Cluster(space, int(counts.sum()), stated=stated)
    return problem_of(group, cluster, worth_of(objective, group, cluster, known))[0]


def solved_example(
    known: Tables | Oracle,
    objective: Objective,
    settings: PricesSettings,
    rng: np.random.Generator,
    predict: Callable[[Problem], FloatArray] | None,
) -> Example:
    """Draw a sub-problem that can be placed, and solve it; see `solved`.

    Args:
        known: the simulator, by tables or an oracle.
        objective: what a placement is worth.
        settings: of the training.
        rng: of all that is drawn.
        predict: gives the prices [apps] to begin with, as predicted so far.

    Raises:
        InputError: none that was drawn could be placed.
        SolverError: the solver gave up on all that were drawn.
    """
    for attempt in range(ATTEMPTS):
        try:
            problem = drawn_problem(known, objective, settings, rng)
            return solved(problem, settings, rng, predict(problem) if predict else None)
        except (InputError, SolverError):  # some container fits on no node, or on none beside the others
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def solved(
    problem: Problem, settings: PricesSettings, rng: np.random.Generator, prices: FloatArray | None
) -> Example:
    """Solve the relaxation of a sub-problem, and keep the columns that its prices have to respect.

    Args:
        problem: on empty nodes.
        settings: `width` and `kept`.
        rng: of the prices around the best by which columns are kept, too.
        prices: to begin with, as predicted so far; columns that are best by them are kept, too.

    Raises:
        InputError: not all of it can be placed.
    """
    kind_of = np.repeat(np.arange(problem.kinds), problem.nodes)
    relaxed = bound_by_columns(
        problem, kind_of, width=settings.width, seconds=np.inf, prices=prices, proving=False
    )
    seen = features_of(problem)
    nothing = np.zeros((1, len(problem.demand)), dtype=np.int64)
    empty = np.array([float(pool.look_up(nothing)[0]) for pool in relaxed.pools])
    kinds, added, worth = _kept(relaxed, settings.kept, rng, prices)
    nodes = float(problem.nodes.sum())
    return Example(
        seen,
        added[:, seen.apps].astype(np.int8),
        ((worth - empty[kinds]) / seen.unit).astype(np.float32),
        kinds.astype(np.int8),
        (problem.nodes / nodes).astype(np.float32),
        (problem.demand[seen.apps] / nodes).astype(np.float32),
        (relaxed.solution.value - float(empty @ problem.nodes)) / (nodes * seen.unit),
    )


def _kept(
    relaxed: Relaxation, count: int, rng: np.random.Generator, prices: FloatArray | None
) -> tuple[IntArray, NDArray[np.int16], FloatArray]:
    """Return the columns that are best by the solver's prices, by some around, and by those predicted.

    Their kinds, int [columns], what nodes receive, [columns, apps], and worth, [columns].
    """
    best = relaxed.solution.prices
    around = [best * (1 + spread * rng.standard_normal(len(best))) for spread in SPREAD]
    around += [] if prices is None else [prices]
    each = count // len(relaxed.pools)
    columns = []
    for pool in relaxed.pools:
        found = [pool.best(some, -np.inf, each // len(around))[0] for some in around[1:]]
        first = pool.best(best, -np.inf, each - sum(len(some.worth) for some in found))[0]
        some = [first, *found]
        columns.append((np.concatenate([c.added for c in some]), np.concatenate([c.worth for c in some])))
    kinds = np.repeat(np.arange(len(columns)), [len(worth) for _, worth in columns])
    added, worth = (np.concatenate(part) for part in zip(*columns, strict=True))
    return kinds, added, worth
