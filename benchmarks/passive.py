"""Passive learning: benchmarks/passive.py [--seeds 0 1 2 3] [--start random|spread] [--caution 0.5].

81 nodes of the embedded testbed in service, 400 containers, noise 0.05, daily load curves. Within 24 hours 20
moves are made, 5 at a time, by plans of what was learnt until then; nothing is measured for its own sake.
Reported, all judged by the truth: the placement that the profile learnt would give the group, anew, as a
share of the true optimum; what 20 moves reached, as a share of the best 20 moves; and named aggressors.
"""

import argparse
import time

import numpy as np
from rebalance import scrambled

from metis.explore.acquisition import demand_of
from metis.measure.day import DailyLoad, simulate_day
from metis.measure.passive import Hurt, Learnt, learn
from metis.measure.testbed import load_embedded
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.objectives import MeanRps
from metis.problem.space import ColocationSpace
from metis.program.colocation_program import solve_colocation_program
from metis.program.moves import MoveProgram
from metis.simulate.belief import Belief, fit_belief

NODES, CONTAINERS, MOVES = 81, 400, 20


def believed(learnt: Learnt, space: ColocationSpace) -> Belief:
    """What `simulator=ensemble` makes of the profile."""
    profile = learnt.profile
    values = {"rps": (profile.rps, np.ones(len(space.apps)))}
    ids = space.index(profile.colocations)
    return fit_belief(space, ids, values, profile.noise, weights=profile.weights)


def rightly_named(one: Hurt, space: ColocationSpace, rps: FloatArray) -> bool:
    """Whether the aggressor that was named is the one whose removal would help most."""
    unit = np.eye(len(space.apps), dtype=np.int64)
    others = np.flatnonzero(one.counts - unit[one.app])
    gains = rps[space.index(one.counts - unit[others]), one.app]
    return bool(others[gains.argmax()] == one.aggressor)


def one_day(
    start: IntArray, load: DailyLoad, seed: int, hours: list[float], optimism: float, caution: float
) -> list[float]:
    """Shares of the true optimum: before, anew, by moves, by the best; hurt, named, right; coverage, CPU."""
    testbed = load_embedded(slots=8)
    space, truth = testbed.space, testbed.truth()
    group, empty = start.sum(axis=0), Cluster(space, len(start))
    worth = MeanRps().bind(group, empty, truth)
    top = solve_colocation_program(worth, group, empty).value
    best = MoveProgram(worth, Cluster(space, len(start), existing=start)).plan(MOVES).value / top

    def true(placement: IntArray) -> float:
        return float(worth[space.index(placement)].sum() / top)

    placement, readings, spent, clock = start, None, 0.0, 0.0
    for at, length in enumerate(hours):
        seen = simulate_day(space, truth.rps, placement, load, seed, length, clock)
        clock += length
        readings = seen if readings is None else readings.joined(seen)
        begun = time.process_time()
        learnt = learn(readings, space.slots)
        belief = believed(learnt, space)
        spent += time.process_time() - begun
        if at + 1 < len(hours):
            cluster = Cluster(space, len(start), existing=placement)
            hope = demand_of(group, cluster, MeanRps(), belief).hope(optimism)
            placement = MoveProgram(hope, cluster).plan(MOVES // (len(hours) - 1)).placement
    expected = demand_of(group, empty, MeanRps(), belief).hope(-caution)
    anew = true(solve_colocation_program(expected, group, empty).placement)
    hurt = learnt.hurt()
    named = [one for one in hurt if one.aggressor is not None]
    right = sum(rightly_named(one, space, truth.rps) for one in named)
    errors = [
        (made.rps - np.log(truth.rps[space.index(made.counts), one.app])) / made.spread
        for one in learnt.sensitivities
        for made in one.estimates
        if made.counts.sum() > 1
    ]
    inside = float((np.abs(errors) < 1.2816).mean())
    return [true(start), anew, true(placement), best, len(hurt), len(named), right, inside, spent]


def started(kind: str, seed: int) -> IntArray:
    """The placement of the day's beginning, int [nodes, apps]."""
    placement = scrambled(load_embedded(slots=8).space, NODES, CONTAINERS, seed)
    if kind == "random":
        return placement
    space = load_embedded(slots=8).space
    order = np.random.default_rng(seed).permutation(
        np.repeat(np.arange(len(space.apps)), placement.sum(axis=0))
    )
    spread = np.zeros_like(placement)
    np.add.at(spread, (np.arange(len(order)) % NODES, order), 1)
    return spread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--start", choices=["random", "spread"], nargs="+", default=["random", "spread"])
    parser.add_argument("--optimism", type=float, default=0.0)
    parser.add_argument("--caution", type=float, default=0.5, help="as simulator.caution")
    parser.add_argument("--noise", type=float, default=0.05)
    parser.add_argument("--lasting", type=float, default=0.0, help="hours in which noise is half gone")
    parser.add_argument("--hours", type=float, nargs="+", default=[12, 3, 3, 3, 3])
    chosen = parser.parse_args()
    load = DailyLoad(noise=chosen.noise, lasting=chosen.lasting)
    for kind in chosen.start:
        rows = []
        for seed in chosen.seeds:
            row = one_day(started(kind, seed), load, seed, chosen.hours, chosen.optimism, chosen.caution)
            rows.append(row)
            print(
                f"{kind} {seed}: before {row[0]:.2%}, anew {row[1]:.2%} of the optimum; 20 moves "
                f"{row[2]:.2%}, {row[2] / row[3]:.2%} of the best 20; {row[4]:.0f} hurt, "
                f"{row[5]:.0f} named, {row[6]:.0f} "
                f"right; in the 80 % interval {row[7]:.0%}; {row[8]:.1f} CPU-s",
                flush=True,
            )
        mean = np.mean(rows, axis=0)
        worst = np.min(rows, axis=0)
        gained = np.mean([row[2] / row[3] for row in rows])
        print(
            f"{kind}: anew {mean[1]:.2%} in the mean, {worst[1]:.2%} at worst; "
            f"{gained:.2%} of the best 20 moves; "
            f"aggressors named {mean[5] / mean[4]:.0%} of hurt, right {mean[6] / mean[5]:.1%}"
        )


if __name__ == "__main__":
    main()
