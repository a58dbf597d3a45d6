"""Rules that contradict one another: the fewest of them that no placement of a group satisfies.

Whether a group can be placed is asked of relaxations. Where all co-locations are tabulated that is the linear
program over them. Where nodes differ, one counts containers per kind of node: a linear program of resources,
eligible nodes and limits, in milliseconds; and what it admits is asked of the columns, where it counts too
what may stand beside what.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem, problem_of
from metis.problem.rules import Rules
from metis.wording import amount

SECONDS = 3.0  # for one question to the columns
FEW = 40  # rules of which the columns are asked

Placeable = Callable[[IntArray, Cluster, Sequence[Rules]], bool]


@dataclass(frozen=True)
class _Alike:
    """A worth that is the same for all: only whether there is a placement counts."""

    def of(self, colocations: IntArray) -> FloatArray:
        return np.ones(len(colocations))


def check_rules(group: IntArray, cluster: Cluster) -> None:
    """Refuse rules under which a group cannot be placed, not even in fractions.

    A large space, of which no table exists, is left to the schedulers, unless its nodes differ.

    Args:
        group: containers to place, int [apps], no more than there are free slots.
        cluster: nodes, existing containers, rules.

    Raises:
        InputError: names the fewest rules that contradict one another for this group.
    """
    parts = cluster.rules.parts()
    if cluster.stated is not None:
        if not _countable(group, cluster, parts):
            _refuse(group, cluster, parts, _countable)
    elif parts and cluster.space.tabulated and not _placeable(group, cluster, parts):
        _refuse(group, cluster, parts, _placeable)


def refuse_unplaced(group: IntArray, cluster: Cluster) -> None:
    """Name the rules that contradict one another where nodes differ and columns found no placement.

    Raises:
        InputError: as `check_rules`; where all rules can be kept in fractions, nothing is raised.
    """
    if cluster.stated is None:
        return
    check_rules(group, cluster)
    parts = cluster.rules.parts()
    if len(parts) <= FEW and not _columned(group, cluster, parts):
        _refuse(group, cluster, parts, _columned)


def fewest(parts: Sequence[Rules], contradict: Callable[[Sequence[Rules]], bool]) -> list[Rules]:
    """Return some of `parts` that contradict, and would not with any one of them left out.

    Args:
        parts: that contradict together.
        contradict: whether some of them do; leaving one out never makes others contradict.
    """
    left, size = list(parts), len(parts)
    while size:
        start = 0
        while start < len(left):
            without = left[:start] + left[start + size :]
            if without and contradict(without):
                left = without
            else:
                start += size
        size //= 2
    return left


def _refuse(group: IntArray, cluster: Cluster, parts: Sequence[Rules], placeable: Placeable) -> None:
    here = f"{amount(int(group.sum()), 'container')} on {amount(cluster.nodes, 'node')}"
    if cluster.stated is None:
        here += f" of {amount(cluster.space.slots, 'slot')}"
    if cluster.running:
        here += f" beside the {amount(cluster.running, 'container')} that run"
    if cluster.stated is not None and not (parts and placeable(group, cluster, [])):
        raise InputError(f"{here} do not fit: what one of them requests is left on too few nodes")
    left = fewest(parts, lambda some: not placeable(group, cluster, some))
    words = Rules.joined(left).overrides
    together = "" if len(left) == 1 else ", which contradict one another for this group"
    raise InputError(
        f"no placement satisfies the rules: {here} leave no room for {' and '.join(words)}{together}; "
        "leave one out, or give more nodes"
    )


def _under(cluster: Cluster, parts: Sequence[Rules]) -> Cluster:
    """Return a cluster under some rules only."""
    rules = Rules.joined(parts)
    stated = None if cluster.stated is None else replace(cluster.stated, rules=rules)
    made = replace(cluster, rules=rules, stated=stated)
    return replace(made, allowed=rules.mask(cluster.space)) if cluster.space.tabulated else made


def _placeable(group: IntArray, cluster: Cluster, parts: Sequence[Rules]) -> bool:
    """Whether the linear program over all co-locations places the group."""
    from metis.program.relaxation import relax  # with scipy, which a group without rules does not need

    try:
        relax(np.zeros(cluster.space.size), group, _under(cluster, parts))
    except InputError:
        return False
    return True


def _countable(group: IntArray, cluster: Cluster, parts: Sequence[Rules]) -> bool:
    """Whether the containers fit when only their numbers per kind of node count."""
    from scipy import sparse
    from scipy.optimize import linprog

    problem, _ = problem_of(group, _under(cluster, parts), _Alike())
    kinds, apps = problem.kinds, len(problem.apps)
    room = np.stack([problem.room(kind) for kind in range(kinds)])
    upper = np.stack([_most_of(problem, kind, room[kind]) for kind in range(kinds)]) * problem.nodes[:, None]
    hard = np.flatnonzero(np.isinf(problem.limit_penalty))
    limits = problem.limit_where[hard].reshape(len(hard), kinds * apps)
    # the resources of a kind, one kind after another, then the limits
    resources: Any = sparse.kron(sparse.identity(kinds), problem.requests.T)
    below: Any = sparse.vstack([resources, sparse.csr_array(limits)]).tocsr()
    placed: Any = sparse.hstack([sparse.identity(apps)] * kinds).tocsr()
    solve: Any = linprog  # whose types know no sparse matrices
    found = solve(
        np.zeros(kinds * apps),
        A_ub=below,
        b_ub=np.concatenate([(room * problem.nodes[:, None]).ravel(), problem.limit_most[hard]]),
        A_eq=placed,
        b_eq=problem.demand,
        bounds=np.column_stack([np.zeros(upper.size), upper.ravel()]),
        method="highs",
    )
    return bool(found.status != 2)  # 2: infeasible


def _most_of(problem: Problem, kind: int, room: FloatArray) -> IntArray:
    """Return how many containers of each application fit a node of a kind alone, int [apps]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        fits = np.floor(np.where(problem.requests > 0, room / problem.requests, np.inf).min(axis=1))
    return np.asarray(np.minimum(np.maximum(fits, 0), problem.receivable(kind)))


def _columned(group: IntArray, cluster: Cluster, parts: Sequence[Rules]) -> bool:
    """Whether the relaxation over columns places all containers."""
    from metis.program.generation import relax_by_columns

    problem, kind_of = problem_of(group, _under(cluster, parts), _Alike())
    nothing = np.zeros((len(kind_of), len(problem.apps)), dtype=np.int64)
    try:
        relax_by_columns(problem, nothing, kind_of, width=256, seconds=SECONDS)
    except InputError:
        return False
    return True
