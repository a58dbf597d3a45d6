"""Interference constraints between applications, which Medea and Paragon place by.

Affinity (at least so many of one application beside another) and cardinality (at most so many), found
where the RPS of one container passes a threshold (Metis, SC 2020; the published `interference_*.csv`).
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, Lt
from numpy.typing import NDArray

from baselines.pairwise import check_curves, pairwise_curves
from metis.errors import InputError
from metis.files import written_whole
from metis.inputs.names import meant
from metis.inputs.sheet import read_sheet
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.oracle import Oracle
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.settings import InputPath, settings

APPLIST = "interference_applist.csv"
RPSLIST = "interference_rpslist.csv"
COLUMNS = ("app_s", "app_c", "less_or_lager", "threshold")  # spelt as published


@settings("constraints")
class ConstraintsSettings:
    """Where interference constraints come from: a file, or the simulator's tables.

    Attributes:
        path: file in the published columns, such as `interference_applist.csv`; None for the tables.
        threshold: change of RPS beside k neighbours that makes a constraint, without a file.
    """

    path: InputPath | None = None
    threshold: Annotated[float, Gt(0), Lt(1)] = 0.1


@dataclass(frozen=True)
class Constraint:
    """A bound on the containers of `other` on every node that runs `app`.

    Such a node holds at least or at most `threshold` of them. Where `other` is `app` itself, the container
    counts too.

    Attributes:
        app: the application that is disturbed or helped.
        other: the application that disturbs or helps it.
        at_least: affinity if true, cardinality if not.
        threshold: containers of `other`, 0 or more.
        weight: cost of an extent of 1; infinity makes the constraint hard.
    """

    app: str
    other: str
    at_least: bool
    threshold: int
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.threshold != int(self.threshold) or self.threshold < int(self.at_least):
            raise InputError(f"constraint {self}: give a whole number of at least {int(self.at_least)}")
        if not self.weight > 0:
            raise InputError(f"constraint {self}: weight {self.weight:g}: give more than 0")

    @property
    def hard(self) -> bool:
        """Whether the constraint may never be violated."""
        return math.isinf(self.weight)

    def __str__(self) -> str:
        return f"{self.app}: at {'least' if self.at_least else 'most'} {self.threshold} {self.other}"


@dataclass(frozen=True)
class Violations:
    """How far a placement is from the constraints.

    Attributes:
        count: violated constraints, counted per container and node as in the paper's six-node example.
        total: constraints so counted (constraints of an application x its containers x nodes).
        extent: by how much counts are over or under, summed per container, whatever the weights.
        weighted: the same with the weights of the soft constraints: what Medea minimises.
        by_constraint: extent of every violated constraint, by its wording.
    """

    count: int
    total: int
    extent: float
    weighted: float
    by_constraint: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        return {**vars(self), "by_constraint": dict(self.by_constraint)}


@dataclass(frozen=True)
class Constraints:
    """Interference constraints between the applications of a space.

    Attributes:
        apps: names of the applications, in column order.
        items: the constraints.
        rps: RPS of one `app` beside k of `other`, relative to its RPS alone, float [items, slots]; None
            where they are not known.
    """

    apps: tuple[str, ...]
    items: tuple[Constraint, ...]
    rps: FloatArray | None = None

    def __post_init__(self) -> None:
        for item in self.items:
            for name in (item.app, item.other):
                if name not in self.apps:
                    raise InputError(
                        f"constraint {item} names the unknown application {name!r}: {meant(name, self.apps)}"
                    )
        if self.rps is not None and len(self.rps) != len(self.items):
            raise InputError(f"{len(self.rps)} rows of RPS for {len(self.items)} constraints: give one each")

    def __len__(self) -> int:
        return len(self.items)

    @property
    def columns(self) -> tuple[IntArray, IntArray]:
        """Column of `app` and of `other` per constraint, [items] each."""
        number = {name: a for a, name in enumerate(self.apps)}
        pairs = [(number[item.app], number[item.other]) for item in self.items]
        first, second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        return first, second

    @property
    def weights(self) -> FloatArray:
        """Weight per constraint, [items]; 0 where it is hard."""
        return np.array([0.0 if item.hard else item.weight for item in self.items])

    def excess(self, counts: IntArray) -> FloatArray:
        """Return how far counts [..., apps] are over or under each threshold, [..., items], 0 or more.

        For one container of `app`; whether there is one is not checked.
        """
        sign = np.array([-1 if item.at_least else 1 for item in self.items], dtype=np.int64)
        threshold = np.array([item.threshold for item in self.items], dtype=np.int64)
        return np.asarray(np.maximum(sign * (counts[..., self.columns[1]] - threshold), 0), dtype=np.float64)

    def extents(self, counts: IntArray) -> FloatArray:
        """Return the unweighted extent per constraint, summed per container of `app`, [..., items]."""
        return np.asarray(counts[..., self.columns[0]] * self.excess(counts))

    def extent_table(self, space: ColocationSpace) -> FloatArray:
        """Return the weighted extent of the soft constraints on a node, float [space.size]: Medea's cost."""
        self.check_space(space)
        table = np.zeros(space.size)
        for item, weight in zip(
            self.items, self.weights.tolist(), strict=True
        ):  # by item: a space may be large
            table += weight * self._only(item).extents(space.counts)[:, 0]
        return table

    def mask(self, space: ColocationSpace) -> NDArray[np.bool_]:
        """Return which co-locations keep the hard constraints, bool [space.size]."""
        self.check_space(space)
        admitted = np.ones(space.size, dtype=bool)
        for item in self.items:
            if item.hard:
                admitted &= self._only(item).extents(space.counts)[:, 0] == 0
        return admitted

    def _only(self, item: Constraint) -> "Constraints":
        return Constraints(self.apps, (item,))

    def violations(self, placement: IntArray, cluster: Cluster) -> Violations:
        """Measure what `placement` [nodes, apps] of any scheduler violates, existing containers included."""
        self.check_space(cluster.space)
        total = placement + cluster.existing
        by_item = self.extents(total).sum(axis=0)
        by_node = self.node_extents(placement, cluster)
        containers = total[:, self.columns[0]]
        return Violations(
            count=int((containers * (self.excess(total) > 0)).sum()),
            total=int(containers.sum() * cluster.nodes),
            extent=float(by_item.sum()),
            weighted=float(by_item @ self.weights),
            by_constraint={rule: float(extents.sum()) for rule, extents in by_node.items()},
        )

    def node_extents(self, placement: IntArray, cluster: Cluster) -> dict[str, FloatArray]:
        """Return the unweighted extent per node, [nodes], of each constraint that is violated, by wording."""
        extents = self.extents(placement + cluster.existing)
        found: dict[str, FloatArray] = {}
        for i in np.flatnonzero((extents > 0).any(axis=0)).tolist():
            found[str(self.items[i])] = found.get(str(self.items[i]), 0.0) + extents[:, i]
        return found

    def weighted(self, weights: Sequence[tuple[str, str, float]]) -> "Constraints":
        """Return the same constraints with another weight for the ordered pairs (app, other) named.

        Raises:
            InputError: a pair names an unknown application.
        """
        for app, other, _ in weights:
            for name in (app, other):
                if name not in self.apps:
                    raise InputError(
                        f"weights name the unknown application {name!r}: {meant(name, self.apps)}"
                    )
        chosen = {(app, other): float(weight) for app, other, weight in weights}
        items = tuple(
            replace(item, weight=chosen.get((item.app, item.other), item.weight)) for item in self.items
        )
        return Constraints(self.apps, items, self.rps)

    def check_space(self, space: ColocationSpace) -> None:
        """Raise `InputError` unless these constraints are for the applications and slots of `space`."""
        if self.apps != space.apps:
            raise InputError(
                f"constraints for {', '.join(self.apps)}, but the cluster runs {', '.join(space.apps)}"
            )
        for item in self.items:
            if item.threshold > space.slots:
                raise InputError(f"constraint {item}: threshold out of range, a node has {space.slots} slots")

    def rows(self) -> list[dict[str, Any]]:
        """Return one JSON-able row per constraint, for tables."""
        found = [None] * len(self) if self.rps is None else self.rps.tolist()
        return [
            {
                "application": item.app,
                "on its node": f"at {'least' if item.at_least else 'most'} {item.threshold} {item.other}",
                "weight": "hard" if item.hard else item.weight,
                "rps beside 0, 1, ...": values,
            }
            for item, values in zip(self.items, found, strict=True)
        ]

    def table(self) -> str:
        """Format the constraints as a readable table, one a line."""
        lines = [("application", "on its node", "weight", "rps beside 0, 1, ... of it")]
        for row in self.rows():
            app, rule, weight, values = row.values()
            shown = " ".join(f"{value:.2f}" for value in values or ())
            lines.append((app, rule, weight if weight == "hard" else f"{weight:g}", shown))
        widths = [max(len(line[i]) for line in lines) for i in range(4)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

    def write(self, folder: Path) -> list[Path]:
        """Write both files in the published columns (ids from 1); weights are not part of them.

        Raises:
            InputError: a constraint is hard, which these columns cannot say.
        """
        hard = [item for item in self.items if item.hard]
        if hard:
            raise InputError(f"constraint {hard[0]} is hard: {APPLIST} has no column for that")
        first, second = self.columns
        table = [
            (s + 1, c + 1, int(item.at_least), item.threshold)
            for item, s, c in zip(self.items, first.tolist(), second.tolist(), strict=True)
        ]
        paths = [_write(folder / APPLIST, COLUMNS, table)]
        if self.rps is not None:
            paths.append(_write(folder / RPSLIST, range(self.rps.shape[1]), self.rps.tolist()))
        return paths


def constraints_of(known: Tables | Oracle, settings: ConstraintsSettings | None = None) -> Constraints:
    """Read the constraints of `settings.path`, or find them in the simulator's tables.

    Raises:
        InputError: see `read_constraints` and `find_constraints`; without a path, no tables.
    """
    settings, space = settings or ConstraintsSettings(), known.space
    if settings.path:
        return read_constraints(Path(settings.path), space.apps, space.slots)
    if not isinstance(known, Tables):
        space.require_tables()
        raise InputError("constraints: without a table of all co-locations give constraints.path=FILE")
    return find_constraints(pairwise_curves(known), space.apps, settings.threshold)


def find_constraints(curves: FloatArray, apps: tuple[str, ...], threshold: float = 0.1) -> Constraints:
    """Find constraints where one container's RPS passes 1 +- threshold (Metis, SC 2020).

    Per ordered pair (s, c): the first count at which s gains more than the threshold makes an affinity;
    the count before the first at which it loses more makes a cardinality.

    Args:
        curves: RPS of one s beside k = 0, 1, ... of c, [apps, apps, slots] (`baselines.pairwise`).
        apps: names of the applications.
        threshold: share of the RPS alone, between 0 and 1.

    Raises:
        InputError: the threshold or the shape of the curves is out of range.
    """
    check_curves(curves, apps)
    if not 0 < threshold < 1:
        raise InputError(f"constraints.threshold {threshold:g}: give a share between 0 and 1, such as 0.1")
    relative = curves / curves[:, :, :1]
    itself = np.eye(len(apps), dtype=np.int64)  # a container counts among its own kind
    items, rps = [], []
    for at_least, passed in ((True, relative > 1 + threshold), (False, relative < 1 - threshold)):
        first = passed.argmax(axis=2)
        for s, c in np.argwhere(passed.any(axis=2)).tolist():
            most = int(first[s, c] + itself[s, c])
            items.append(Constraint(apps[s], apps[c], at_least, most if at_least else most - 1))
            rps.append(relative[s, c])
    order = sorted(range(len(items)), key=lambda i: (apps.index(items[i].app), apps.index(items[i].other)))
    return Constraints(
        apps,
        tuple(items[i] for i in order),
        np.array([rps[i] for i in order]).reshape(len(items), curves.shape[2]),
    )


def read_constraints(path: Path, apps: tuple[str, ...], slots: int) -> Constraints:
    """Read constraints in the published columns, and the RPS beside them where that file is there.

    Raises:
        InputError: not such a file, an unknown application, or a threshold out of range; names file and line.
    """
    sheet = read_sheet(path)
    if sheet.header != COLUMNS:
        raise InputError(f"{path}: the first line must be {','.join(COLUMNS)}")
    items = []
    for number, cells in zip(sheet.lines, sheet.rows, strict=True):
        try:
            s, c, larger, threshold = (int(cell) for cell in cells)
        except ValueError:
            raise InputError(f"{path}, line {number}: give 4 whole numbers, not {','.join(cells)}") from None
        for app in (s, c):
            if not 1 <= app <= len(apps):
                raise InputError(
                    f"{path}, line {number}: unknown application {app}, ids run from 1 to {len(apps)}"
                )
        if larger not in (0, 1) or not larger <= threshold <= slots:
            raise InputError(
                f"{path}, line {number}: less_or_lager {larger}, threshold {threshold}: give 0 (at most) "
                f"with 0 to {slots}, or 1 (at least) with 1 to {slots}"
            )
        items.append(Constraint(apps[s - 1], apps[c - 1], bool(larger), threshold))
    beside = path.with_name(RPSLIST)
    rps = _read_rps(beside, len(items)) if path.name == APPLIST and beside.exists() else None
    return Constraints(apps, tuple(items), rps)


def _read_rps(path: Path, rows: int) -> FloatArray:
    sheet = read_sheet(path, ordered=True)
    values = sheet.numbers(sheet.header)
    blank = np.argwhere(np.isnan(values))
    if len(blank):
        row, column = blank[0].tolist()
        raise InputError(f"{sheet.place(row, sheet.header[column])}: is blank; give an RPS")
    if len(values) != rows:
        raise InputError(f"{path}: {len(values)} rows of RPS for {rows} constraints: give one each")
    return values


def _write(path: Path, header: Sequence[Any], table: Sequence[Sequence[Any]]) -> Path:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *table])
    with written_whole(path) as file:
        file.write(text.getvalue().encode())
    return path
