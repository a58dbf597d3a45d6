"""Readings: what containers in service report of themselves, interval by interval, under whatever load."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import FloatArray, IntArray

BLOCK = 1800.0  # seconds over which readings are averaged before anything is learnt from them


@dataclass(frozen=True)
class Readings:
    """Ordinary metrics of the containers in service; a row for a node and an interval.

    Attributes:
        apps: names of the applications, one per column.
        node: on which node, int [n].
        time: when the interval began, seconds, float64 [n].
        counts: containers on the node in that interval, int [n, apps].
        rate: requests per second of one container, in their mean, float64 [n, apps]; NaN where unknown.
        seconds: of work on one request, waiting excluded, float64 [n, apps]; NaN where unknown.
        interval: length of an interval in seconds.
        nodes: their names; empty where they have none.
        samples: readings that a row is the mean of, float64 [n]; None for 1 each.
    """

    apps: tuple[str, ...]
    node: IntArray
    time: FloatArray
    counts: IntArray
    rate: FloatArray
    seconds: FloatArray
    interval: float
    nodes: tuple[str, ...] = ()
    samples: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.node)

    @property
    def busy(self) -> FloatArray:
        """Share of the time for which a container works on a request, 0 to 1, [n, apps]; 0 where absent."""
        return np.asarray(np.clip(np.nan_to_num(self.rate * self.seconds), 0.0, 1.0))

    @property
    def whole(self) -> FloatArray:
        """What each row counts as, beside the one with most samples, [n]."""
        return np.ones(len(self)) if self.samples is None else self.samples / self.samples.max()

    def blocks(self, seconds: float = BLOCK) -> "Readings":
        """Means over blocks of time in which a node holds the same.

        Load varies by hours, noise by readings; and what is odd in the seconds of a reading is also in how
        busy it says that a container is, which would tilt a regression of one on the other.
        """
        begun = np.floor(self.time / seconds).astype(np.int64)
        keys = np.hstack([self.node[:, None], begun[:, None], self.counts])
        unique, inverse = np.unique(keys, axis=0, return_inverse=True)
        order, rows = inverse.ravel(), len(unique)

        def mean(values: FloatArray) -> FloatArray:
            known = np.isfinite(values)
            sums, count = np.zeros((rows, values.shape[1])), np.zeros((rows, values.shape[1]))
            np.add.at(sums, order, np.where(known, values, 0.0))
            np.add.at(count, order, known)
            return np.asarray(np.where(count > 0, sums / np.maximum(count, 1), np.nan))

        logs = np.log(np.where(self.seconds > 0, self.seconds, np.nan))
        return replace(
            self,
            node=unique[:, 0],
            time=unique[:, 1] * seconds,
            counts=unique[:, 2:],
            rate=mean(self.rate),
            seconds=np.exp(mean(logs)),
            interval=max(seconds, self.interval),
            samples=np.bincount(order, minlength=rows).astype(np.float64),
        )

    def last(self) -> IntArray:
        """What each node held at last, int [nodes, apps]; nothing where that was over half an hour ago."""
        found = np.zeros((max(len(self.nodes), int(self.node.max(initial=-1)) + 1), len(self.apps)), np.int64)
        order = np.argsort(self.time, kind="stable")
        late = order[self.time[order] > self.time.max(initial=0.0) - max(BLOCK, self.interval)]
        for row in late.tolist():  # later ones over earlier ones
            found[self.node[row]] = self.counts[row]
        return found

    def joined(self, other: "Readings") -> "Readings":
        """These readings, and later ones of the same nodes and applications."""
        names = ("node", "time", "counts", "rate", "seconds")
        parts: dict[str, NDArray[Any]] = {
            name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in names
        }
        return Readings(self.apps, **parts, interval=self.interval, nodes=self.nodes)


def work_seconds(response: FloatArray, rate: FloatArray) -> FloatArray:
    """Seconds of work on a request, from those until its response, waiting included.

    A container that serves one request after the other, and whose requests come when they please, lets them
    wait for response = work / (1 - rate * work) (M/M/1; Kleinrock, Queueing Systems I, 1975, chapter 3), so
    work = response / (1 + rate * response). At a container's limit that is 1 / rate: its RPS, as measured
    under full load.

    Args:
        response: seconds until a response, in the mean, any shape.
        rate: requests per second, likewise.
    """
    return np.asarray(response / (1 + rate * response))
