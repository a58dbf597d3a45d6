"""Circumstances of a measurement: what else went on where it was made, and how much it counts beside that."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from metis.problem.counts import FloatArray

UNKNOWN = float("nan")
MOST_GENERATOR = 0.9  # share of a core from which a load generator, which uses one, limits what it measures
MOST_LATE = 0.25  # seconds by which its timers may be late before it does, however little of a core it gets
LEAST_WEIGHT = 0.02
DISTURBED = 0.1  # deviation that a disturbance adds to the logarithm of a run that counts as half of one
KEPT = ("taken", "stolen", "busy", "load", "stalled", "starved", "waited", "throttled", "memory", "generator")


@dataclass(frozen=True)
class Circumstances:
    """What went on at a node, and in the load generator, while something was measured; NaN where unknown.

    Attributes:
        taken: share of the processor time of the node's cores that others took: processes that are neither
            the measured containers nor their support services, and the hypervisor.
        stolen: of this, what the hypervisor took.
        busy: share of the processor time that was used at all.
        load: processes that ran or waited, in the mean of the last minute, after it, by core.
        load_before: the same before it.
        stalled: share of the seconds in which something waited for a processor (pressure, `some`).
        starved: likewise for memory.
        waited: likewise for a disk.
        throttled: share of the seconds in which a limit stopped a measured container, in their mean.
        memory: share of the node's memory that was available after it.
        generator: share of a core that the busiest load generator used.
        late: seconds by which its timers were late, in the mean.
        missing: what could not be read, in words.
    """

    taken: float = UNKNOWN
    stolen: float = UNKNOWN
    busy: float = UNKNOWN
    load: float = UNKNOWN
    load_before: float = UNKNOWN
    stalled: float = UNKNOWN
    starved: float = UNKNOWN
    waited: float = UNKNOWN
    throttled: float = UNKNOWN
    memory: float = UNKNOWN
    generator: float = UNKNOWN
    late: float = UNKNOWN
    missing: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """All that is known, JSON-able."""
        found = {name: value for name, value in vars(self).items() if value == value and name != "missing"}
        rounded = {name: round(float(value), 4) for name, value in found.items()}
        return rounded | ({"missing": list(self.missing)} if self.missing else {})


def disturbance(found: Circumstances, most_taken: float) -> str:
    """Why a measurement beside that is not to be trusted; empty where it is, or where nothing is known.

    Args:
        found: the circumstances.
        most_taken: share of the node's processor time that others may take; 1 for whatever they take.
    """
    if most_taken >= 1:
        return ""
    if found.generator > MOST_GENERATOR or found.late > MOST_LATE:
        return (
            f"the load generator was at its limit ({found.generator:.0%} of a core, {found.late:.2f} s "
            "late): it, not the service, limits the RPS; use more clients or fewer load.users"
        )
    if found.taken > most_taken:
        stolen = f", {found.stolen:.0%} the hypervisor" if found.stolen > most_taken / 2 else ""
        return f"others took {found.taken:.0%} of the node's processor time{stolen}"
    return ""


def weight_of(found: Circumstances, most_taken: float) -> float:
    """Share of an undisturbed measurement that one beside a `disturbance` counts as, above 0 to 1.

    Half where others took just more than they may, less with the square of what they took.
    """
    if not disturbance(found, most_taken):
        return 1.0
    taken = np.nan_to_num(found.taken) / max(most_taken, 1e-3)
    return float(max(1 / (1 + max(taken, 1.0) ** 2), LEAST_WEIGHT))


def kept_row(noted: Mapping[str, Any]) -> list[float]:
    """The numbers of a note on circumstances, in the order of `KEPT`; NaN where unknown."""
    return [float(noted.get(name, UNKNOWN)) for name in KEPT]


def summary(rows: FloatArray, weights: FloatArray | None, width: FloatArray | None = None) -> dict[str, Any]:
    """Median and worst of each circumstance over the rows of a profile, JSON-able.

    Args:
        rows: in the order of `KEPT`, float64 [n, circumstances].
        weights: of the rows, [n]; None for 1 each.
        width: half the width of the interval of RPS, see `metis.measure.profile.Profile`; None for unknown.

    Returns:
        By name `[median, worst]` of those that are known, and `disturbed`, the rows of less weight.
    """
    found: dict[str, Any] = {}
    columns = list(zip(KEPT, rows.T, strict=True))
    columns += [("width", width.ravel())] if width is not None else []
    for name, values in columns:
        known = values[np.isfinite(values)]
        if len(known):
            worst = known.min() if name == "memory" else known.max()
            found[name] = [round(float(np.median(known)), 4), round(float(worst), 4)]
    return found | {"disturbed": 0 if weights is None else int((weights < 1).sum())}
