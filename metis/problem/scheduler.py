"""The contract of every scheduler: group, cluster and the worth of co-locations in, a placement out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import Any, Protocol

from metis.errors import InputError, PlacementError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray, whole_counts
from metis.problem.groups import check_group
from metis.problem.placement import check_placement
from metis.problem.worth import Worth


@dataclass(frozen=True)
class Decision:
    """A placement, how long it took, and what the scheduler recorded on the way.

    Attributes:
        placement: the new containers, int [nodes, apps]; existing ones are not counted.
        seconds: wall time of the decision.
        cpu_seconds: processor time of the decision, all threads of this process together.
        trace: what the scheduler recorded (bounds, curves, steps); JSON-able values.
    """

    placement: IntArray
    seconds: float
    cpu_seconds: float
    trace: Mapping[str, Any] = field(default_factory=dict)


class Scheduler(Protocol):
    """Places a group on a cluster, given the worth of each co-location (always maximised)."""

    def place(self, group: IntArray, cluster: Cluster, worth: FloatArray | Worth) -> Decision:
        """Place `group` [apps] on `cluster`; `worth` is what one node adds, [space.size] or an oracle."""
        ...


Placed = tuple[IntArray, Mapping[str, Any]]
PlaceFunction = Callable[[IntArray, Cluster, FloatArray], Placed]
WidePlaceFunction = Callable[[IntArray, Cluster, Worth], Placed]


@dataclass(frozen=True)
class TimedScheduler:
    """A `Scheduler` made of a plain function: it measures the time and checks the placement.

    Attributes:
        name: of the scheduler, for errors.
        function: called as `function(group, cluster, worth)`; returns placement [nodes, apps] and trace. It
            takes the worth as a table (`PlaceFunction`) or an oracle (`WidePlaceFunction`), as it is given.
    """

    name: str
    function: Callable[[IntArray, Cluster, Any], Placed]

    def place(self, group: IntArray, cluster: Cluster, worth: FloatArray | Worth) -> Decision:
        """See `Scheduler.place`.

        Raises:
            InputError: the group does not fit.
            PlacementError: the function lost a container, broke capacity or a rule, or returned no
                placement.
        """
        check_group(group, cluster)
        start, cpu_start = perf_counter(), process_time()
        returned = self.function(group, cluster, worth)
        seconds, cpu_seconds = perf_counter() - start, process_time() - cpu_start
        try:
            placement, trace = returned
            placement = whole_counts(placement, self.name)
        except (TypeError, ValueError):
            raise PlacementError(f"{self.name}: must return (placement [nodes, apps], trace)") from None
        except InputError as error:
            raise PlacementError(str(error)) from None
        check_placement(placement, group, cluster, self.name)
        return Decision(placement, seconds, cpu_seconds, trace)
