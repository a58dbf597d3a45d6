"""Pricing: the columns of highest worth less the prices of their containers: all, or by a search."""

from typing import NamedTuple

import numpy as np

from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem
from metis.problem.worth import BoundedWorth
from metis.program.growth import growing_worth
from metis.program.neighbours import after_one_more, one_less
from metis.program.pool import Pool

EVERY = 60_000  # columns of a kind that are enumerated rather than searched
SLACK = 0.02  # of the largest worth, by how much less reduced worth a column may have to join a sparing pool
EXCHANGED = 200  # columns around which a search looks
COUNTS = 30_000_000  # that are written out at once, eight bytes each
CHUNK = 20_000  # rows whose worth is asked for at once


class Priced(NamedTuple):
    """The outcome of a search.

    Attributes:
        found: the highest reduced worth known.
        limit: reduced worth that no column exceeds; infinity where no limits are known.
    """

    found: float
    limit: float

    @property
    def complete(self) -> bool:
        """Whether nothing that could be higher was left aside."""
        return self.limit <= self.found


def affordable(columns: int, apps: int) -> int:
    """Return of how many columns, `columns` at most, all that one more container makes can be written out."""
    return min(columns, max(1, COUNTS // apps**2))


def search(pool: Pool, prices: FloatArray, least: float, width: int, partners: int = 1) -> Priced:
    """Search the columns of highest worth less `prices` [apps]; what is evaluated joins the pool.

    Args:
        pool: of one kind.
        prices: of a container, float64 [apps].
        least: reduced worth that a column must exceed to matter.
        width: columns of equally many containers that are pursued.
        partners: of some containers of one application that are tried, where the worth knows its growth.
    """
    if growing_worth(pool.problem, pool.kind) is not None:
        close = -np.inf
        if pool.sparing:
            close, partners = least - SLACK * float(np.abs(pool.columns.worth).max()), min(partners, 2)
        grown = _grow(pool, prices, width, close), _complete(pool, prices, min(partners, len(prices)), close)
        found = max(*grown, _exchange_quickly(pool, prices, width, close))
        if partners > 1 and not pool.sparing:  # in breadth: all that it meets joins the pool
            found = max(found, _beam_search(pool, prices, width // 8), _exchanged(pool, prices))
    else:
        found = max(_beam_search(pool, prices, width), _exchanged(pool, prices))
    return Priced(max(least, found), np.inf)


def prove(pool: Pool, prices: FloatArray, least: float, width: int, slack: float = 0.0) -> Priced:
    """Return the same as `search`, and a limit for what it overlooked, where the worth knows limits.

    Args:
        pool: of one kind.
        prices: of a container, float64 [apps].
        least: reduced worth that a column must exceed to matter: the higher, the sooner it ends.
        width: columns of equally many containers that are pursued.
        slack: by how much less reduced worth than the highest a column may have to be wanted, too.
    """
    problem = pool.problem
    worth = problem.types[int(problem.type_of[pool.kind])].worth
    if isinstance(worth, BoundedWorth):
        return _branch_and_bound(pool, worth, prices, least, width, slack)
    return search(pool, prices, least, width)


def _beam_search(pool: Pool, prices: FloatArray, width: int) -> float:
    """Search the columns of highest worth less `prices` [apps] by adding one container after another.

    Of all that hold equally many containers, the `width` best go on. What is evaluated joins the pool.

    Returns:
        The highest reduced worth found, the column of no container included.
    """
    problem, kind = pool.problem, pool.kind
    apps, demand = len(problem.apps), problem.receivable(kind)
    one = np.eye(apps, dtype=np.int64)
    frontier = np.zeros((1, apps), dtype=np.int64)
    hashes = np.zeros(1, dtype=np.int64)
    room = problem.room(kind)[None, :].copy()
    best = float(pool.look_up(frontier)[0])
    width = affordable(width, apps)
    total = 0
    while len(frontier):
        total += 1
        possible = (frontier < demand) & (problem.requests[None] <= room[:, None]).all(axis=2)
        parent, app = np.nonzero(possible)
        if not len(parent):
            break
        after, first = np.unique(hashes[parent] + pool.keys[app], return_index=True)
        parent, app = parent[first], app[first]
        rows = frontier[parent] + one[app]
        reduced = pool.look_up_level(total, rows, after) - rows @ prices
        allowed = problem.admitted(kind, rows)
        if allowed.any():
            best = max(best, float(reduced[allowed].max()))
        kept = _kept(rows, reduced, width)
        frontier, hashes = rows[kept], after[kept]
        room = room[parent[kept]] - problem.requests[app[kept]]
    return best


def _kept(rows: IntArray, reduced: FloatArray, width: int) -> IntArray:
    """Return which of `rows` [n, apps] go on: the `width` best, and the best few that hold each application.

    Without these a search overlooks what is worth little halfway, and the master needs columns for all.
    """
    if len(rows) <= width:
        return np.arange(len(rows))
    order = np.argsort(-reduced, kind="stable")
    holds = rows[order] > 0
    chosen = (holds & (np.cumsum(holds, axis=0) <= width // (2 * rows.shape[1]) + 1)).any(axis=1)
    chosen[:width] = True
    return np.asarray(order[chosen])


def _exchanged(pool: Pool, prices: FloatArray) -> float:
    """Exchange one container of the best columns for another; the highest reduced worth that this reaches."""
    problem = pool.problem
    one = np.eye(len(problem.apps), dtype=np.int64)
    best = pool.best(prices, -np.inf, affordable(EXCHANGED, len(prices)))[0].added.astype(np.int64)
    row, app = np.nonzero(best)
    less = best[row] - one[app]
    _, first = np.unique(less @ pool.keys, return_index=True)
    less = less[first]
    room = problem.room(pool.kind) - less @ problem.requests
    fits = (problem.requests[None] <= room[:, None]).all(axis=2) & (less < problem.receivable(pool.kind))
    row, app = np.nonzero(fits)
    after = less[row] + one[app]
    reduced = pool.look_up(after) - after @ prices
    return float(reduced[problem.admitted(pool.kind, after)].max(initial=-np.inf))


def _grow(pool: Pool, prices: FloatArray, width: int, close: float) -> float:
    """Search as `_beam_search` does, with the worth of all that one container makes of a column at once.

    Only the `width` best of equally many containers and the best of each application join the pool, those of
    a reduced worth above `close`.
    """
    rows = np.zeros((1, len(prices)), dtype=np.int64)
    best = float(pool.look_up(rows)[0])
    while True:
        reduced = after_one_more(pool, prices, rows)
        if reduced.max() == -np.inf:
            return best
        chosen = [_highest(reduced, width)]
        # the best that adds each application, and the best that had it before
        chosen.append(reduced.argmax(axis=0) * len(prices) + np.arange(len(prices)))
        own = np.where(rows > 0, reduced.max(axis=1)[:, None], -np.inf).argmax(axis=0)
        chosen.append(own * len(prices) + reduced[own].argmax(axis=1))
        rows, best = _joined(pool, prices, rows, reduced, np.concatenate(chosen), best, close)


def _complete(pool: Pool, prices: FloatArray, partners: int, close: float) -> float:
    """Complete some containers of one application by the best partner again and again, for all applications.

    What pays for a partner is often that it helps several containers, which a search that adds them one by
    one meets too late. Of first partners the best `partners` are tried.

    Returns:
        The highest reduced worth found.
    """
    problem, kind = pool.problem, pool.kind
    with np.errstate(divide="ignore", invalid="ignore"):
        fits = np.where(problem.requests > 0, problem.room(kind) / problem.requests, np.inf).min(axis=1)
    most = np.minimum(np.floor(fits), problem.receivable(kind)).astype(np.int64)
    rows = np.repeat(np.eye(len(prices), dtype=np.int64), np.maximum(most, 0), axis=0)
    starts = np.cumsum(most) - most
    rows *= (1 + np.arange(len(rows)) - np.repeat(starts, most))[:, None]
    best = -np.inf
    while len(rows):
        reduced = after_one_more(pool, prices, rows)
        partner = np.argpartition(-reduced, partners - 1, axis=1)[:, :partners]
        chosen = (np.arange(len(rows))[:, None] * len(prices) + partner).ravel()
        rows, best = _joined(pool, prices, rows, reduced, chosen, best, close)
        partners = 1
    return best


def _highest(values: FloatArray, most: int) -> IntArray:
    """Return where the `most` highest of all `values` are, int [most], in no order."""
    most = min(most, values.size)
    return np.asarray(np.argpartition(-values, most - 1, axis=None)[:most])


def _joined(
    pool: Pool,
    prices: FloatArray,
    rows: IntArray,
    reduced: FloatArray,
    chosen: IntArray,
    best: float,
    close: float,
) -> tuple[IntArray, float]:
    """Let chosen ones of what one more container makes of `rows` join the pool; return them, and the best.

    Those whose reduced worth is not above `close` are returned, but do not join.
    """
    chosen = chosen[reduced.ravel()[chosen] > -np.inf]
    parent, app = np.divmod(chosen, len(prices))
    after = rows[parent]
    after[np.arange(len(after)), app] += 1
    first = np.unique(after @ pool.keys, return_index=True)[1]
    after = after[first]
    near = after[reduced.ravel()[chosen[first]] > close]
    exact = pool.look_up(near) - near @ prices
    allowed = pool.problem.admitted(pool.kind, near)
    return after, max(best, float(exact[allowed].max(initial=-np.inf)))


def _exchange_quickly(pool: Pool, prices: FloatArray, width: int, close: float) -> float:
    """Exchange as `_exchanged` does; only the `width` best join the pool."""
    less = one_less(pool, pool.best(prices, -np.inf, width // 2 + 1)[0].added)
    if not len(less):
        return -np.inf
    reduced = after_one_more(pool, prices, less)
    return _joined(pool, prices, less, reduced, _highest(reduced, width), -np.inf, close)[1]


def _branch_and_bound(
    pool: Pool, worth: BoundedWorth, prices: FloatArray, least: float, width: int, slack: float
) -> Priced:
    """Add containers in the order of `worth.branching`, so that each column is met once.

    What cannot exceed the best is dropped: a column, and for what grows from a column each application with
    which it cannot. What holds equally many containers is pursued together; where that is more than `width`,
    those of the highest limits go on, and the limit of the others is remembered.
    """
    problem, kind = pool.problem, pool.kind
    order = worth.branching
    # applications in the order of branching from here on, until rows are looked up
    held, demand = problem.held[kind][order], problem.receivable(kind)[order]
    requests, price, keys = problem.requests[order], prices[order], pool.keys[order]
    back = np.argsort(order)
    smallest = np.minimum.accumulate(requests[::-1], axis=0)[::-1]  # of what may come after each
    rows = np.zeros((1, len(order)), dtype=np.int64)
    hashes = np.zeros(1, dtype=np.int64)
    later = (demand > 0)[None, :]
    room = problem.room(kind)[None, :]
    best = max(least, float(pool.look_up(rows)[0]))
    dropped = -np.inf
    for total in range(1, int(demand.sum()) + 1):
        left = room[:, None] - requests[None]
        fits = np.asarray((left >= 0).all(axis=2))
        later &= fits & (rows < demand)
        limits = worth.ceiling((held + rows)[:, back], later[:, back])
        gains = limits.more[:, order] - price
        brings = np.where(later, np.maximum(gains, 0.0), 0.0)
        following = np.maximum.accumulate(brings[:, ::-1], axis=1)[:, ::-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            most = np.floor(np.where(fits[:, :, None], left, 0.0) / smallest[None]).min(axis=2)
        base = (limits.there - rows @ price)[:, None] + gains
        limit = base + most * following
        parent, app = np.nonzero(later & (limit > best - slack))
        if not len(parent):
            break
        limit = limit[parent, app]
        if len(parent) > width:
            highest = np.argpartition(limit, -width)
            dropped = max(dropped, float(limit[highest[:-width]].max()))
            parent, app, limit = (part[highest[-width:]] for part in (parent, app, limit))
        rows = rows[parent]
        rows[np.arange(len(rows)), app] += 1
        hashes, room = hashes[parent] + keys[app], room[parent] - requests[app]
        added = rows[:, back]
        reduced = pool.look_up_level(total, added, hashes) - rows @ price
        allowed = problem.admitted(kind, added)
        best = max(best, float(reduced[allowed].max(initial=-np.inf)))
        further = most[parent, app]
        others = base[parent, app] + np.maximum(further - 1, 0) * following[parent, app]
        after = (np.arange(len(order)) >= app[:, None]) & (further > 0)[:, None]
        later = later[parent] & after & (others[:, None] + gains[parent] > best - slack)
    return Priced(best, max(best, dropped))


def enumerate_columns(pool: Pool, most: int = EVERY) -> bool:
    """Put every column of the pool's kind into it, if there are `most` at most; whether it did."""
    rows = _every_column(pool.problem, pool.kind, min(most, pool.most))
    if rows is None:
        return False
    for start in range(0, len(rows), CHUNK):
        pool.look_up(rows[start : start + CHUNK])
    return True


def count_columns(problem: Problem, kind: int, most: int) -> int | None:
    """Return how many columns a kind has, rules aside; None where there are more than `most`."""
    rows = _every_column(problem, kind, most)
    return None if rows is None else len(rows)


def _every_column(problem: Problem, kind: int, most: int) -> IntArray | None:
    """Return all that a node of a kind may receive, int [n, apps]; None where that is more than `most`."""
    rows = np.zeros((1, 0), dtype=np.int64)
    room = problem.room(kind)[None, :]
    for app, wanted in enumerate(problem.receivable(kind).tolist()):
        request = problem.requests[app]
        with np.errstate(divide="ignore"):
            fits = np.floor(np.where(request > 0, room / np.where(request > 0, request, 1.0), np.inf))
        repeats = np.minimum(fits.min(axis=1), wanted).astype(np.int64) + 1
        if repeats.sum() > most:
            return None
        starts = np.cumsum(repeats) - repeats
        new = np.arange(int(repeats.sum())) - np.repeat(starts, repeats)
        rows = np.column_stack([np.repeat(rows, repeats, axis=0), new])
        room = np.repeat(room, repeats, axis=0) - new[:, None] * request
    return rows
