"""Settings of an exploration: budget, starting design, acquisition, noise, and when to stop."""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le

from metis.errors import InputError
from metis.measure.journal import Patience
from metis.settings import Reading, Seed, settings

# here and not where they are used: settings are read by every command, and must not import scipy
Acquisition = Literal["optimistic", "thompson", "uncertainty", "random"]
Start = Literal["spread", "random", "pairs"]


def _share(given: Any) -> Any:
    """A share that may be written as a percentage: 0.005 for `0.5%`."""
    if not isinstance(given, str):
        return given
    try:
        return float(given.strip()[:-1]) / 100 if given.strip().endswith("%") else float(given)
    except ValueError:
        raise InputError(f"explore.until_gain {given!r}: give a share such as 0.005 or 0.5%") from None


@settings("explore")
class ExploreSettings:
    """What an exploration may spend, and how it chooses what to measure.

    Attributes:
        budget: runs to spend at most, repeats and failed ones included.
        hours: machine hours to spend at most, at `seconds_per_measurement`; null for no limit of hours.
        seconds_per_measurement: what one run costs on one machine.
        acquisition: `optimistic`, `thompson`, or the controls `uncertainty` and `random`.
        start: starting design: `spread` over the space, `pairs` or `random`; stand-alone runs always.
        start_size: co-locations of the starting design.
        repeats: co-locations of the starting design that are run twice, to learn the noise of a run.
        per_round: co-locations measured between two fits.
        at_once: co-locations handed to the testbed in one call, as many as it has workers.
        optimism: spreads added to the mean of a co-location's worth before plans that propose.
        bound_spreads: spreads added to it for the bound on what measuring could still gain.
        imagined: groups like the given ones that are planned for when the given ones propose too little.
        most_runs: runs of one co-location, where they are noisy, before the rest that `confirm` keeps.
        confirm: share of the budget that is kept for the end: to run again what the plans use, where runs are
            noisy, because what looks best is what was lucky.
        noise: deviation of the logarithm of one run's RPS or latency; null to learn it from repeated runs.
        until_gain: stop once no further measuring can gain this share of the value, such as 0.5%; null to
            spend the budget.
        retries: further runs of a co-location whose measurement is absurd, and further calls of a testbed
            that cannot be reached.
        pause: seconds before the first further call of such a testbed; it doubles each time.
        most_rps: normalised RPS above which a measurement is absurd.
        disturbed: further runs of a co-location whose measurement something that is not ours disturbed (see
            `load.most_taken`); when they are used up, the disturbed ones count, with less weight.
        seed: of designs, draws and measurement.
    """

    budget: Annotated[int, Ge(1), Le(1_000_000)] = 150
    hours: Annotated[float, Ge(1e-6), Le(1e6)] | None = None
    seconds_per_measurement: Annotated[float, Ge(1e-3), Le(1e6)] = 360.0
    acquisition: Acquisition = "optimistic"
    start: Start = "spread"
    start_size: Annotated[int, Ge(1), Le(1_000_000)] = 35
    repeats: Annotated[int, Ge(0), Le(1000)] = 2
    per_round: Annotated[int, Ge(1), Le(100_000)] = 8
    at_once: Annotated[int, Ge(1), Le(100_000)] = 1
    optimism: Annotated[float, Ge(0), Le(10)] = 2.0
    bound_spreads: Annotated[float, Ge(0), Le(10)] = 3.0
    imagined: Annotated[int, Ge(0), Le(1000)] = 2
    most_runs: Annotated[int, Ge(1), Le(1000)] = 4
    confirm: Annotated[float, Ge(0), Le(1)] = 0.3
    noise: Annotated[float, Ge(0), Le(1)] | None = None
    until_gain: Annotated[Annotated[float, Ge(0), Le(1)] | None, Reading(_share)] = None
    retries: Annotated[int, Ge(0), Le(100)] = 2
    pause: Annotated[float, Ge(0), Le(3600)] = 1.0
    most_rps: Annotated[float, Gt(1), Le(1e6)] = 20.0
    disturbed: Annotated[int, Ge(0), Le(100)] = 1
    seed: Seed = 0

    @property
    def patience(self) -> Patience:
        """How trouble while measuring is met."""
        return Patience(self.retries, self.pause, self.most_rps, self.disturbed)

    @property
    def runs(self) -> int:
        """Runs that budget and hours allow, at least 1."""
        if self.hours is None:
            return self.budget
        return min(self.budget, max(int(self.hours * 3600 / self.seconds_per_measurement + 1e-9), 1))

    def cost(self, runs: int) -> float:
        """Machine hours of `runs` runs."""
        return runs * self.seconds_per_measurement / 3600
