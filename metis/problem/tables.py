"""Quantities of every co-location of a space, written out as tables."""

from dataclasses import dataclass

from metis.errors import InputError
from metis.problem.counts import FloatArray
from metis.problem.space import ColocationSpace


@dataclass(frozen=True)
class Tables:
    """A simulator written out over a whole space.

    Attributes:
        space: the co-locations, in order.
        rps: normalised RPS per application, float64 [size, apps]; 0 where absent.
        speed: stand-alone p99 latency / p99 latency, float64 [size, apps]; 0 where absent, a column of
            NaN for an application whose latency was not measured. None without any latency.
    """

    space: ColocationSpace
    rps: FloatArray
    speed: FloatArray | None = None

    def __post_init__(self) -> None:
        shape = (self.space.size, len(self.space.apps))
        if self.rps.shape != shape or (self.speed is not None and self.speed.shape != shape):
            raise InputError(f"tables of shape {self.rps.shape}: this space needs {shape}")
