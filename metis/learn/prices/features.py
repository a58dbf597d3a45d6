"""What the network sees of a problem: a set of applications, each alone, in company and beside every other.

Everything is asked of the worth as an oracle, so any simulator will do, and measured in stand-alone
containers, so that prices carry over to groups and clusters of other sizes. Company is drawn in an order of
applications that follows from what they are, not from where they stand: applications in another order have
the same features in that order.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem

Float32Array = NDArray[np.float32]

COMPANY = 64  # co-locations that stand for the company of an application
PARTNERS = 128  # applications of most containers beside which each is looked at
CHUNK = 20_000  # rows whose worth is asked for at once
MOST = 3.0  # features are cut off here, in stand-alone containers
SEED = 20_261_126
DIGITS = 9  # that distinguish applications, in stand-alone containers
ALONE = (1, 2)  # containers of an application alone on a node, beside half and all that fit
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
NODE, EDGE = 20, 2  # features of an application, and of a pair
OF_TYPES = 5  # of them, the last, are 0 where all nodes are alike
TYPICAL = 4  # the feature of an application that a price is near: its mean gain in company


@dataclass(frozen=True)
class Features:
    """What the network sees of a problem.

    Attributes:
        apps: columns of the applications that have containers to place, int [n].
        unit: worth of a typical container alone on a node; prices are in these.
        node: of each application, float32 [n, NODE].
        edge: of each application beside each partner, float32 [n, partners, EDGE].
        partners: positions within `apps` of the partners, int [partners].
        share: of the containers, float32 [n].
    """

    apps: IntArray
    unit: float
    node: Float32Array
    edge: Float32Array
    partners: IntArray
    share: Float32Array


def features_of(problem: Problem) -> Features:
    """Return what the network sees of a problem."""
    return _Sight(problem).features()


class _Sight:
    """Worths of chosen co-locations on the most common kind of node of each type that has room.

    An application is seen as it is, on average, on the nodes that have room for it; and by how many have
    none, how much more it brings on the best type, and how scarce what it asks for is. Where all nodes are
    alike these are 0.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.apps = np.flatnonzero(problem.demand > 0)
        self.requests = problem.requests[self.apps]
        self.share = problem.demand[self.apps] / problem.demand.sum()
        rooms = np.stack([problem.room(kind) for kind in range(problem.kinds)])
        self.total_room = problem.nodes @ rooms
        roomy = problem.nodes * (rooms > 0).all(axis=1)
        common = int(roomy.argmax())
        of_type = [np.flatnonzero(problem.type_of == of) for of in np.unique(problem.type_of)]
        weights = [float(roomy[kinds].sum()) for kinds in of_type]
        kinds = [int(kinds[roomy[kinds].argmax()]) for kinds in of_type]
        seen = [(kind, weight) for kind, weight in zip(kinds, weights, strict=True) if weight > 0]
        self.types = [_OnKind(self, kind, rooms[kind]) for kind, _ in seen or [(common, 1.0)]]
        self.weights = np.array([weight for _, weight in seen] or [1.0])
        self.common = _OnKind(self, common, rooms[common])

    def features(self) -> Features:
        nodes = self.weights / self.weights.sum()
        may = np.stack([one.may for one in self.types])  # [types, n]
        on = may * nodes[:, None]
        shut = 1 - on.sum(axis=0)
        # what fits nowhere is seen as if it did
        on = np.where(on.any(axis=0), on, nodes[:, None])
        on = on / on.sum(axis=0)
        alone_on = np.stack([one.alone() for one in self.types])
        alone = (on[:, :, None] * alone_on).sum(axis=0)
        unit = float(self.share @ np.abs(alone[:, 0]))
        unit = unit if unit > 0 else max(float(np.abs(alone).max()), 1e-300)
        partners = np.argsort(-self.share, kind="stable")[:PARTNERS]
        beside = self.common.beside(partners)
        # what distinguishes applications, rounded, since sums in another order differ in their last digits
        apart = np.round(np.column_stack([alone, beside.sum(axis=1), (beside**2).sum(axis=1)]) / unit, DIGITS)
        order = np.lexsort([*apart.T, self.share])
        gains_on = np.stack([one.gains_in_company(order) for one in self.types])
        gains = (on[:, None] * gains_on).sum(axis=0)
        best = np.where(on[:, None] > 0, gains_on[:, :1], -np.inf).max(axis=0)[0] - gains[0]
        wanted = self.problem.demand @ self.problem.requests
        loads = wanted / np.maximum(self.total_room, 1e-300)
        sizes = np.stack([self.requests / np.maximum(one.room, 1e-300) for one in self.types])
        sizes = (on[:, :, None] * sizes).sum(axis=0)  # [n, resources]
        per_node = self.problem.demand[self.apps] / self.problem.nodes.sum()
        ones = np.ones(len(self.apps))
        columns = [
            *(alone.T / unit),
            *(gains / unit),
            self.share * len(self.apps),
            sizes.max(axis=1),
            np.log(per_node),
            loads.max() * ones,
            np.log(len(self.apps)) * ones,
            shut,
            best / unit,
            sizes[:, 1:] @ loads[1:],  # the first are slots, of which all take one
            sizes.max(axis=1) - sizes[:, 0],
            (loads.max() - loads[0]) * ones,
        ]
        node = np.column_stack(columns)
        return Features(
            self.apps,
            unit,
            np.clip(node, -MOST, MOST).astype(np.float32),
            np.clip(beside / unit, -MOST, MOST).astype(np.float32),
            partners,
            self.share.astype(np.float32),
        )


class _OnKind:
    """The same on nodes of one kind."""

    def __init__(self, sight: _Sight, kind: int, room: FloatArray) -> None:
        self.problem, self.kind, self.room = sight.problem, kind, room
        self.apps, self.requests, self.share = sight.apps, sight.requests, sight.share
        with np.errstate(divide="ignore"):
            fits = np.where(self.requests > 0, room / self.requests, np.inf).min(axis=1)
        most = np.minimum(np.floor(fits), self.problem.demand.sum())
        self.may = (most >= 1) & (self.problem.receivable(kind)[self.apps] > 0)
        self.fits = np.maximum(most, 1).astype(np.int64)
        self.empty = float(self.worth(np.zeros((1, len(self.problem.demand)), dtype=np.int64))[0])

    def worth(self, rows: IntArray) -> FloatArray:
        """Return the worth of nodes that receive `rows` [n, apps], asked for in chunks."""
        chunks = (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))
        return np.concatenate([self.problem.worth_of(self.kind, chunk) for chunk in chunks])

    def _rows(self, count: int) -> IntArray:
        return np.zeros((count, len(self.problem.demand)), dtype=np.int64)

    def alone(self) -> FloatArray:
        """Return the worth per container of some containers of each application alone, [n, 4]."""
        counts = [*(np.minimum(number, self.fits) for number in ALONE), (self.fits + 1) // 2, self.fits]
        found = []
        for count in counts:
            rows = self._rows(len(self.apps))
            rows[np.arange(len(rows)), self.apps] = count
            found.append((self.worth(rows) - self.empty) / count)
        return np.column_stack(found)

    def gains_in_company(self, order: IntArray) -> FloatArray:
        """Return what one more container gains in company: mean and quantiles, [6, n].

        Args:
            order: of the applications, in which company is drawn.
        """
        rng = np.random.default_rng(SEED)
        company, room = self._rows(COMPANY), np.tile(self.room, (COMPANY, 1))
        target = rng.random(COMPANY)  # share of the fullest resource at which a node takes no more
        whole = np.maximum(self.room, 1e-300)
        for _ in range(int(self.fits.max())):
            drawn = order[rng.choice(len(order), COMPANY, p=self.share[order])]
            left = room - self.requests[drawn]
            takes = np.flatnonzero((left >= 0).all(axis=1) & (1 - (left / whole).min(axis=1) <= target))
            company[takes, self.apps[drawn[takes]]] += 1
            room[takes] = left[takes]
        before = self.worth(company)
        fits = (self.requests[None] <= room[:, None]).all(axis=2)
        gains = np.full(fits.shape, np.nan)
        row, app = np.nonzero(fits)
        for start in range(0, len(row), CHUNK):
            some, added = row[start : start + CHUNK], app[start : start + CHUNK]
            after = company[some]
            after[np.arange(len(some)), self.apps[added]] += 1
            gains[some, added] = self.worth(after) - before[some]
        gains[:, ~fits.any(axis=0)] = 0.0
        return np.vstack([np.nanmean(gains, axis=0), np.nanquantile(gains, QUANTILES, axis=0)])

    def beside(self, partners: IntArray) -> FloatArray:
        """Return by how much a pair is worth more together than apart, [n, partners, EDGE].

        Once for one container of each, and once per container for as many as fill half of the node each.
        """
        n, count = len(self.apps), len(partners)
        first, second = np.repeat(np.arange(n), count), np.tile(partners, n)
        found = np.zeros((n * count, EDGE))
        for at, each in enumerate((np.ones(n, dtype=np.int64), np.maximum(self.fits // 2, 1))):
            single = self._rows(n)
            single[np.arange(n), self.apps] = each
            apart = self.worth(single) - self.empty
            for start in range(0, len(first), CHUNK):
                some = slice(start, start + CHUNK)
                rows = single[first[some]] + single[second[some]]
                fits = (rows @ self.problem.requests <= self.room).all(axis=1)
                both = self.worth(rows) - self.empty - apart[first[some]] - apart[second[some]]
                found[some, at] = np.where(fits, both / (each[first[some]] + each[second[some]]), 0.0)
        return found.reshape(n, count, EDGE)
