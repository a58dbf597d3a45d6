"""How to explore: budget, starting design, acquisition, noise, and when to stop."""

from dataclasses import dataclass
from typing import Literal

from metis.errors import InputError
from metis.measure.journal import Patience

# here and not where they are used: settings are read by every command, and must not import scipy
Acquisition = Literal["optimistic", "thompson", "uncertainty", "random"]
Start = Literal["spread", "random", "pairs"]


@dataclass(frozen=True)
class ExploreSettings:
    """How to explore.

    Attributes:
        measurements: runs to spend at most, repeats and failed ones included.
        hours: machine hours to spend at most, at `seconds_per_measurement`; None for no limit of hours.
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
        most_runs: runs of one co-location, where they are noisy.
        noise: deviation of the log-RPS of a run; None to learn it from repeated runs.
        until_gain: stop once no further measuring can gain this share of the value; None never to.
        retries: see `Patience`; likewise `pause` (its `seconds`) and `most_rps`.
        pause: see `Patience.seconds`.
        most_rps: see `Patience.most_rps`.
        seed: of designs, draws and measurement.
    """

    measurements: int = 300
    hours: float | None = None
    seconds_per_measurement: float = 360.0
    acquisition: Acquisition = "optimistic"
    start: Start = "spread"
    start_size: int = 35
    repeats: int = 2
    per_round: int = 8
    at_once: int = 1
    optimism: float = 2.0
    bound_spreads: float = 3.0
    imagined: int = 2
    most_runs: int = 4
    noise: float | None = None
    until_gain: float | None = None
    retries: int = 2
    pause: float = 1.0
    most_rps: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "measurements": (1, 1e6),
            "seconds_per_measurement": (1e-3, 1e6),
            "start_size": (1, 1e6),
            "repeats": (0, 1000),
            "per_round": (1, 1e5),
            "at_once": (1, 1e5),
            "optimism": (0, 10),
            "bound_spreads": (0, 10),
            "imagined": (0, 1000),
            "most_runs": (1, 1000),
            "seed": (0, 2**63 - 1),
        }
        optional = {"hours": (1e-6, 1e6), "noise": (0, 1), "until_gain": (0, 1)}
        ranges |= {name: span for name, span in optional.items() if getattr(self, name) is not None}
        for name, (least, most) in ranges.items():
            if not least <= getattr(self, name) <= most:
                raise InputError(f"explore.{name} {getattr(self, name):g}: give {least:g} to {most:g}")
        for name, known in (
            ("acquisition", ("optimistic", "thompson", "uncertainty", "random")),
            ("start", ("spread", "random", "pairs")),
        ):
            if getattr(self, name) not in known:
                raise InputError(f"explore.{name} {getattr(self, name)!r}: use one of {list(known)}")
        _ = self.patience  # checks its own ranges

    @property
    def patience(self) -> Patience:
        """What to make of trouble while measuring."""
        return Patience(self.retries, self.pause, self.most_rps)

    @property
    def budget(self) -> int:
        """Runs that measurements and hours allow, at least 1."""
        if self.hours is None:
            return self.measurements
        return min(self.measurements, max(int(self.hours * 3600 / self.seconds_per_measurement + 1e-9), 1))

    def cost(self, runs: int) -> float:
        """Machine hours of `runs` runs."""
        return runs * self.seconds_per_measurement / 3600
