"""The program over priced columns: a placement and a bound where co-locations cannot be tabulated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from metis.errors import PlacementError
from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem
from metis.program.exchange import exchange
from metis.program.filling import fill
from metis.program.generation import BoundKind, Relaxation, Report, fills_master, relax_by_columns
from metis.program.pool import SPARING
from metis.program.pricing import EVERY
from metis.program.refinement import CLOSE, refine
from metis.program.rounding import dive

Progress = Callable[[Mapping[str, Any]], None]
SHARES = (1.0, 0.9, 0.8, 0.7, 0.95, 0.85, 0.75, 0.6)  # of the relaxation's nodes, by which dives differ
SEARCHING, TYPICAL = 0.8, 20  # share of the time that goes into searches, and how many there are, about
SEARCHING_MANY = 0.6  # the same of so many applications that a dive takes long
BEGINNING = 0.25  # of that, the share that improving a greedy placement may take
BEGINNING_MANY = 0.85  # the same of hundreds of applications: what it does not find, the master finds dearly


@dataclass(frozen=True)
class Effort:
    """When rounding ends.

    Attributes:
        dives: at most.
        programs: integer programs that refine the best of them, at most.
        close: share of the bound that may be left.
    """

    dives: int = len(SHARES)
    programs: int = 100
    close: float = CLOSE


FULL = Effort()
QUICK = Effort(dives=2, programs=15, close=0.0025)  # most of what is to be had, in a third of the time


@dataclass(frozen=True)
class ColumnResult:
    """A placement and the bound beside it.

    Attributes:
        placement: the new containers, int [nodes, apps].
        value: sum of worths over all nodes.
        bound: no placement is better, as far as `bound_kind` goes.
        bound_kind: `proven`, or `estimated` where pricing may have overlooked columns.
        rounds: searches for columns.
        columns: columns in the master.
        priced: columns whose worth was asked for.
        relaxed: the relaxation that was rounded.
    """

    placement: IntArray
    value: float
    bound: float
    bound_kind: BoundKind
    rounds: int
    columns: int
    priced: int
    relaxed: Relaxation


def bound_by_columns(
    problem: Problem,
    kind_of: IntArray,
    *,
    width: int,
    seconds: float,
    report: Report | None = None,
    prices: FloatArray | None = None,
    proving: bool = True,
    every: int = EVERY,
) -> Relaxation:
    """Solve the relaxation, from a greedy placement on; see `relax_by_columns`.

    `seconds` count from now on: a quarter of them may go into the placement that it begins with, of hundreds
    of applications most.

    Raises:
        InputError: no placement satisfies the rules.
    """
    begun = perf_counter()
    nothing = np.zeros((len(kind_of), len(problem.apps)), dtype=np.int64)
    try:
        start = fill(problem, kind_of, nothing, problem.demand, hasty=True)
        if report:
            report(0, problem.value(kind_of, start), np.inf)
        brief = prices is not None and not proving
        if fills_master(problem) and not brief:  # the master has many rows, and begins the better
            sweeps = None if report is None else lambda steps, gained: report(0, gained, np.inf)
            share = BEGINNING_MANY if len(problem.apps) >= SPARING else BEGINNING
            until = begun + share * seconds
            start, _ = exchange(problem, kind_of, start, report=sweeps, until=until)
    except PlacementError:
        start = nothing  # the master finds out whether there is a placement
    return relax_by_columns(
        problem,
        start,
        kind_of,
        width=width,
        seconds=begun + seconds - perf_counter(),
        report=report,
        first=prices,
        proving=proving,
        every=every,
    )


def solve_column_program(
    problem: Problem,
    kind_of: IntArray,
    *,
    width: int = 1024,
    seconds: float = 60.0,
    progress: Progress | None = None,
    prices: FloatArray | None = None,
    proving: bool = True,
    effort: Effort = FULL,
) -> ColumnResult:
    """Place a group by column generation, dives, exchanges and small integer programs.

    Args:
        problem: what is placed where.
        kind_of: kind of each node, int [nodes].
        width: columns of equally many containers that a search pursues.
        seconds: wall time of the whole, about: after four fifths no more columns are searched, of hundreds of
            applications after three.
        progress: receives `share` of the work done, about, and once there is a placement `best` and `bound`.
        prices: of a container, to begin with, float64 [apps]; None to begin from nothing.
        proving: whether limits are sought that prove the bound.
        effort: when rounding ends.

    Raises:
        InputError: no placement satisfies the rules.
        PlacementError: rounding left a container that no node admits.
    """
    until = perf_counter() + seconds
    searching = SEARCHING_MANY if len(problem.apps) >= SPARING else SEARCHING
    done = 0

    def report(rounds: int, value: float, bound: float) -> None:
        nonlocal done
        del rounds, value, bound  # of the relaxation, which is no placement
        done += 1
        if progress:
            progress({"share": searching * done / (done + TYPICAL)})

    relaxed = bound_by_columns(
        problem,
        kind_of,
        width=width,
        seconds=searching * seconds,
        report=report,
        prices=prices,
        proving=proving,
    )
    placement, value = _rounded(problem, kind_of, relaxed, until, effort, progress)
    return ColumnResult(
        placement=placement,
        value=value,
        bound=max(relaxed.bound, value),
        bound_kind=relaxed.bound_kind,
        rounds=relaxed.rounds,
        columns=len(relaxed.master.worth),
        priced=sum(pool.evaluated for pool in {id(pool): pool for pool in relaxed.pools}.values()),
        relaxed=relaxed,
    )


def _rounded(
    problem: Problem,
    kind_of: IntArray,
    relaxed: Relaxation,
    until: float,
    effort: Effort,
    progress: Progress | None,
) -> tuple[IntArray, float]:
    """Return the best of several dives, improved by exchanges and refined, and its value.

    What the relaxation began with counts as well: no result is worse.
    """
    best = relaxed.start
    highest = -np.inf if best is None else problem.value(kind_of, best)
    left_over = effort.close * abs(relaxed.bound)
    shares = SHARES[: effort.dives]
    for done, share in enumerate(shares):
        if best is not None and perf_counter() > until:
            break
        if best is not None and relaxed.bound - highest <= left_over:
            break
        received, left = dive(problem, relaxed, share, until)
        placement = np.zeros((len(kind_of), len(problem.apps)), dtype=np.int64)
        for kind, rows in enumerate(received):
            placement[kind_of == kind] = rows
        try:
            placement = fill(problem, kind_of, placement, left, hasty=True)
        except PlacementError:
            if share == shares[-1] and best is None:
                raise
            continue
        placement, _ = exchange(problem, kind_of, placement, until=until)
        value = problem.value(kind_of, placement)
        if value > highest:
            best, highest = placement, value
        if progress:
            share_done = SEARCHING + (1 - SEARCHING) * (done + 1) / (len(shares) + 1)
            progress({"share": share_done, "best": highest, "bound": max(relaxed.bound, highest)})
    assert best is not None  # the last dive raised
    if relaxed.bound - highest > left_over and perf_counter() < until:
        refined = refine(problem, kind_of, best, relaxed, effort.programs, until=until, close=effort.close)
        best, _ = exchange(problem, kind_of, refined, until=until)
    return best, problem.value(kind_of, best)
