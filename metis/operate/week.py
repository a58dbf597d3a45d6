"""A simulated week: policies look after the same life of a cluster, side by side."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from time import process_time

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError, PlacementError
from metis.operate.life import Life
from metis.operate.policies import Hour, Policy
from metis.operate.settings import DAY, WeekSettings
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.evaluation import value
from metis.problem.objectives import Objective
from metis.problem.tables import Tables
from metis.program.relaxation import relax

Report = Callable[[int, int], None]


@dataclass
class Kept:
    """A cluster as one policy keeps it.

    Attributes:
        node: where each container runs, int [containers]; -1 for one that does not.
        since: hour of its last move or start, int [containers].
        left: (container, node) -> hour at which it was moved away.
        gave: hour at which a node last gave a container of an application away, int [nodes, apps].
        value: by hour.
        moves: by hour.
        above: share of containers that reach the SLO, by hour.
        waiting: containers for which there was no place, by hour.
        loops: containers moved back to a node that they had been moved from within a day.
        swings: containers of an application moved to a node that gave one of them away within a day.
        cpu_seconds: of the policy's decisions.
    """

    node: IntArray
    since: IntArray
    gave: IntArray
    left: dict[tuple[int, int], int] = field(default_factory=dict)
    value: list[float] = field(default_factory=list)
    moves: list[int] = field(default_factory=list)
    above: list[float] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    loops: int = 0
    swings: int = 0
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Week:
    """What came of it.

    Attributes:
        bound: by hour, the value that no placement exceeds of what runs on the nodes that are there.
        containers: that run, by hour.
        nodes: that are there, by hour.
        kept: by policy.
    """

    bound: FloatArray
    containers: IntArray
    nodes: IntArray
    kept: Mapping[str, Kept]

    def share(self, kept: Kept) -> FloatArray:
        """Value of a policy as a share of the bound, by hour, float64 [hours]; 1 where nothing runs."""
        bound = np.where(self.bound > 0, self.bound, 1.0)
        return np.where(self.bound > 0, np.array(kept.value) / bound, 1.0)


def simulate_week(
    life: Life,
    policies: Mapping[str, Policy],
    tables: Tables,
    objective: Objective,
    allowed: NDArray[np.bool_],
    settings: WeekSettings,
    report: Report | None = None,
) -> Week:
    """Let policies look after the same life.

    An hour begins with what leaves and which nodes fail; what ran on them is placed again with what
    arrives, then the policy moves what it wants to, and the rest of the hour counts.

    Args:
        life: what happens.
        policies: by name.
        tables: the truth at the beginning, with `rps`.
        objective: what a placement is worth; one that needs RPS alone.
        allowed: co-locations that the rules admit, bool [size].
        settings: lag, rest and SLO.
        report: receives how many of the hours are done.

    Raises:
        InputError: an objective that needs more than RPS, or rules that what runs cannot satisfy.
    """
    others = [name for name in objective.needs if name != "rps"]
    if others:
        raise InputError(f"a week models RPS, objective {objective.kind} needs {', '.join(others)} too")
    nodes = life.up.shape[1]
    gave = np.full((nodes, life.strength.shape[1]), -DAY - settings.rest)
    kept = {
        name: Kept(np.full(len(life.app), -1), np.zeros(len(life.app), dtype=np.int64), gave.copy())
        for name in policies
    }
    bounds, space = [], tables.space
    for hour in range(life.hours):
        rps, worth = _judged(tables, life, objective, hour, hour)
        known = _judged(tables, life, objective, max(hour - settings.lag, 0), hour)[1]
        up = np.flatnonzero(life.up[hour])
        here = Cluster(space, len(up), allowed=allowed)
        for name, policy in policies.items():
            one = kept[name]
            _live(one, policy, life, hour, up, known, here, settings)
            placement = _counts(one.node, life)
            one.value.append(value(placement[up], here, worth))
            there, met = placement.sum(), rps[space.index(placement)] >= settings.slo
            one.above.append(float(placement[met].sum() / there) if there else 1.0)
        bounds.append(_bound(worth, life.running(hour), here))
        if report is not None:
            report(hour + 1, life.hours)
    containers = np.array([life.running(hour).sum() for hour in range(life.hours)])
    return Week(np.array(bounds), containers, life.up.sum(axis=1), kept)


def _bound(worth: FloatArray, group: IntArray, cluster: Cluster) -> float:
    """What no placement exceeds; where the rules leave some without a place, without the rules."""
    try:
        return relax(worth, group, cluster).bound
    except InputError:
        return relax(worth, group, Cluster(cluster.space, cluster.nodes)).bound


def _judged(
    tables: Tables, life: Life, objective: Objective, truth: int, hour: int
) -> tuple[FloatArray, FloatArray]:
    """RPS [size, apps] as it is in hour `truth`, and by it what co-locations are worth in `hour`, [size]."""
    rps = np.where(tables.rps > 0, tables.rps, 1.0) ** life.strength[truth]
    drifted = Tables(tables.space, {"rps": np.where(tables.rps > 0, rps, 0.0)})
    cluster = Cluster(tables.space, life.up.shape[1])
    return drifted.rps, objective.bind(life.running(hour), cluster, drifted)


def _counts(node: IntArray, life: Life) -> IntArray:
    """What nodes hold, int [nodes, apps]."""
    counts = np.zeros((life.up.shape[1], life.strength.shape[1]), dtype=np.int64)
    runs = node >= 0
    np.add.at(counts, (node[runs], life.app[runs]), 1)
    return counts


def _live(
    kept: Kept,
    policy: Policy,
    life: Life,
    hour: int,
    up: IntArray,
    known: FloatArray,
    cluster: Cluster,
    settings: WeekSettings,
) -> None:
    """One hour of one policy, up to its moves."""
    there = (life.born <= hour) & (life.gone > hour)
    kept.node[~there] = -1
    kept.node[~np.isin(kept.node, up)] = -1
    running = max(int(life.running(hour).sum()), 1)

    def knows() -> Hour:
        existing = _counts(kept.node, life)[up]
        held = Cluster(cluster.space, cluster.nodes, existing, cluster.allowed)
        lately = kept.gave[up] > hour - settings.rest
        return Hour(held, known, 1 / running, life.hazard, life.arriving, lately)

    waits = np.flatnonzero(there & (kept.node < 0))
    start = process_time()
    new = _placed(policy, np.bincount(life.app[waits], minlength=len(life.hazard)), knows())
    for a in range(new.shape[1]):
        chosen = waits[life.app[waits] == a]
        nodes = np.repeat(up, new[:, a])
        kept.node[chosen[: len(nodes)]] = nodes
        kept.since[chosen] = hour
    kept.waiting.append(int((there & (kept.node < 0)).sum()))
    now = knows()
    after = policy.move(now)
    kept.cpu_seconds += process_time() - start
    kept.moves.append(_move(kept, life, hour, up, after - now.cluster.existing))


def _placed(policy: Policy, group: IntArray, hour: Hour) -> IntArray:
    """What a policy places; where not all has a place, each container that has one."""
    try:
        return policy.place(group, hour)
    except PlacementError:
        pass
    cluster, new = hour.cluster, np.zeros_like(hour.cluster.existing)
    for a in np.repeat(np.arange(len(group)), group):
        held = Cluster(cluster.space, cluster.nodes, cluster.existing + new, cluster.allowed)
        try:
            one = np.eye(len(group), dtype=np.int64)[a]
            new += policy.place(one, replace(hour, cluster=held))
        except PlacementError:
            continue
    return new


def _move(kept: Kept, life: Life, hour: int, up: IntArray, change: IntArray) -> int:
    """Make the moves of an hour; return how many.

    Of alike containers the one longest in its place moves, not one that would come back within a day if
    another one can.
    """
    moves = 0
    for a in np.flatnonzero(change.any(axis=0)):
        quota = {int(up[row]): int(-change[row, a]) for row in np.flatnonzero(change[:, a] < 0)}
        may = np.flatnonzero(np.isin(kept.node, list(quota)) & (life.app == a))
        leaving = sorted((int(c) for c in may), key=lambda c: (kept.since[c], c))
        for node in np.repeat(up, np.maximum(change[:, a], 0)).tolist():
            kept.swings += int(kept.gave[node, a] > hour - DAY)
            back = {c for c in leaving if kept.left.get((c, node), -DAY) > hour - DAY}
            chosen = next((c for c in leaving if c not in back), leaving[0])
            kept.loops += chosen in back
            source = int(kept.node[chosen])
            quota[source] -= 1
            leaving = [c for c in leaving if c != chosen and quota[int(kept.node[c])]]
            kept.left[chosen, source] = hour
            kept.node[chosen], kept.since[chosen] = node, hour
            moves += 1
        kept.gave[up[change[:, a] < 0], a] = hour
    return moves
