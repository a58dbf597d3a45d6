"""Solve an instance by Meta's `rebalancer`; benchmarks/rebalancer.py runs it in a Python with that package.

Reads one JSON document from standard input and writes one to standard output: see `solve`. It uses nothing of
metis, whose Python `rebalancer` does not support.
"""

import json
import sys
import time

from rebalancer import ProblemSolver

UPPER = 1  # of the enumeration CapacitySpec.bound; the package's parser wants its number
ABSOLUTE = 0  # of the enumeration Limit.type, likewise


def solve(instance):
    """Improve an assignment by at most so many moves.

    Args:
        instance: `containers`, application of each container; `nodes`, indices of containers on each node;
            `slots` of a node; `moves` at most; `price` of a move; `seconds` at most; `units`: the objective
            sums over them and over nodes `weight` times what `sizes` [apps] of a node's containers exceed
            `limit` by.

    Returns:
        `nodes` as they are then, `seconds` and `cpu_seconds`, `moves` as it counts them, `objective`, and why
        it ended.
    """
    apps = instance["containers"]
    names = [f"c{i}" for i in range(len(apps))]
    start, cpu = time.monotonic(), time.process_time()
    solver = ProblemSolver(service_name="metis", service_scope="benchmark")
    solver.disable_scuba_logging().disable_solution_summary()
    solver.set_object_name("container").set_container_name("node")
    solver.set_assignment({f"n{n}": [names[i] for i in held] for n, held in enumerate(instance["nodes"])})
    sizes = {}
    for unit in instance["units"]:
        sizes.setdefault(tuple(unit["sizes"]), f"size{len(sizes)}")
    for values, name in sizes.items():
        solver.add_object_dimension(name, {names[i]: values[a] for i, a in enumerate(apps)}, 0.0)
    for i, unit in enumerate(instance["units"]):
        limited = limit_of(f"unit{i}", sizes[tuple(unit["sizes"])], unit["limit"])
        solver.add_goal({"capacitySpec": limited}, -unit["weight"])  # goals are minimised
    solver.add_constraint({"capacitySpec": limit_of("slots", "container_count", instance["slots"])})
    movement = {"name": "moves", "scope": "node", "dimension": "container_count", "doNotNormalize": True}
    solver.add_constraint({"minimizeMovementSpec": {**movement, "allowance": instance["moves"]}})
    if instance["price"]:
        solver.add_goal({"minimizeMovementSpec": {**movement, "name": "price"}}, instance["price"])
    kinds = [{"singleMoveTypeSpec": {}}, {"swapMoveTypeSpec": {}}]
    solver.add_solver({"localSearchSolverSpec": {"solveTime": instance["seconds"], "moveTypeList": kinds}})
    solution = solver.solve()
    nodes = [[] for _ in instance["nodes"]]
    for name, node in solution["assignment"].items():
        nodes[int(node[1:])].append(int(name[1:]))
    before = {i: n for n, held in enumerate(instance["nodes"]) for i in held}
    moved = sum(before[i] != n for n, held in enumerate(nodes) for i in held)
    return {
        "nodes": nodes,
        "moves": moved,
        "seconds": time.monotonic() - start,
        "cpu_seconds": time.process_time() - cpu,
        "objective": solution["finalObjective"]["value"],
        "ended": [str(report.get("endReason")) for report in solution["solverSummaries"]],
    }


def limit_of(name, dimension, limit):
    """At most `limit` of a dimension on each node."""
    bounds = {"type": ABSOLUTE, "globalLimit": limit}
    return {"name": name, "scope": "node", "dimension": dimension, "bound": UPPER, "limit": bounds}


if __name__ == "__main__":
    document = solve(json.load(sys.stdin))
    json.dump(document, sys.stdout)
