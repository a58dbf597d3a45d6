"""Column generation: the relaxation of placing a group in spaces too large to tabulate, and its dual bound.

A restricted master holds few columns. The prices of its containers say which others would improve it: at
first those of the pool, whose worth is known, then those that a search finds. Whatever the prices, the demand
at these prices, plus for every node the highest worth less prices that a column of its kind has, is a bound
on all placements (Lagrange). It is *proven* where that highest value is known for certain, since all columns
were enumerated or a branch and bound finished, and *estimated* where a search found it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Literal

import numpy as np

from metis.errors import InputError
from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem
from metis.program.growth import growing_worth
from metis.program.master import Master, Solution
from metis.program.neighbours import MANY, complete_each, exchange_around
from metis.program.pool import Columns, Pool
from metis.program.pricing import EVERY, Priced, enumerate_columns, prove, search

BoundKind = Literal["proven", "estimated"]
Report = Callable[[int, float, float], None]

NO_PLACEMENT = "no placement satisfies the rules: this group cannot be placed on this cluster as they stand"
CLOSED = 1e-6  # share of the bound at which the relaxation counts as solved
NEARLY = 1e-4  # the same where nothing is to be proven
LOOSE = 1e-3  # share by which a proven bound may exceed the estimated one and still be preferred
IMPROVES = 1e-7  # reduced worth, as a share of the largest worth, above which a column improves the master
FEASIBLE = 1e-6  # containers that may be left out by rounding
STARTING = 2000  # columns of an enumerated kind that the master begins with
FEW = 20  # applications for each neighbour that must join for more to be looked for
JOINING = 200  # columns of a kind that join the master at once
SMOOTHED = 0.5  # weight of the best prices so far in those that are searched with
PARTNERS = 8  # that a last search tries where nothing is proven
NARROWER = 8  # a beam than the first attempt at a proof
WIDER, WIDEST = 8, 64  # growth of the width of a search that was cut short, and how far it may go
LIMITS = 12_000_000  # of columns by application, that a proof keeps at once
ROUNDS = 500  # searches at most
FILLING = 0.6  # share of the time that filling the master with neighbours may take


@dataclass(frozen=True)
class Relaxation:
    """The solved relaxation, to be rounded.

    Attributes:
        master: the program with its columns.
        solution: of it.
        pools: the columns that were priced, a pool per kind; kinds that only limits distinguish share one.
        bound: no placement is better, as far as `bound_kind` goes.
        bound_kind: `proven`, or `estimated` where a search may have overlooked columns.
        rounds: searches.
        start: the placement of all containers that it began with, int [nodes, apps]; None where that was of
            some.
    """

    master: Master
    solution: Solution
    pools: list[Pool]
    bound: float
    bound_kind: BoundKind
    rounds: int
    start: IntArray | None = None


def relax_by_columns(
    problem: Problem,
    start: IntArray,
    kind_of: IntArray,
    *,
    width: int = 1024,
    seconds: float = np.inf,
    report: Report | None = None,
    first: FloatArray | None = None,
    proving: bool = True,
    every: int = EVERY,
) -> Relaxation:
    """Solve the relaxation by column generation.

    Args:
        problem: what is placed where.
        start: a placement to begin with, of all containers or of some, int [nodes, apps].
        kind_of: kind of each node, int [nodes].
        width: columns of equally many containers that a search pursues.
        seconds: after which the bound reached so far is returned.
        report: called after every search with its number, the master's value and the bound.
        first: prices that are searched with first, [apps], as a learner predicts them.
        proving: whether limits are sought when a search finds no more; else the bound is estimated.
        every: columns of a kind that are enumerated rather than searched, at most.

    Raises:
        InputError: no placement was found that satisfies the rules.
    """
    generation = _Generation(problem, start, kind_of, width, perf_counter() + seconds, report, proving, every)
    if first is not None:
        generation.begin(first)
    generation.run()
    relaxed = generation.relaxation()
    return replace(relaxed, start=start) if (start.sum(axis=0) == problem.demand).all() else relaxed


def fills_master(problem: Problem) -> bool:
    """Whether applications are so many that neighbours fill the master before searches do."""
    known = (growing_worth(problem, kind) is not None for kind in range(problem.kinds))
    return len(problem.apps) >= MANY and all(known)


class _Generation:
    """The state of column generation."""

    def __init__(
        self,
        problem: Problem,
        start: IntArray,
        kind_of: IntArray,
        width: int,
        until: float,
        report: Report | None,
        proving: bool,
        every: int,
    ) -> None:
        self.proving, self.brief = proving, False
        self.problem, self.width = problem, width
        self.widest = max(width, min(width * WIDEST, LIMITS // len(problem.apps)))
        self.many = fills_master(problem)
        self.beam = max(1, width // NARROWER)
        self.until, self.report = until, report
        self.pools = pools_of(problem)
        self.whole = {id(pool): enumerate_columns(pool, every) for pool in self._shared()}
        begun = [np.unique(start[kind_of == kind], axis=0) for kind in range(problem.kinds)]
        for pool, rows in zip(self.pools, begun, strict=True):
            pool.look_up(rows)
        scale = max(float(np.abs(pool.columns.worth).max()) for pool in self.pools)
        self.master = Master(problem, max(scale, 1e-300))
        for kind, (pool, rows) in enumerate(zip(self.pools, begun, strict=True)):
            nothing = np.zeros((1, len(problem.apps)), dtype=np.int64)
            first = np.unique(np.concatenate([nothing, rows, _singles(pool)]), axis=0)
            first = first[problem.admitted(kind, first)]
            self.master.add(kind, Columns(first.astype(np.int16), pool.look_up(first)))
        self.bound = self.estimate = self.deeply = np.inf
        self.duals: FloatArray = np.zeros(len(problem.apps) + len(problem.limits))
        self.rounds = 0
        self.solution = self.master.solve()

    def begin(self, prices: FloatArray) -> None:
        """Search with given prices, and let the best columns by them join.

        Of many applications these take the place of neighbours, and no bound is sought beyond that of narrow
        searches.
        """
        self.brief = self.many and not self.proving
        duals = np.concatenate([prices, np.zeros(len(self.problem.limits))])
        self._search(duals, proving=False)
        for kind, pool in enumerate(self.pools):
            self.master.add(kind, pool.best(prices, -np.inf, STARTING)[0])

    def run(self) -> None:
        """Let columns join until none improves the master, or time is up."""
        if self.many and not self.brief:
            self._fill_master()
        begun = perf_counter()
        while self._round() and self.rounds < ROUNDS and _time_for_another(begun, self.until):
            begun = perf_counter()
            for kind, pool in enumerate(self.pools):
                pool.trim(self.problem.prices_in(kind, self.solution.duals))
        if self.proving and not all(self.whole.values()) and perf_counter() < self.until:
            self._search(self.solution.duals, proving=False, deep=True)  # for rounding to choose among
        self.solution = self._solve_on_pools()

    def _fill_master(self) -> None:
        """Let neighbours of the columns in use join until they no longer pay, or time is up."""
        few = max(1, len(self.problem.apps) // FEW)
        begun = perf_counter()
        until = begun + FILLING * (self.until - begun)
        while begun <= until:
            solution = self.solution = self._solve_on_pools()
            for kind, pool in enumerate(self.pools):
                prices = self.problem.prices_in(kind, solution.duals)
                least = float(solution.kinds[kind]) + IMPROVES * self.master.scale
                exchange_around(pool, prices, least)
                complete_each(pool, prices, least)
                pool.trim(prices)
            joined = self._join(solution)
            if self.report:
                self.report(self.rounds, solution.value, np.inf)
            if joined < few or not _time_for_another(begun, until):
                return
            begun = perf_counter()

    def relaxation(self) -> Relaxation:
        """Return what was reached.

        Raises:
            InputError: not all containers can be placed.
        """
        if self.solution.unplaced.max() > FEASIBLE:
            raise InputError(NO_PLACEMENT)
        if not np.isfinite(min(self.estimate, self.deeply)):  # time was up before the first search
            self._search(self.solution.duals, proving=False)
        value = self.solution.value
        # a search in breadth found what narrow ones had overlooked
        best = max(self.deeply if np.isfinite(self.deeply) else self.estimate, value)
        proven = np.isfinite(self.bound) and self.bound - best <= LOOSE * abs(best)
        bound, kind = (self.bound, "proven") if proven else (best, "estimated")
        made: BoundKind = "proven" if kind == "proven" else "estimated"
        return Relaxation(self.master, self.solution, self.pools, max(bound, value), made, self.rounds)

    def _round(self) -> bool:
        """Search with the prices of the pools' best solution; whether columns joined, or may yet."""
        solution = self.solution = self._solve_on_pools()
        if self.estimate < solution.value:  # the search had overlooked something at those prices
            self.estimate = np.inf
        last = solution.duals
        central = np.isfinite(self.estimate)
        tried = SMOOTHED * self.duals + (1 - SMOOTHED) * last if central else last
        proving = deep = False
        while True:
            begun = perf_counter()
            complete = self._search(tried, proving, deep)
            joined = self._join(solution)
            if self.report:
                self.report(self.rounds, solution.value, min(self.bound, self.estimate))
            closed = self._closed(solution.value)
            late = not _time_for_another(begun, self.until)
            if joined or closed or late or self.rounds >= ROUNDS:
                return bool(joined) and not closed
            if tried is not last:
                tried = last
            elif not self.proving and not deep and not self.brief:
                deep = True
            elif not self.proving:
                return False
            elif not proving:
                proving = True
            elif complete or self.width >= self.widest:
                return False
            else:
                self.width = min(self.width * WIDER, self.widest)

    def _closed(self, value: float) -> bool:
        """Whether the relaxation counts as solved, by the proven bound or, without proof, the estimated."""
        if self.proving:
            return self.bound - value <= CLOSED * abs(value)
        estimate = self.estimate if self.brief or all(self.whole.values()) else self.deeply
        return 0 <= estimate - value <= NEARLY * abs(value)

    def _search(self, duals: FloatArray, proving: bool, deep: bool = False) -> bool:
        """Search columns by `duals` and tighten the bound; whether nothing was left aside."""
        problem = self.problem
        kinds = range(problem.kinds)
        priced = [self._price(kind, problem.prices_in(kind, duals), proving, deep) for kind in kinds]
        demand = float(duals @ np.concatenate([problem.demand, problem.limit_most]))
        nodes = problem.nodes
        found = demand + float(np.array([one.found for one in priced]) @ nodes)
        limit = demand + float(np.array([one.limit for one in priced]) @ nodes)
        if deep:
            self.deeply = min(self.deeply, found)
        if found < self.estimate:
            self.estimate, self.duals = found, duals
        self.bound = min(self.bound, limit)
        self.rounds += 1
        # what a search cannot prove is not searched more widely
        return all(one.limit <= one.found or np.isinf(one.limit) for one in priced)

    def _price(self, kind: int, prices: FloatArray, proving: bool, deep: bool) -> Priced:
        pool = self.pools[kind]
        least = float(pool.reduced(prices).max())
        if self.whole[id(pool)]:
            return Priced(least, least)
        if proving:
            return prove(pool, prices, least, self.width)
        return search(pool, prices, least, *((self.width, PARTNERS) if deep else (self.beam, 1)))

    def _shared(self) -> list[Pool]:
        """Return the pools, each once."""
        return list({id(pool): pool for pool in self.pools}.values())

    def _solve_on_pools(self) -> Solution:
        return solve_on_pools(self.problem, self.master, self.pools, self.until)

    def _join(self, solution: Solution) -> int:
        return join(self.problem, self.master, self.pools, solution)


def _time_for_another(begun: float, until: float) -> bool:
    """Whether a step that takes as long as the one since `begun` ends in time, by `perf_counter`."""
    now = perf_counter()
    return now + (now - begun) <= until


def solve_on_pools(problem: Problem, master: Master, pools: list[Pool], until: float = np.inf) -> Solution:
    """Solve a master over all columns of the pools, which costs no evaluation.

    Not over all of them where time, by `perf_counter`, is up.
    """
    while True:
        begun = perf_counter()
        solution = master.solve()
        if not _time_for_another(begun, until) or not join(problem, master, pools, solution):
            return solution


def join(problem: Problem, master: Master, pools: list[Pool], solution: Solution) -> int:
    """Let the pools' columns that improve a solution join the master; return how many did."""
    joined = 0
    for kind, pool in enumerate(pools):
        least = float(solution.kinds[kind]) + IMPROVES * master.scale
        most = max(JOINING, len(problem.apps))
        columns, reduced = pool.best(problem.prices_in(kind, solution.duals), least, most)
        better = reduced > least  # in double precision
        master.add(kind, Columns(columns.added[better], columns.worth[better]))
        joined += int(better.sum())
    return joined


def pools_of(problem: Problem) -> list[Pool]:
    """Return the pool of each kind; kinds that only limits distinguish share one and its worth."""
    alike: dict[bytes, Pool] = {}
    found = []
    for kind in range(problem.kinds):
        key = problem.type_of[kind].tobytes() + problem.held[kind].tobytes()
        key += problem.receivable(kind).tobytes()
        if key not in alike:
            alike[key] = Pool(problem, kind)
        found.append(alike[key])
    return found


def _singles(pool: Pool) -> IntArray:
    """One container of each application, where it fits."""
    problem = pool.problem
    fits = (problem.requests <= problem.room(pool.kind)).all(axis=1)
    fits &= problem.receivable(pool.kind) > 0
    return np.eye(len(problem.apps), dtype=np.int64)[fits]
