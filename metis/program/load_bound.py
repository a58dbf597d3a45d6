"""A lower bound on the cost of load: what an even load of fractional nodes would cost.

The cost of a node is convex in its load, so nodes of one make cost least when loaded alike. The program
chooses how many nodes of each make are in use and how the load of each time is shared among the makes. The
cost of n nodes under load x is n f(x / n), the perspective of f, which is convex in both; tangents bound it
from below, so that a linear program gives a proven bound.
"""

from typing import NamedTuple

import numpy as np

from metis.errors import SolverError
from metis.problem.counts import FloatArray, IntArray
from metis.problem.load_cost import LoadCost
from metis.problem.statement import Statement

TANGENTS = 64


class LoadBound(NamedTuple):
    """What no complete placement costs less than, and the nodes that reach it.

    Attributes:
        cost: the bound.
        make: number of the make of each node, int [nodes].
        used: how many nodes of each make are in use, fractions allowed, float64 [makes].
    """

    cost: float
    make: IntArray
    used: FloatArray


def load_bound(statement: Statement, cost: LoadCost) -> LoadBound:
    """Return the least cost of load when nodes and containers could be divided.

    Raises:
        SolverError: the linear program was not solved.
    """
    import highspy

    times = statement.resource(cost.resource)
    load = statement.demand @ statement.requests[:, times]
    makes, make, nodes = np.unique(
        statement.capacity[:, times], axis=0, return_inverse=True, return_counts=True
    )
    touching = np.linspace(cost.threshold, 1.0, TANGENTS)
    rise = cost.slope * np.exp(touching - cost.threshold) / len(times)  # of a node's cost at one time
    at = cost.slope * np.expm1(touching - cost.threshold) / len(times)
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    used = [solver.addVariable(0, float(n), 1.0) for n in nodes]
    for t, wanted in enumerate(load):
        parts = []
        for size, count in zip(makes, used, strict=True):
            share = solver.addVariable(0, highspy.kHighsInf)  # load on the nodes of this make, in nodes
            above = solver.addVariable(0, highspy.kHighsInf, 1.0)
            solver.addConstr(share <= count)
            for slope, value, u in zip(rise, at, touching, strict=True):
                solver.addConstr(above >= slope * share + (value - slope * u) * count)
            parts.append(float(size[t]) * share)
        solver.addConstr(sum(parts[1:], parts[0]) == float(wanted))
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise SolverError("the bound was not found: the solver gave up")
    in_use = np.array([solver.val(one) for one in used])
    return LoadBound(float(solver.getInfo().objective_function_value), make.ravel(), in_use)
