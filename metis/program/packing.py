"""Packing: containers of very many applications placed by what nodes cost under their load.

The linear bound says how many nodes of each make are worth using; containers are dealt onto these, the
largest first, each where it costs least of some nodes tried, and then moved and swapped by annealing for as
long as there is time. With a time limit, two runs of one seed may differ in how far they get.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError, SolverError
from metis.problem.counts import IntArray
from metis.problem.load_cost import LoadCost
from metis.problem.rules import Rules
from metis.problem.statement import Statement, check_rows
from metis.program.load_bound import LoadBound, load_bound

HEAT = (0.02, 0.0005)  # temperature of annealing, at first and at last, in costs of a node
SWAPS = 0.3  # share of tries that swap two containers
TRIES = 40  # nodes that are tried for a container when it is dealt
SPARE = 1.01  # nodes dealt to, as a multiple of those that the bound uses
FIRST_STEPS = 20_000  # tries of the first round, by which those of the next are timed
ROUND = 1.0  # seconds between two reports
ATTEMPTS = 20  # at placing what fitted nowhere

Report = Callable[[float, float, float], None]


@dataclass(frozen=True)
class Packed:
    """A placement, what it costs, and what none costs less than.

    Attributes:
        rows: of (node, application, count), those in place included, int [rows, 3].
        cost: of all nodes.
        bound: proven; no complete placement costs less.
        nodes: that hold a container.
        seconds: wall time.
        cpu_seconds: processor time.
    """

    rows: IntArray
    cost: float
    bound: float
    nodes: int
    seconds: float
    cpu_seconds: float


def pack(
    statement: Statement,
    cost: LoadCost,
    seconds: float,
    seed: int = 0,
    report: Report = lambda reached, bound, left: None,
) -> Packed:
    """Place all containers of a problem.

    Args:
        statement: the problem.
        cost: of a node.
        seconds: wall time that may pass, the bound and the first placement included.
        seed: of all random choices.
        report: called about once a second with the cost reached, the bound, and the seconds left.

    Raises:
        InputError: the problem has rules that packing does not keep.
        SolverError: a container was left over in all attempts; names its application.
    """
    from metis.program import packing_moves as moves

    start, cpu_start = perf_counter(), process_time()
    statement.refuse_devices("packing by load")
    _refuse_wider(statement.rules)
    bound = load_bound(statement, cost)
    given, order = _given(statement, cost)
    state = _state(statement, given)
    fixed = _enter_existing(statement, given, state)
    nodes, wanted = _nodes_by_use(bound)
    waiting = order[~fixed[order]]
    rng = np.random.default_rng(seed)
    movable = np.flatnonzero(~fixed)
    for attempt in range(ATTEMPTS):
        tries = (TRIES, min(len(nodes), int(wanted * (1 + attempt / ATTEMPTS)) + attempt))
        moves.deal(given, state, waiting, nodes, tries, rng)
        waiting = waiting[state.node[waiting] < 0]
        if not len(waiting):
            break
        moves.anneal(given, state, movable, FIRST_STEPS * 10, HEAT, SWAPS, rng)
    if len(waiting):
        raise SolverError(
            f"{len(waiting)} containers found no node, among them one of "
            f"{statement.apps[int(given.of[waiting[0]])]}: this problem may have no placement"
        )
    _anneal(given, state, movable, seconds - (perf_counter() - start), rng, bound.cost, report)
    rows = _rows(statement, given, state)
    check_rows(statement, rows, "packing")
    return Packed(
        rows,
        cost.total(statement, rows),
        bound.cost,
        len(np.unique(rows[:, 0])),
        perf_counter() - start,
        process_time() - cpu_start,
    )


def _refuse_wider(rules: Rules) -> None:
    """Refuse rules that are more than limits on what stands beside what."""
    for name in ("only_beside", "eligible", "spread", "soft"):
        if getattr(rules, name):
            raise InputError(
                f"rules.{name}: packing by load keeps never_together, at_most and most_beside; "
                "scheduler=columns keeps all, with a profile or a testbed that knows what neighbours cost"
            )


def _anneal(
    given: Any,
    state: Any,
    movable: IntArray,
    seconds: float,
    rng: np.random.Generator,
    bound: float,
    report: Report,
) -> None:
    """Anneal in rounds of about a second, so that heat follows the clock and the cost is reported."""
    from metis.program import packing_moves as moves

    begin, steps, passed = perf_counter(), FIRST_STEPS, 0.0

    def heat(at: float) -> float:
        return float(HEAT[0] * (HEAT[1] / HEAT[0]) ** min(at / max(seconds, ROUND), 1.0))

    while len(movable) and (passed == 0 or passed < seconds):  # once even where all time is spent
        ahead = (heat(passed), heat(passed + ROUND))
        moves.anneal(given, state, movable, steps, ahead, SWAPS, rng)
        now = perf_counter() - begin
        steps = max(int(steps * min(ROUND, max(seconds - now, 0.01)) / max(now - passed, 1e-3)), 1000)
        passed = now
        report(float(state.cost.sum()), bound, max(seconds - passed, 0.0))


def _given(statement: Statement, cost: LoadCost) -> tuple[Any, IntArray]:
    """Return what does not change, compiled code's view of it, and the containers, the largest first."""
    from metis.program.packing_moves import Given

    times = statement.resource(cost.resource)
    others = np.setdiff1d(np.arange(len(statement.dimensions)), times)
    dimensions = np.concatenate([times, others])
    requests = np.ascontiguousarray(statement.requests[:, dimensions])
    capacity = np.ascontiguousarray(statement.capacity[:, dimensions])
    of = np.repeat(np.arange(len(statement.apps)), statement.demand)
    rules = statement.beside[np.lexsort((statement.beside[:, 1], statement.beside[:, 0]))]
    first = np.searchsorted(rules[:, 0], np.arange(len(statement.apps) + 1))
    size = (requests / np.maximum(capacity.max(axis=0), 1e-300)).max(axis=1)
    given = Given(
        of, requests, capacity, len(times), cost.threshold, cost.slope, first,
        np.ascontiguousarray(rules[:, 1]), np.ascontiguousarray(rules[:, 2]),
    )  # fmt: skip
    return given, np.argsort(-size[of], kind="stable")


def _state(statement: Statement, given: Any) -> Any:
    from metis.program.packing_moves import State

    nodes, dimensions = statement.capacity.shape
    asked = statement.requests[statement.demand > 0]
    least = asked.min(axis=0, initial=np.inf)
    most = (statement.capacity.max(axis=0) / np.where(least > 0, least, 1e-300)).min(initial=np.inf)
    width = int(min(most + 1, len(statement.apps), statement.demand.sum()))
    return State(
        node=np.full(int(statement.demand.sum()), -1),
        used=np.zeros((nodes, dimensions)),
        cost=np.zeros(nodes),
        kinds=np.zeros(nodes, dtype=np.int64),
        held=np.zeros((nodes, width), dtype=np.int64),
        counts=np.zeros((nodes, width), dtype=np.int64),
    )


def _enter_existing(statement: Statement, given: Any, state: Any) -> NDArray[np.bool_]:
    """Put on their nodes what runs already; return whether each container does, bool [containers]."""
    from metis.program import packing_moves as moves

    fixed = np.zeros(len(given.of), dtype=bool)
    start = np.searchsorted(given.of, np.arange(len(statement.apps)))
    for node, app, count in statement.existing:
        for container in range(start[app], start[app] + count):
            moves.enter(given, state, container, node)
            fixed[container] = True
        start[app] += count
        moves.recount(given, state, node)
    return fixed


def _nodes_by_use(bound: LoadBound) -> tuple[IntArray, int]:
    """Return the nodes, those that the bound uses first, and how many these are."""
    wanted = np.minimum(np.ceil(bound.used * SPARE), np.bincount(bound.make)).astype(np.int64)
    position = np.zeros(len(bound.make), dtype=np.int64)
    for make in range(len(wanted)):
        mine = bound.make == make
        position[mine] = np.arange(mine.sum())
    used = position < wanted[bound.make]
    return np.argsort(~used, kind="stable"), int(used.sum())


def _rows(statement: Statement, given: Any, state: Any) -> IntArray:
    keys, counts = np.unique(state.node * len(statement.apps) + given.of, return_counts=True)
    return np.stack([keys // len(statement.apps), keys % len(statement.apps), counts], axis=1)
