"""A plan of few moves for what runs, in which no node takes back what it gave away lately."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metis.operate.rebalance import Rebalancing, rebalance
from metis.operate.settings import RebalanceSettings
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.tables import Tables


@dataclass(frozen=True)
class Planning:
    """How many moves are proposed, and at what price.

    Attributes:
        moves: a number of them; None for as many as pay, or for the knee of the frontier without a cost.
        move_cost: value that a move must gain: for all, or by application.
        settings: of moves and waves.
    """

    moves: int | None = None
    move_cost: float | Mapping[str, float] = 0.0
    settings: RebalanceSettings = field(default_factory=RebalanceSettings)


@dataclass(frozen=True)
class Proposed:
    """A plan of moves.

    Attributes:
        placement: what every node holds in the end, int [nodes, apps].
        found: the plans, on the nodes that may take part.
        index: which of them.
    """

    placement: IntArray
    found: Rebalancing
    index: int


def without_return(
    cluster: Cluster, gave: NDArray[np.bool_], plan: Callable[[NDArray[np.bool_]], IntArray]
) -> NDArray[np.bool_]:
    """Return the nodes that may take part so that a plan gives none of them back what it gave away.

    A node that would take something back is left out, and the others are planned anew, until none does.

    Args:
        cluster: with what runs.
        gave: whether a node gave a container of an application away lately, bool [nodes, apps].
        plan: what the nodes that take part [nodes, bool] hold in the end, int [those nodes, apps].
    """
    free = np.ones(cluster.nodes, dtype=bool)
    while free.any():
        back = ((plan(free) > cluster.existing[free]) & gave[free]).any(axis=1)
        if not back.any():
            break
        free[np.flatnonzero(free)[back]] = False
    return free


def propose_moves(
    tables: Tables,
    worth: FloatArray,
    cluster: Cluster,
    nodes: Sequence[str],
    gave: NDArray[np.bool_],
    planning: Planning,
) -> Proposed:
    """Plan moves; where no node may take part, none are.

    Args:
        tables: with `rps`.
        worth: of every co-location, float64 [size].
        cluster: with what runs, and the rules.
        nodes: their names.
        gave: whether a node gave a container of an application away lately, bool [nodes, apps].
        planning: how many moves.

    Raises:
        InputError: see `metis.operate.rebalance.rebalance`.
    """
    made: list[tuple[Rebalancing, int]] = []

    def plan(free: NDArray[np.bool_]) -> IntArray:
        part = Cluster(cluster.space, int(free.sum()), cluster.existing[free], cluster.allowed)
        names = tuple(name for name, one in zip(nodes, free, strict=True) if one)
        paid = planning.moves is None and bool(planning.move_cost)
        moves = int(part.existing.sum()) if paid else planning.moves
        cost = planning.move_cost
        found = rebalance(tables, worth, part, names, moves, planning.settings, move_cost=cost)
        made[:] = [(found, found.knee().index)]
        return found.plans[made[0][1]].placement

    free = without_return(cluster, gave, plan)
    placement = cluster.existing.copy()
    if not free.any():
        found = rebalance(tables, worth, cluster, tuple(nodes), 0, planning.settings)
        return Proposed(placement, found, 0)
    found, index = made[0]
    placement[free] = found.plans[index].placement
    return Proposed(placement, found, index)
