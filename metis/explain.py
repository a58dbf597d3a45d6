"""Explanations of placements, node by node: predicted values, effects between neighbours, violations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metis.errors import InputError
from metis.measure.profile import SHARES
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray, describe_colocation
from metis.problem.evaluation import reached, reached_on
from metis.problem.oracle import Oracle, known_on, types_of
from metis.problem.tables import Tables

FEW = 6  # nodes that are listed by name one by one
HEADER = ("nodes", "holds", "application", "rps", "if one of a neighbour left", "violated (extent)")


@dataclass(frozen=True)
class Explanation:
    """A placement explained; every array is over nodes.

    Attributes:
        apps: names of the applications, one per column.
        counts: containers on every node, existing ones included, int [nodes, apps].
        existing: those that were there before, int [nodes, apps].
        rps: predicted normalised RPS of one container, float [nodes, apps]; NaN where absent.
        effect: what one container of c adds to (or, negative, takes from) the RPS of one container of s
            beside it: the difference on its removal, float [nodes, s, c]; NaN where either is absent, or
            where s = c is the only one.
        violated: extent per node, float [nodes], of each violated constraint, by its wording.
        checked: whether constraints were looked for at all.
        others: further predicted quantities of one container by name, such as `p99` in seconds, float
            [nodes, apps]; NaN where absent or never measured.
        names: of the nodes; empty where they are numbered from 0.
    """

    apps: tuple[str, ...]
    counts: IntArray
    existing: IntArray
    rps: FloatArray
    effect: FloatArray
    violated: Mapping[str, FloatArray] = field(default_factory=dict)
    checked: bool = True
    others: Mapping[str, FloatArray] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    @property
    def header(self) -> tuple[str, ...]:
        """The headings of `rows`: `HEADER`, with a column per further quantity after the RPS."""
        others = [name if name in SHARES else f"{name} (s)" for name in self.others]
        return (*HEADER[:4], *others, *HEADER[4:])

    @property
    def given(self) -> FloatArray:
        """What one container of c adds to all its neighbours together, [nodes, c]; NaN where absent."""
        others = self.counts[:, :, None] - np.eye(len(self.apps), dtype=np.int64)
        total = np.where(np.isnan(self.effect), 0.0, self.effect * others).sum(axis=1)
        return np.where(self.counts > 0, total, np.nan)

    def node(self, node: int) -> dict[str, Any]:
        """One node as JSON-able words and numbers.

        Raises:
            InputError: there is no such node.
        """
        if not 0 <= node < len(self.counts):
            raise InputError(f"node {node}: this placement has nodes 0 to {len(self.counts) - 1}")
        given = self.given[node]
        return {
            "node": self.names[node] if self.names else node,
            "holds": describe_colocation(self.counts[node], self.apps),
            "applications": [
                {
                    "application": self.apps[s],
                    "containers": int(self.counts[node, s]),
                    "existing": int(self.existing[node, s]),
                    "rps": float(self.rps[node, s]),
                    **{name: _number(values[node, s]) for name, values in self.others.items()},
                    "gives_neighbours": float(given[s]),
                    "from_one": {
                        self.apps[c]: float(self.effect[node, s, c])
                        for c in np.flatnonzero(~np.isnan(self.effect[node, s])).tolist()
                    },
                }
                for s in np.flatnonzero(self.counts[node]).tolist()
            ],
            "violated": {
                rule: float(extents[node]) for rule, extents in self.violated.items() if extents[node] > 0
            },
        }

    def as_dict(self, nodes: Iterable[int] | None = None) -> dict[str, Any]:
        """All (or some) nodes, JSON-able, with the totals over the whole placement."""
        containers = int(self.counts.sum())
        total = float(np.nansum(self.counts * self.rps))
        return {
            "containers": containers,
            "rps": total / containers if containers else 0.0,
            "free_nodes": int((self.counts.sum(axis=1) == 0).sum()),
            "violated": {rule: float(extents.sum()) for rule, extents in self.violated.items()},
            "checked": self.checked,
            "nodes": [self.node(n) for n in (range(len(self.counts)) if nodes is None else nodes)],
        }

    def rows(self, nodes: Iterable[int] | None = None) -> list[tuple[str, ...]]:
        """Cells of a table under `header`: a line per application of the nodes that hold the same.

        Nodes are alike where they hold the same, reach the same, were given the same before and violate the
        same; empty ones are left out.
        """
        lines: list[tuple[str, ...]] = []
        for alike in self._alike(nodes):
            entry = self.node(alike[0])
            violated = ", ".join(f"{rule} ({extent:g})" for rule, extent in entry["violated"].items())
            for i, app in enumerate(entry["applications"]):
                effects = ", ".join(f"{name} {0.0 - change:+.3f}" for name, change in app["from_one"].items())
                first = (_named(alike, self.names), entry["holds"]) if i == 0 else ("", "")
                last = violated if i == 0 else ""
                others = [f"{app[name]:.3f}" if app[name] is not None else "" for name in self.others]
                lines.append((*first, app["application"], f"{app['rps']:.3f}", *others, effects, last))
        return lines

    def _alike(self, nodes: Iterable[int] | None) -> list[list[int]]:
        """Nodes that are explained alike, by the first of them."""
        groups: dict[tuple[bytes, ...], list[int]] = {}
        for n in range(len(self.counts)) if nodes is None else nodes:
            extents = np.array([values[n] for values in self.violated.values()])
            own = tuple(
                values.tobytes() for values in (self.counts[n], self.existing[n], self.rps[n], extents)
            )
            groups.setdefault(own, []).append(n)
        return list(groups.values())

    def table(self, nodes: Iterable[int] | None = None) -> str:
        """The rows as plain text in aligned columns."""
        lines = [self.header, *self.rows(nodes)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def explain(
    placement: IntArray,
    cluster: Cluster,
    tables: Tables | Oracle,
    violated: Mapping[str, FloatArray] | None = None,
    others: Sequence[str] = (),
) -> Explanation:
    """Explain a placement by what is predicted of its nodes.

    Args:
        placement: new containers, int [nodes, apps], of any scheduler.
        cluster: its nodes, and what ran there before.
        tables: predicted quantities over the space, `rps` and `others`, or an oracle of them.
        violated: extent per node, float [nodes], of each violated constraint, by its wording (for instance
            `Constraints.node_extents` of the baselines); None where none were looked for.
        others: further quantities to show, such as those that the objective needs.

    Raises:
        InputError: shapes that do not belong together, or a quantity that the tables lack.
    """
    if placement.shape != cluster.existing.shape or tables.space != cluster.space:
        raise InputError(
            f"placement of shape {placement.shape} on {cluster.existing.shape} nodes and applications: "
            "explain it on the cluster and with the tables that it was made for"
        )
    extents = {rule: np.asarray(values, dtype=np.float64) for rule, values in (violated or {}).items()}
    for rule, values in extents.items():
        if values.shape != (cluster.nodes,):
            raise InputError(f"violated: {rule!r} has shape {values.shape}, give one extent per node")
    total = placement + cluster.existing
    rps = np.where(total > 0, reached_on(total, cluster, tables), np.nan)
    return Explanation(
        apps=cluster.space.apps,
        counts=total,
        existing=cluster.existing,
        rps=rps,
        effect=_effects_by_type(total, cluster, tables),
        violated=extents,
        checked=violated is not None,
        others={
            name: np.where(total > 0, reached_on(total, cluster, tables, name), np.nan)
            for name in others
            if name != "rps"
        },
    )


def _named(nodes: Sequence[int], names: Sequence[str] = ()) -> str:
    """Nodes in words: `0-2, 5` or their names, with how many they are where there are several."""
    if names and len(nodes) <= FEW:
        listed = ", ".join(names[n] for n in nodes)
        return f"{len(nodes)}: {listed}" if len(nodes) > 1 else listed
    ranges: list[list[int]] = []
    for n in nodes:
        if ranges and n == ranges[-1][-1] + 1:
            ranges[-1][1:] = [n]
        else:
            ranges.append([n])
    if names:
        named = ", ".join(" to ".join(names[n] for n in one) for one in ranges)
    else:
        named = ", ".join("-".join(map(str, one)) for one in ranges)
    return f"{len(nodes)}: {named}" if len(nodes) > 1 else named


def _number(value: np.float64) -> float | None:
    """A number for JSON; None where it is not known."""
    return float(value) if np.isfinite(value) else None


def _effects_by_type(held: IntArray, cluster: Cluster, known: Tables | Oracle) -> FloatArray:
    """Return `_effects`, by the type of each node where types are distinguished."""
    if cluster.stated is None or not types_of(known):
        return _effects(held, known)
    apps = len(cluster.space.apps)
    found = np.zeros((len(held), apps, apps))
    for t, name in enumerate(cluster.stated.types):
        of_type = cluster.stated.type_of == t
        found[of_type] = _effects(held[of_type], known_on(known, name))
    return found


def _effects(held: IntArray, known: Tables | Oracle) -> FloatArray:
    """Return what one c adds to one s on nodes that hold `held` [nodes, apps]; float [nodes, s, c]."""
    found = np.full((len(held), held.shape[1], held.shape[1]), np.nan)
    node, app = np.nonzero(held)
    without = held[node]
    without[np.arange(len(node)), app] -= 1
    rps = reached(np.concatenate([held, without]), known)
    change = rps[: len(held)][node] - rps[len(held) :]
    found[node, :, app] = np.where(without > 0, change, np.nan)
    return found
