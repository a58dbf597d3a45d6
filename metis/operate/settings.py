"""Settings of moves: which containers move, how many at a time, how long a plan may take to find."""

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge, Gt, Le

from metis.errors import InputError
from metis.settings import settings

# the same numbers as of the program, which these settings must not import: HiGHS, half a second
GAP, TIME_LIMIT, STARTUP = 2e-4, 60.0, 10.0


@settings("rebalance")
class RebalanceSettings:
    """How what runs is improved by moves.

    Attributes:
        stay: applications whose containers may not move.
        unavailable: containers of an application that may be down at once, stopped before their new copy
            starts, where two that change places find no free slot; with 0 such a plan has no safe order.
        startup: seconds from a container's start until it responds: for all, or by application (10 for
            others).
        gap: share of the proven bound that a plan may miss.
        time_limit: seconds for one number of moves.
    """

    stay: tuple[str, ...] = ()
    unavailable: Annotated[int, Ge(0), Le(1_000_000)] = 0
    startup: Annotated[float, Ge(0), Le(1e6)] | Mapping[str, float] = STARTUP
    gap: Annotated[float, Ge(0), Le(0.5)] = GAP
    time_limit: Annotated[float, Gt(0), Le(1e6)] = TIME_LIMIT

    def __post_init__(self) -> None:
        if isinstance(self.startup, Mapping):
            for app, seconds in self.startup.items():
                if not 0 <= seconds < float("inf"):
                    raise InputError(f"rebalance.startup.{app} {seconds:g}: give seconds, 0 or more")
