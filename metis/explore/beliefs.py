"""Beliefs that plans are made on: low-rank models, with Gaussian processes on top where tables can be held.

A low-rank model says what is expected of co-locations that were not measured, also of those that hold an
application of which little is known. Where all co-locations are tabulated, Gaussian processes learn what it
misses: what a measured co-location deviates by, those near it are expected to deviate by, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from metis.measure.profile import SHARES, Profile
from metis.problem.counts import FloatArray, IntArray
from metis.problem.oracle import Oracle
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.simulate.belief import Belief
from metis.simulate.ensemble import fit_ensemble, observe
from metis.simulate.lowrank_oracle import LowRankFits, LowRankOracle, fit_models, rows_of
from metis.simulate.settings import SimulatorSettings
from metis.simulate.simulator import SMALLEST_SHARE, Doubt, FittedSimulator

FIRST_STEPS, MORE_STEPS = 40, 10  # of the search for hyperparameters of the processes


class PlanBelief(Protocol):
    """What is believed of co-locations, and how sure."""

    def known(self, caution: float = 0.0) -> Oracle | Tables:
        """Return what is expected, every quantity worse by `caution` spreads; better where it is below 0."""
        ...

    def drawn(self, rng: np.random.Generator) -> Oracle | Tables:
        """Return what could be true."""
        ...

    def log_interval(self, rows: IntArray, name: str) -> tuple[FloatArray, FloatArray]:
        """Return expected logarithm and spread of a quantity, float64 [n, apps], for `rows` [n, apps]."""
        ...


@dataclass(frozen=True)
class OracleBelief:
    """Low-rank models alone, where co-locations are too many to tabulate.

    Attributes:
        oracle: the models.
    """

    oracle: LowRankOracle

    def known(self, caution: float = 0.0) -> Oracle | Tables:
        """See `PlanBelief.known`."""
        return self.oracle.cautious(caution)

    def drawn(self, rng: np.random.Generator) -> Oracle | Tables:
        """See `PlanBelief.drawn`."""
        members = list(self.oracle.drawn())
        return members[int(rng.integers(len(members)))]

    def log_interval(self, rows: IntArray, name: str) -> tuple[FloatArray, FloatArray]:
        """See `PlanBelief.log_interval`."""
        expected = self.oracle.quantities_of(rows, (name,))[name]
        return np.log(np.where(rows > 0, expected, 1.0)), self.oracle.spread(rows, name)


@dataclass(frozen=True)
class TableBelief:
    """Low-rank models times what processes know of their errors, and what was measured as it was.

    Attributes:
        oracle: the models.
        errors: of quantities as shares of what the models expect.
        measured: what is known.
    """

    oracle: LowRankOracle
    errors: Belief
    measured: Profile

    @cached_property
    def _expected(self) -> dict[str, FloatArray]:
        return self._with_measured(self.errors.tables)

    @cached_property
    def _spreads(self) -> dict[str, FloatArray]:
        """Standard deviations of the logarithm, 0 where measured."""
        found = {}
        ids = self.oracle.space.index(self.measured.colocations)
        for name, ensemble in self.errors.ensembles.items():
            spread = ensemble.beliefs[1].copy()
            values = self.measured.quantity(name)
            spread[ids] = np.where(np.isfinite(values), 0.0, spread[ids])
            found[name] = spread
        return found

    def _with_measured(self, shares: Tables) -> dict[str, FloatArray]:
        """Return quantities by what they are as shares of what is expected, but for what was measured."""
        found = {}
        ids = self.oracle.space.index(self.measured.colocations)
        for name, expected in self.oracle.tables.quantities.items():
            table, values = expected * shares.quantity(name), self.measured.quantity(name)
            table[ids] = np.where(np.isfinite(values), values, table[ids])
            found[name] = table
        return found

    def known(self, caution: float = 0.0) -> Oracle | Tables:
        """See `PlanBelief.known`."""
        if not caution:
            return Tables(self.oracle.space, self._expected)
        worse = {
            name: table * np.exp((-caution if name in SHARES else caution) * self._spreads[name])
            for name, table in self._expected.items()
        }
        return Tables(self.oracle.space, worse)

    def drawn(self, rng: np.random.Generator) -> Oracle | Tables:
        """See `PlanBelief.drawn`."""
        return Tables(self.oracle.space, self._with_measured(self.errors.draw(rng)))

    def log_interval(self, rows: IntArray, name: str) -> tuple[FloatArray, FloatArray]:
        """See `PlanBelief.log_interval`."""
        ids = self.oracle.space.index(rows)
        expected = np.where(rows > 0, self._expected[name][ids], 1.0)
        return np.log(np.maximum(expected, SMALLEST_SHARE)), self._spreads[name][ids]

    def simulator(self, report: dict[str, float], seed: int) -> FittedSimulator:
        """Return it written out, with what it doubts."""
        doubts = {}
        ids = self.oracle.space.index(self.measured.colocations)
        for name, doubt in self.errors.doubts(seed).items():
            measured = np.isfinite(self.measured.quantity(name))
            draws = doubt.draws.copy()
            draws[:, ids] = np.where(measured, 0.0, draws[:, ids])
            doubts[name] = Doubt(self._spreads[name], draws)
        return FittedSimulator(Tables(self.oracle.space, self._expected), report, doubts)


def fit_plan_belief(
    space: ColocationSpace,
    known: Profile,
    chosen: IntArray,
    quantities: Sequence[str],
    *,
    noise: float,
    simulator: SimulatorSettings,
    seed: int,
    before: PlanBelief | None = None,
) -> OracleBelief | TableBelief:
    """Fit a belief to rows of what is known.

    Args:
        space: the co-locations.
        known: what was measured.
        chosen: rows to fit to, int [n]; where tabulated, the others are known, too.
        quantities: what to predict.
        noise: deviation of the logarithm of one row.
        simulator: resources, and members where the space is not tabulated.
        seed: of starts and draws.
        before: an earlier one of the same space, to start from.
    """
    keys = space.index(known.colocations[chosen])
    earlier = before if isinstance(before, OracleBelief | TableBelief) else None
    fits: Mapping[str, LowRankFits] = {
        name: fit_models(
            space.apps,
            rows_of(known, name, noise, chosen),
            known.alone(name),
            resources=simulator.resources,
            members=1 if space.tabulated else simulator.members,
            seed=seed,
            keys=keys,
            before=None if earlier is None else earlier.oracle.fits[name],
        )
        for name in quantities
    }
    oracle = LowRankOracle(space, fits)
    if not space.tabulated:
        return OracleBelief(oracle.with_measured(known, noise))
    ensembles = {}
    for name, expected in oracle.tables.quantities.items():
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = known.quantity(name)[chosen] / expected[keys]
        begun = earlier.errors.ensembles[name].thetas if isinstance(earlier, TableBelief) else None
        steps = FIRST_STEPS if begun is None else MORE_STEPS
        ensembles[name] = fit_ensemble(space, observe(keys, shares, noise), begun, steps, name)
    return TableBelief(oracle, Belief(ensembles), known)
