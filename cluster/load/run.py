"""One co-location measured once: what was reached, held against what, and beside what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cluster.host_counters import HostCounters, between
from cluster.load.duet import DuetResult
from cluster.load.generator import LoadResult
from metis.measure.circumstances import Circumstances, disturbance, weight_of
from metis.problem.counts import FloatArray


@dataclass(frozen=True)
class Paired:
    """What a co-location and its stand-alone runs reached in turn.

    Attributes:
        ratio: RPS of a container to that of one alone, by application, [apps]; NaN where absent.
        width: half the width of the ratio's 95 % interval, as a share of it, [apps]; NaN where unknown.
        unit: RPS of one alone, [apps]; NaN where absent.
        cycles: how often each had its turn.
        seconds: of load.
    """

    ratio: FloatArray
    width: FloatArray
    unit: FloatArray
    cycles: int
    seconds: float


@dataclass(frozen=True)
class Run:
    """One co-location measured once.

    Attributes:
        id: of the co-location.
        at: when the load ended, seconds since 1970.
        rps: per application, good responses per second of one container (mean), [apps]; NaN where absent.
        p50: seconds (mean over its containers), likewise; also p99.
        p99: see p50.
        requests: of all its containers, [apps].
        failures: of these, [apps].
        worker: where it ran.
        client: where the load came from.
        seconds: that it all took.
        overhead: of these, beyond warm-up and window.
        circumstances: what else went on meanwhile.
        looked: seconds that finding that out took.
        paired: what its stand-alone runs reached in turn with it; None where they did not take turns.
        idle: alone: share of a core that it used without requests; NaN where unknown.
    """

    id: int
    at: float
    rps: FloatArray
    p50: FloatArray
    p99: FloatArray
    requests: FloatArray
    failures: FloatArray
    worker: str
    client: str
    seconds: float
    overhead: float
    circumstances: Circumstances
    looked: float
    paired: Paired | None = None
    idle: float = float("nan")

    def note(self, sitting: int, most_taken: float) -> dict[str, Any]:
        """What is kept of it beside its measures, JSON-able.

        Args:
            sitting: that it belongs to.
            most_taken: see `LoadSettings`.
        """
        found: dict[str, Any] = {
            "raw": plain(self.rps),
            "at": self.at,
            "sitting": sitting,
            "worker": self.worker,
            "client": self.client,
            "seconds": round(self.seconds, 3),
            "overhead": round(self.overhead, 3),
            "looked": round(self.looked, 3),
            "circumstances": self.circumstances.as_dict(),
        }
        if why := disturbance(self.circumstances, most_taken):
            found |= {"disturbed": why, "weight": weight_of(self.circumstances, most_taken)}
        if self.paired is not None:
            each = {name: plain(getattr(self.paired, name)) for name in ("ratio", "width", "unit")}
            found |= each | {"cycles": self.paired.cycles, "load_seconds": round(self.paired.seconds, 3)}
        return found


def plain(values: FloatArray) -> list[float | None]:
    """Numbers as JSON has them: null for what is unknown."""
    return [float(value) if np.isfinite(value) else None for value in values]


def paired_of(duet: DuetResult, present: Sequence[bool]) -> Paired:
    """What a duet says of a co-location, whose applications stand in the order of its ratios.

    Args:
        duet: of `cluster.load.duet.turns_of`.
        present: whether an application is in the co-location, [apps].
    """
    ratio, width, unit = (np.full(len(present), np.nan) for _ in range(3))
    for a, found, alone in zip(np.flatnonzero(present), duet.ratios, duet.sets[1:], strict=True):
        ratio[a] = found.value
        width[a] = found.half / found.value if found.value > 0 and np.isfinite(found.half) else np.nan
        unit[a] = next(iter(alone.values())).rps
    return Paired(ratio, width, unit, duet.cycles, duet.seconds)


def circumstances_of(
    before: HostCounters, after: HostCounters, results: Mapping[str, LoadResult]
) -> Circumstances:
    """What went on between two readings, and in the busiest load generator."""
    known = [one for one in results.values() if one.generator == one.generator]
    found = between(before, after)
    if not known:
        return found
    return replace(found, generator=max(one.generator for one in known), late=max(one.lag for one in known))
