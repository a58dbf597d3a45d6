"""The protocol of schedulers: a group, a cluster and the worth of co-locations in, a placement out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

from metis.errors import InputError, PlacementError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray, whole_counts
from metis.problem.groups import check_group
from metis.problem.placement import check_placement


@dataclass(frozen=True)
class Decision:
    """What a scheduler returns.

    Attributes:
        placement: the new containers, int [nodes, apps]; existing ones are not counted.
        seconds: wall time of the decision.
        trace: what is recorded with it (bounds, curves, steps); JSON-able values.
    """

    placement: IntArray
    seconds: float
    trace: Mapping[str, Any] = field(default_factory=dict)


class Scheduler(Protocol):
    """Places a group on a cluster, given each co-location's worth (always maximised)."""

    def place(self, group: IntArray, cluster: Cluster, worth: FloatArray) -> Decision:
        """Place `group` [apps] on `cluster`; `worth` [space.size] is what one node adds."""
        ...


PlaceFunction = Callable[[IntArray, Cluster, FloatArray], tuple[IntArray, Mapping[str, Any]]]


@dataclass(frozen=True)
class TimedScheduler:
    """A `Scheduler` made of a plain function: it measures the time and checks the placement."""

    name: str
    function: PlaceFunction

    def place(self, group: IntArray, cluster: Cluster, worth: FloatArray) -> Decision:
        """See `Scheduler.place`.

        Raises:
            InputError: the group does not fit.
            PlacementError: the function lost a container, broke capacity or a rule, or returned no placement.
        """
        check_group(group, cluster)
        start = perf_counter()
        returned = self.function(group, cluster, worth)
        seconds = perf_counter() - start
        try:
            placement, trace = returned
            placement = whole_counts(placement, self.name)
        except (TypeError, ValueError):
            raise PlacementError(f"{self.name}: must return (placement [nodes, apps], trace)") from None
        except InputError as error:
            raise PlacementError(str(error)) from None
        check_placement(placement, group, cluster, self.name)
        return Decision(placement, seconds, trace)
