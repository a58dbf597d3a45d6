"""The scheduler of the value learner: recover the scale, deal to sub-clusters or not, fill, lay out."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, Literal, get_args

import numpy as np

from metis.errors import InputError, PlacementError
from metis.learn.value.choices import Limits
from metis.learn.value.dealing import deal
from metis.learn.value.filling import Filled, Filler, Kind
from metis.learn.value.settings import DecodeSettings
from metis.learn.value.weights import ValueWeights
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.scheduler import Decision, TimedScheduler
from metis.threads import one_thread

HighLevel = Literal["flat", "deal", "learned"]


@dataclass(frozen=True)
class ValueScheduler:
    """Places groups with trained weights; a `metis.problem.Scheduler`.

    Attributes:
        weights: trained for the worth that will be given (any positive multiple of it).
        highlevel: `flat` fills the whole cluster at once; `deal` deals the group evenly to sub-clusters of
            the size trained on and fills these side by side; `learned` lets the learned 3-way policy deal.
        decode: how clusters are filled.
    """

    weights: ValueWeights
    highlevel: HighLevel = "flat"
    decode: DecodeSettings = field(default_factory=DecodeSettings)

    def __post_init__(self) -> None:
        if self.highlevel not in get_args(HighLevel):
            raise InputError(f"highlevel {self.highlevel!r}: use one of {', '.join(get_args(HighLevel))}")
        if self.highlevel == "learned" and self.weights.dealer is None:
            raise InputError(
                "highlevel learned: these weights hold no dealer; train one, or use flat or deal"
            )

    def place(self, group: IntArray, cluster: Cluster, worth: FloatArray) -> Decision:
        """See `Scheduler.place`.

        Raises:
            InputError: the weights are of another space or worth, or the group does not fit.
            PlacementError: no placement within the rules was found; names the application.
        """
        return TimedScheduler(f"value-{self.highlevel}", self.arrange).place(group, cluster, worth)

    def arrange(
        self, group: IntArray, cluster: Cluster, worth: FloatArray
    ) -> tuple[IntArray, Mapping[str, Any]]:
        """Return the new containers of every node, [nodes, apps], and the trace: a `PlaceFunction`.

        The trace holds the seconds of dealing and of filling, the sub-clusters, the value `predicted` by
        V and, where the whole cluster was filled at once along sharpened prices, the `bound` these prove:
        no placement is worth more, so 1 - value / bound is at least the gap to the optimum.
        """
        # on products this small BLAS threads only wait for each other
        with one_thread("blas"):
            return self._arrange(group, cluster, worth)

    def _arrange(
        self, group: IntArray, cluster: Cluster, worth: FloatArray
    ) -> tuple[IntArray, Mapping[str, Any]]:
        start = perf_counter()
        problem = self.weights.problem
        self.weights.check(cluster.space)
        unit = problem.unit(worth)
        vacancy = float(worth[0]) / unit
        filler = Filler(
            self.weights.network,
            cluster.space,
            problem.table,
            vacancy,
            cluster.allowed,
            self.decode,
        )
        shares, parts = self._deal(group, cluster)
        dealt, bound = perf_counter(), 0.0
        placement = np.zeros_like(cluster.existing)
        for kinds, members in _alike(cluster, parts):
            filled = _fill_until_placed(filler, shares[members], [kind for kind, _ in kinds])
            ends = filled.ends
            bound += filled.bound * len(members)
            order = np.concatenate([where for _, where in kinds], axis=1)
            if ends.min() < 0:
                lost = int(np.flatnonzero(ends.min(axis=1) < 0)[0])
                _refuse(shares[members[lost]], cluster, order.shape[1])
            placement[order] = cluster.space.counts[ends] - cluster.existing[order]
        everything = group + cluster.existing.sum(axis=0)
        predicted = self.weights.network.value(
            everything[None], np.array([cluster.nodes]), np.array([vacancy], dtype=np.float32)
        )
        trace = {
            "deal_seconds": dealt - start,
            "fill_seconds": perf_counter() - dealt,
            "sub_clusters": len(parts),
            "predicted": float(predicted[0]) * unit,
        }
        if len(parts) == 1 and np.isfinite(bound):
            trace["bound"] = bound * unit
        return placement, trace

    def _deal(self, group: IntArray, cluster: Cluster) -> tuple[IntArray, list[IntArray]]:
        """Return the shares of the group, [parts, apps], and the nodes of every part."""
        count = -(-cluster.nodes // self.weights.sub_nodes)
        if self.highlevel == "flat" or count == 1:
            return group[None], [np.arange(cluster.nodes)]
        parts = [part.astype(np.int64) for part in np.array_split(np.arange(cluster.nodes), count)]
        dealer = self.weights.dealer
        chosen = dealer.deal if self.highlevel == "learned" and dealer is not None else deal
        return chosen(group, _free_slots(cluster, parts)), parts


def _fill_until_placed(filler: Filler, groups: IntArray, kinds: list[Kind]) -> Filled:
    """Fill, and where tight rules led into a dead end, fill again along more and more alternatives."""
    filled = filler.fill(groups, kinds)
    for wider in (8, 64):
        if filled.ends.min() >= 0:
            break
        decode = filler.decode
        widened = replace(
            decode, beam=decode.beam * wider, candidates=decode.candidates * wider, sharpen=True
        )
        filler = replace(filler, decode=widened)
        filled = filler.fill(groups, kinds)
    return filled


def _free_slots(cluster: Cluster, parts: list[IntArray]) -> IntArray:
    """Return the free slots of every part, [parts]."""
    free = cluster.space.slots - cluster.existing.sum(axis=1)
    return np.array([free[part].sum() for part in parts])


def _alike(cluster: Cluster, parts: list[IntArray]) -> list[tuple[list[tuple[Kind, IntArray]], IntArray]]:
    """Group the parts that hold the same numbers of the same nodes, to be filled side by side.

    Returns:
        For each set of alike parts: its kinds, each with the nodes of that kind, [parts of the set, n];
        and which parts these are. Fullest nodes come first: they leave the least choice.
    """
    held, inverse = np.unique(cluster.existing, axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    order = np.argsort(-held.sum(axis=1), kind="stable")
    rank = np.argsort(order)[inverse]
    sets: dict[bytes, tuple[list[IntArray], list[int]]] = {}
    for i, part in enumerate(parts):
        nodes = part[np.argsort(rank[part], kind="stable")]
        rows, members = sets.setdefault(rank[nodes].tobytes(), ([], []))
        rows.append(nodes)
        members.append(i)
    alike = []
    for rows, members in sets.values():
        nodes = np.stack(rows)
        ranks, starts, counts = np.unique(rank[nodes[0]], return_index=True, return_counts=True)
        kinds = [
            (Kind(held[order[r]], int(n)), nodes[:, s : s + n])
            for r, s, n in zip(ranks, starts, counts, strict=True)
        ]
        alike.append((kinds, np.array(members)))
    return alike


def _refuse(share: IntArray, cluster: Cluster, nodes: int) -> None:
    app = Limits(cluster.space, cluster.allowed).unplaceable(share, nodes)
    name = cluster.space.apps[int(share.argmax()) if app is None else app]
    raise PlacementError(f"value: no placement within the rules was found for {share.max()} x {name}")
