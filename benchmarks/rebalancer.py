"""Moves beside those of Meta's `rebalancer`: benchmarks/rebalancer.py --python COMMAND [--sizes 0 1].

    python3.13 -m venv other && other/bin/pip install rebalancer
    OMP_NUM_THREADS=1 python benchmarks/rebalancer.py --python other/bin/python

`rebalancer` has wheels for Python 3.12 and later alone, hence an environment of its own; COMMAND may be
several words, such as `chroot FOLDER python3`. It is given the instances of benchmarks/rebalance.py:
containers are its objects, nodes its containers.

**What it optimises.** Its language has no table of what nodes are worth. Of its goals, one of capacity
charges each node what a weighted count of its containers exceeds a limit by, and weights may be negative. A
sum of such goals is a network of one hidden layer of rectified linear units, here fitted to the table
(scikit-learn), beside a linear part which is the same for every placement. `--exact` states the table itself
instead, with a unit for each of its co-locations on a number that differs for each: with these 6,434 units it
evaluated six moves a second. What it returns is judged by the table either way.

**Moves** are limited by its constraint on movement; a swap counts two. `--price` also lets a move cost what
one more is worth by our program, so that it does not spend them on small gains. Its local search tries
single moves and swaps. Its exact solver (HiGHS) returned nothing in four minutes on the smallest instance
with as few as 8 units.
"""

import argparse
import json
import shlex
import subprocess
from pathlib import Path

import numpy as np
from rebalance import SIZES, best_swaps, scrambled
from schedulers import tables_at_hand

from metis.problem.cluster import Cluster
from metis.problem.objectives import MeanRps
from metis.program.colocation_program import solve_colocation_program
from metis.program.moves import MoveProgram

INSIDE = Path(__file__).with_name("rebalancer_solve.py")


def fitted_units(counts, worth, hidden, seed):
    """Units whose sum is near to the worth but for a linear part, and the share of its variance explained."""
    from sklearn.neural_network import MLPRegressor

    known = np.c_[counts, np.ones(len(counts))]
    linear = known @ np.linalg.lstsq(known, worth, rcond=None)[0]
    scale = worth.std()
    network = MLPRegressor(
        hidden_layer_sizes=(hidden,), solver="lbfgs", alpha=1e-5, max_iter=2000, random_state=seed
    ).fit(counts, (worth - linear) / scale)
    (sizes, weights), (limits, _) = network.coefs_, network.intercepts_
    units = [
        {"sizes": sizes[:, j].tolist(), "limit": float(-limits[j]), "weight": float(weights[j, 0] * scale)}
        for j in range(hidden)
    ]
    missed = network.predict(counts) * scale + linear - worth
    return units, 1 - missed.var() / worth.var()


def exact_units(counts, worth, slots):
    """Units that are the worth itself: piecewise linear in a number that differs for each co-location."""
    sizes = [float((slots + 1) ** a) for a in range(counts.shape[1])]
    number = counts @ np.array(sizes)
    order = np.argsort(number)
    slopes = np.diff(worth[order]) / np.diff(number[order])
    bends = np.diff(slopes, prepend=0.0)
    return [
        {"sizes": sizes, "limit": float(limit), "weight": float(bend)}
        for limit, bend in zip(number[order][:-1], bends, strict=True)
    ]


def improved(command, existing, slots, moves, units, price, seconds):
    """What `rebalancer` makes of a placement, int [nodes, apps], and its document."""
    nodes, apps = existing.shape
    containers = np.repeat(np.tile(np.arange(apps), nodes), existing.ravel()).tolist()
    ends = np.cumsum(existing.sum(axis=1))
    held = [list(range(int(end - row.sum()), int(end))) for row, end in zip(existing, ends, strict=True)]
    instance = {
        "containers": containers,
        "nodes": held,
        "slots": slots,
        "moves": moves,
        "price": price,
        "seconds": seconds,
        "units": units,
    }
    done = subprocess.run(
        [*command, "-P", INSIDE], input=json.dumps(instance), capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)}: {done.stderr.strip().splitlines()[-1]}")
    document = json.loads(done.stdout)
    after = np.zeros_like(existing)
    for node, inside in enumerate(document["nodes"]):
        np.add.at(after[node], [containers[i] for i in inside], 1)
    assert (after.sum(axis=0) == existing.sum(axis=0)).all()
    assert after.sum(axis=1).max() <= slots
    return after, document


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", required=True, help="command of a Python that has the package")
    parser.add_argument("--published", type=Path, default=Path(__file__).parents[2] / "shared" / "published")
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hidden", type=int, default=16, help="units of the network")
    parser.add_argument("--exact", action="store_true", help="the table itself instead")
    parser.add_argument("--price", action="store_true", help="a move costs what one more is worth, too")
    parser.add_argument("--seconds", type=int, default=60, help="for one number of moves")
    options = parser.parse_args()
    command = shlex.split(options.python)
    tables, source = tables_at_hand(options.published)
    space = tables.space
    for size in options.sizes:
        nodes, containers, budgets, _ = SIZES[size]
        existing = scrambled(space, nodes, containers, options.seed)
        cluster = Cluster(space, nodes, existing=existing)
        worth = MeanRps().bind(np.zeros(len(space.apps), dtype=np.int64), cluster, tables)
        top = solve_colocation_program(worth, existing.sum(axis=0), Cluster(space, nodes)).value
        # the goals' values are near 1 a container, well above the package's tolerances
        if options.exact:
            units, explained = exact_units(space.counts, worth * containers, space.slots), 1.0
        else:
            units, explained = fitted_units(space.counts, worth * containers, options.hidden, options.seed)
        before = worth[space.index(existing)].sum() / top
        print(
            f"{nodes}/{containers}, {source}: {before:.2%} before; {len(units)} units explain {explained:.2%}"
        )
        for moves in budgets:
            plan = MoveProgram(worth, cluster).plan(moves)
            price = plan.prices.move * containers if options.price else 0.0
            after, found = improved(command, existing, space.slots, moves, units, price, options.seconds)
            gone = int(np.maximum(existing - after, 0).sum())
            fewer = MoveProgram(worth, cluster).plan(gone)
            reached = worth[space.index(after)].sum() / top
            print(
                f"  {moves:5d} moves: ours {plan.value / top:.2%}, best swaps "
                f"{best_swaps(existing, space, worth, moves) / top:.2%}, rebalancer {reached:.2%} with "
                f"{gone} (ours {fewer.value / top:.2%} with as many); "
                f"{found['cpu_seconds']:.1f} CPU-s, {found['seconds']:.1f} s, "
                f"ours {plan.cpu_seconds:.2f} CPU-s",
                flush=True,
            )


if __name__ == "__main__":
    main()
