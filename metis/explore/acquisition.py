"""The choice of what to measure next: a starting design, then what optimistic plans would use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metis.explore.settings import Acquisition, Start
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.objectives import Objective
from metis.problem.space import ColocationSpace
from metis.program.relaxation import relax
from metis.simulate.belief import Belief

Plan = Callable[[FloatArray, IntArray, Cluster], IntArray]
Proposal = tuple[int, str]  # co-location, and why

NOTHING = 1e-9  # a spread of worth below it is none


@dataclass(frozen=True)
class Demand:
    """A group, its cluster, and the believed worth of every co-location to it.

    Attributes:
        group: containers per application, int [apps].
        cluster: where it goes.
        worth: expected worth, float64 [size].
        spread: standard deviation of the worth, float64 [size].
    """

    group: IntArray
    cluster: Cluster
    worth: FloatArray
    spread: FloatArray

    def hope(self, optimism: float) -> FloatArray:
        """Worth were everything `optimism` spreads better than expected, float64 [size]."""
        return self.worth + optimism * self.spread


def demand_of(group: IntArray, cluster: Cluster, objective: Objective, belief: Belief) -> Demand:
    """The worth of co-locations to a group, as believed, and its spread.

    The spread sums what each quantity of each application, one standard deviation better, would change:
    they are taken as independent.
    """
    worth = objective.bind(group, cluster, belief.tables)
    variance = np.zeros_like(worth)
    for name in belief.ensembles:
        for a in range(len(belief.space.apps)):
            variance += (objective.bind(group, cluster, belief.better(name, a)) - worth) ** 2
    return Demand(group, cluster, worth, np.sqrt(variance))


def start_design(
    space: ColocationSpace,
    kind: Start,
    size: int,
    candidates: NDArray[np.bool_],
    rng: np.random.Generator,
) -> list[Proposal]:
    """The co-locations to measure first: stand-alone runs, then others by a design, `size` in all.

    `pairs` takes one container beside one other (and beside itself) next, `spread` those farthest from what
    is chosen already (most counts differ), `random` any.

    Args:
        space: what can be measured.
        kind: which design.
        size: how many; the stand-alone runs are always among them.
        candidates: bool [size of the space], what may be measured.
        rng: generator of the choice.
    """
    open_ = candidates.copy()
    open_[0] = False
    alone = [i for i in np.flatnonzero(open_) if space.totals[i] == 1]
    chosen = [int(i) for i in alone]
    open_[alone] = False
    if kind == "pairs":
        pairs = rng.permutation(np.flatnonzero(open_ & (space.totals == 2)))[: max(size - len(chosen), 0)]
        chosen += [int(i) for i in pairs]
        open_[pairs] = False
    left = min(max(size - len(chosen), 0), int(open_.sum()))
    if kind == "spread":
        chosen += _farthest(space, chosen, left, open_, rng)
    elif left:
        chosen += [int(i) for i in rng.choice(np.flatnonzero(open_), left, replace=False)]
    return [(i, "start") for i in chosen]


def _farthest(
    space: ColocationSpace,
    chosen: Sequence[int],
    count: int,
    candidates: NDArray[np.bool_],
    rng: np.random.Generator,
) -> list[int]:
    """Greedy maximin design on counts and presence, every total of containers in turn; ties by chance.

    Without the turns it would take the corners of the space alone: full nodes of one or two applications.
    """
    points = np.hstack([np.sqrt(space.counts), 0.5 * (space.counts > 0)])
    nearest = np.full(space.size, np.inf)
    for i in chosen:
        nearest = np.minimum(nearest, ((points - points[i]) ** 2).sum(axis=1))
    picked: list[int] = []
    while len(picked) < count:
        here = candidates & (space.totals == 2 + len(picked) % max(space.slots - 1, 1))
        here = here if here.any() else candidates
        reach = np.where(here, np.minimum(nearest, 1e6) * rng.uniform(0.8, 1.0, space.size), -1.0)
        best = int(reach.argmax())
        picked.append(best)
        candidates[best] = False
        nearest = np.minimum(nearest, ((points - points[best]) ** 2).sum(axis=1))
    return picked


def propose(
    kind: Acquisition,
    belief: Belief,
    demands: Sequence[Demand],
    objective: Objective,
    *,
    optimism: float,
    count: int,
    imagined: int,
    candidates: NDArray[np.bool_],
    rng: np.random.Generator,
) -> list[Proposal]:
    """Propose up to `count` co-locations to measure, the most promising first.

    Plans are linear relaxations: what a fractional plan uses is as well worth measuring as what a whole one
    uses.

    Args:
        kind: `optimistic` takes what plans on mean + `optimism` x spread use, `thompson` what plans on a
            drawn member use, `uncertainty` the largest spread of worth wherever it is, `random` anything.
        belief: the fitted ensembles.
        demands: the groups with their believed worth.
        objective: what is planned for.
        optimism: spreads added to the mean.
        count: how many are wanted.
        imagined: groups like those given that are drawn when their own plans propose too little.
        candidates: bool [size], what may be measured (again, where measuring is noisy).
        rng: generator of all draws.
    """
    if kind == "random":
        fresh = candidates.copy()
        fresh[belief.seen_ids] = False
        pool = np.flatnonzero(fresh)
        drawn = rng.choice(pool, min(count, len(pool)), replace=False)
        return [(int(i), "random") for i in drawn]
    open_ = candidates & (np.max([demand.spread for demand in demands], axis=0) > NOTHING)
    if kind == "uncertainty":
        score = np.sum([demand.spread / max(demand.spread.max(), NOTHING) for demand in demands], axis=0)
        score = np.where(open_, score, 0.0)
        return [(int(i), "uncertainty") for i in np.argsort(-score, kind="stable")[:count] if open_[i]]
    if kind == "thompson":
        members = [belief.draw(rng) for _ in demands]
        worths = [
            objective.bind(d.group, d.cluster, member) for d, member in zip(demands, members, strict=True)
        ]
    else:
        worths = [demand.hope(optimism) for demand in demands]
    plans = [relax(w, d.group, d.cluster).nodes for w, d in zip(worths, demands, strict=True)]
    proposals = _used(demands, plans, open_, "plan of group")[:count]
    taken = open_.copy()
    taken[[i for i, _ in proposals]] = False
    if len(proposals) < count and imagined:
        drawn_groups = _imagine(demands, imagined, objective, belief, rng)
        others = [relax(d.hope(optimism), d.group, d.cluster).nodes for d in drawn_groups]
        more = _used(drawn_groups, others, taken, "plan of imagined group")[: count - len(proposals)]
        taken[[i for i, _ in more]] = False
        proposals += more
    if len(proposals) < count:
        proposals += _near(demands, plans, taken, optimism)[: count - len(proposals)]
    return proposals


def confirm(demands: Sequence[Demand], candidates: NDArray[np.bool_], count: int) -> list[Proposal]:
    """Propose up to `count` co-locations that the plans on the expected worth use, the most at stake first.

    What an optimal plan uses was often lucky in its few runs (the winner's curse). Run again it either holds,
    or leaves the plan for what is truly better.

    Args:
        demands: the groups with their believed worth.
        candidates: bool [size], what may be run again.
        count: how many are wanted.
    """
    plans = [relax(demand.worth, demand.group, demand.cluster).nodes for demand in demands]
    return _used(demands, plans, candidates, "again, plan of group")[:count]


def _used(
    demands: Sequence[Demand], plans: Sequence[FloatArray], candidates: NDArray[np.bool_], reason: str
) -> list[Proposal]:
    """The candidates that plans use, by what their uncertainty puts at stake in the plans' values."""
    spreads = np.stack([demand.spread for demand in demands])
    stakes = np.where(candidates, np.stack(plans) * spreads, 0.0)
    total = stakes.sum(axis=0)
    order = np.argsort(-total, kind="stable")[: int((total > NOTHING).sum())]
    return [(int(i), f"{reason} {int(stakes[:, i].argmax())}") for i in order]


def _imagine(
    demands: Sequence[Demand], count: int, objective: Objective, belief: Belief, rng: np.random.Generator
) -> list[Demand]:
    """Groups drawn like the given ones: of the size and cluster of one, applications mixed as in all."""
    shares = np.mean([demand.group / demand.group.sum() for demand in demands], axis=0)
    drawn = []
    for i in rng.integers(len(demands), size=count):
        group = rng.multinomial(int(demands[i].group.sum()), shares / shares.sum()).astype(np.int64)
        drawn.append(demand_of(group, demands[i].cluster, objective, belief))
    return drawn


def _near(
    demands: Sequence[Demand], plans: Sequence[FloatArray], candidates: NDArray[np.bool_], optimism: float
) -> list[Proposal]:
    """The candidates one container away from a plan's co-locations, by their hoped worth beyond their price.

    The prices are those at which the plan's own co-locations break even: least squares on their worths.
    """
    best = np.full(len(candidates), -np.inf)
    for demand, nodes in zip(demands, plans, strict=True):
        space = demand.cluster.space
        used = np.flatnonzero(nodes > NOTHING)
        steps = np.concatenate([space.plus[used].ravel(), space.minus[used].ravel()])
        swapped = space.plus[steps[steps >= 0]].ravel()
        near = np.unique(np.concatenate([steps, swapped]))
        near = near[near >= 0]
        terms = np.hstack([space.counts, np.ones((space.size, 1))])
        prices = np.linalg.lstsq(terms[used], demand.worth[used], rcond=None)[0]
        beyond = demand.hope(optimism) - terms @ prices
        best[near] = np.maximum(best[near], beyond[near] * demand.cluster.nodes)
    best[~candidates] = -np.inf
    order = np.argsort(-best, kind="stable")[: int(np.isfinite(best).sum())]
    return [(int(i), "optimism near the plans") for i in order]


def without(cluster: Cluster, forbidden: Sequence[int]) -> Cluster:
    """The cluster with some co-locations ruled out, such as those that could not be measured."""
    if not forbidden:
        return cluster
    allowed = cluster.allowed.copy()
    allowed[list(forbidden)] = False
    return replace(cluster, allowed=allowed)


def candidates_of(clusters: Sequence[Cluster]) -> NDArray[np.bool_]:
    """The co-locations that the rules of at least one cluster admit, but for the empty one, bool [size]."""
    allowed = np.any([cluster.allowed for cluster in clusters], axis=0)
    allowed[0] = False
    return np.asarray(allowed)
