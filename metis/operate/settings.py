"""Settings of moves, and of a simulated week: which containers move, how many, at what price."""

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge, Gt, Le, Len, Lt

from metis.errors import InputError
from metis.settings import Seed, Share, settings

# the same numbers as of the program, which these settings must not import: HiGHS, half a second
GAP, TIME_LIMIT, STARTUP = 2e-4, 60.0, 10.0
DAY = 24  # hours
PLANNING = tuple(f"rebalance.{name}" for name in ("stay", "unavailable", "startup", "gap", "time_limit"))
POLICIES = ("first_fit", "spread", "greedy", "greedy+rebalance", "greedy+descheduler", "metis")


@settings("rebalance")
class RebalanceSettings:
    """How what runs is improved by moves.

    Attributes:
        stay: applications whose containers may not move.
        unavailable: containers of an application that may be down at once, stopped before their new copy
            starts, where two that change places find no free slot; with 0 such a plan has no safe order.
        startup: seconds from a container's start until it responds: for all, or by application (10 for
            others).
        gap: share of the proven bound that a plan may miss; of one that is estimated 0.001 at least.
        time_limit: seconds for one number of moves.
        guard: with `apply`: confidence at which what runs must measure worse after a wave than before it,
            and than was predicted, for the wave to be undone and the moves to end.
        repeats: with `apply`: loads of what runs before the moves and after each wave; how much they differ
            is how sure a change is, so that with 1 no wave is ever undone for what it measures.
        failures: with `apply`: share of the requests during a wave that may fail; more undo it.
        back: with `apply`: undo the moves that were made last, or that are under way, wave by wave.
    """

    stay: tuple[str, ...] = ()
    unavailable: Annotated[int, Ge(0), Le(1_000_000)] = 0
    startup: Annotated[float, Ge(0), Le(1e6)] | Mapping[str, float] = STARTUP
    gap: Annotated[float, Ge(0), Le(0.5)] = GAP
    time_limit: Annotated[float, Gt(0), Le(1e6)] = TIME_LIMIT
    guard: Annotated[float, Gt(0), Lt(1)] = 0.95
    repeats: Annotated[int, Ge(1), Le(100)] = 2
    failures: Share = 0.01
    back: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.startup, Mapping):
            for app, seconds in self.startup.items():
                if not 0 <= seconds < float("inf"):
                    raise InputError(f"rebalance.startup.{app} {seconds:g}: give seconds, 0 or more")


@settings("week")
class WeekSettings:
    """A simulated life of a cluster, and the policies that look after it.

    Attributes:
        policies: side by side.
        hours: that are simulated.
        load: share of the slots that is taken, in the mean.
        life: hours that a container runs, in the mean.
        life_spread: factor by which an application's containers may live longer or shorter than that.
        rhythm: by which share more arrives at the busiest hour of a day, and less at the quietest.
        node_life: hours until a node fails, in the mean; null: nodes never do.
        repair: hours until it returns, in the mean.
        drift: how far the interference that an application suffers strays: deviation of its logarithm.
        drift_hours: hours in which it forgets most of where it was.
        lag: hours until policies know of drift.
        slo: share of the stand-alone RPS that a container should reach.
        moves: containers that a policy may move in an hour, at most.
        ahead: hours of arrivals for which `metis` keeps room.
        move_cost: what `metis` counts a move as: hours of a container's stand-alone RPS that it must gain
            before it is likely to be undone by what comes and goes.
        rest: hours for which `metis` gives no container back to a node that gave one of its kind away.
        seed: of the life.
    """

    policies: Annotated[tuple[str, ...], Len(min_length=1)] = POLICIES
    hours: Annotated[int, Ge(1), Le(10_000)] = 7 * DAY
    load: Annotated[float, Gt(0), Le(0.9)] = 0.6
    life: Annotated[float, Ge(1), Le(1e6)] = 48.0
    life_spread: Annotated[float, Ge(1), Le(100)] = 3.0
    rhythm: Annotated[float, Ge(0), Le(1)] = 0.3
    node_life: Annotated[float, Ge(1), Le(1e9)] | None = 720.0
    repair: Annotated[float, Ge(1), Le(1e6)] = 6.0
    drift: Annotated[float, Ge(0), Le(2)] = 0.2
    drift_hours: Annotated[float, Ge(1), Le(1e6)] = 48.0
    lag: Annotated[int, Ge(0), Le(10_000)] = 6
    slo: Annotated[float, Gt(0), Le(10)] = 0.9
    moves: Annotated[int, Ge(0), Le(1_000_000)] = 3
    ahead: Annotated[float, Ge(0), Le(1000)] = 3.0
    move_cost: Annotated[float, Ge(0), Le(1e6)] = 0.3
    rest: Annotated[int, Ge(0), Le(10_000)] = DAY
    seed: Seed = 0


@settings("trial")
class TrialSettings:
    """Schedulers tried against one another on live machines.

    Attributes:
        rounds: at most; in each one every placement is deployed and measured once.
        seconds: after which no further placement is deployed; None for no limit.
        early: whether the trial ends as soon as every interval has separated from 0. Its intervals are wider
            for that: they hold at whichever round it ends.
        alone: whether the trial measures stand-alone RPS itself, at its start and after its rounds; else
            those of the profile are taken, where it has them of all that is placed.
        units: applications that are loaded alone again after each round, in turn, so that RPS are shares of
            what an application serves alone at about the same time: at most those of the group; 0: none
            after the start. Each one costs a load. null: 1 where the trial measures stand-alone RPS.
        repeats: loads of a placement while it is deployed; their mean counts.
        seed: of the order.
    """

    rounds: Annotated[int, Ge(2), Le(200)] = 20
    seconds: Annotated[float, Gt(0), Le(1e6)] | None = None
    early: bool = True
    alone: bool = False
    units: Annotated[int, Ge(0), Le(1000)] | None = None
    repeats: Annotated[int, Ge(1), Le(100)] = 1
    seed: Seed = 0

    @property
    def units_a_round(self) -> int:
        """Applications that are loaded alone after each round, where the trial measures that."""
        return 1 if self.units is None else self.units
