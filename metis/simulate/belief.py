"""Beliefs: the ensembles of all quantities that an objective needs, and a simulator made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metis.measure.profile import SHARES, Profile
from metis.problem.counts import FloatArray, IntArray
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.simulate.ensemble import COVERED, Ensemble, fit_ensemble, observe
from metis.simulate.fidelity import fidelity
from metis.simulate.simulator import Doubt, FittedSimulator

DRAWS, FEWEST_DRAWS = 24, 8  # tables that could be true, from which the error of a prediction is estimated
MOST_DRAWN = 2_000_000  # values of all of them together, where that leaves the fewest
MOST_ROWS = 800  # the cost of a fit grows with the cube of its rows


@dataclass(frozen=True)
class Belief:
    """An ensemble per quantity, all of one space and fitted to the same runs.

    Attributes:
        ensembles: by name of the quantity; at least one.
    """

    ensembles: Mapping[str, Ensemble]

    @property
    def first(self) -> Ensemble:
        """The ensemble of the first quantity."""
        return next(iter(self.ensembles.values()))

    @property
    def space(self) -> ColocationSpace:
        """The co-locations."""
        return self.first.space

    @property
    def thetas(self) -> FloatArray:
        """Hyperparameters of all quantities, in order, [quantities x apps, parameters]."""
        return np.concatenate([ensemble.thetas for ensemble in self.ensembles.values()])

    @property
    def coverage(self) -> float:
        """Share of left-out measurements inside their interval; NaN where an ensemble has too few."""
        return float(np.mean([ensemble.coverage for ensemble in self.ensembles.values()]))

    @property
    def noise(self) -> float:
        """Deviation of the logarithm of one run, of the noisiest quantity."""
        return max(ensemble.seen.noise for ensemble in self.ensembles.values())

    @property
    def seen_ids(self) -> IntArray:
        """The co-locations that were measured, int [n]."""
        return self.first.seen.ids

    @property
    def runs(self) -> IntArray:
        """Runs of each of `seen_ids`, int [n]."""
        return self.first.seen.runs

    @cached_property
    def tables(self) -> Tables:
        """The expected quantities."""
        return Tables(self.space, {name: one.expected for name, one in self.ensembles.items()})

    def draw(self, rng: np.random.Generator) -> Tables:
        """One member of every ensemble: quantities that could be the truth."""
        return Tables(self.space, {name: one.draw(rng) for name, one in self.ensembles.items()})

    def doubts(self, seed: int) -> dict[str, Doubt]:
        """What is not known, by quantity: spreads, and seeded members beside what is expected.

        `DRAWS` of them, or fewer in wide spaces.
        """
        found = {}
        for name, ensemble in self.ensembles.items():
            rng = np.random.default_rng([seed, DRAWS])
            expected = ensemble.expected
            known = np.isfinite(expected) & (expected > 0)
            count = int(np.clip(MOST_DRAWN // expected.size, FEWEST_DRAWS, DRAWS))
            draws = np.zeros((count, *expected.shape), dtype=np.float16)
            draws[:, known] = np.log(ensemble.draws(rng, count)[:, known] / expected[known])
            spread = np.where(known, ensemble.beliefs[1], 0.0)
            found[name] = Doubt(spread, draws, ensemble.calibration)
        return found

    def better(self, name: str, app: int) -> Tables:
        """The expected quantities, were one quantity of one application a standard deviation better.

        Shares such as RPS are better when larger, latencies when smaller.
        """
        changed = self.ensembles[name].scaled(app, 1.0 if name in SHARES else -1.0)
        return Tables(self.space, {**self.tables.quantities, name: changed})

    def covered(self, truth: Tables, share: float = COVERED) -> float:
        """Share of the true values of co-locations never measured that lie in the interval of `share`."""
        judged = [ensemble.judged(truth, share) for ensemble in self.ensembles.values()]
        return float(np.concatenate(judged).mean())


def fit_belief(
    space: ColocationSpace,
    ids: IntArray,
    quantities: Mapping[str, tuple[FloatArray, FloatArray]],
    noise: float | None = None,
    thetas: FloatArray | None = None,
    steps: int = 30,
    weights: FloatArray | None = None,
) -> Belief:
    """Fit an ensemble per quantity to runs.

    Args:
        space: the co-locations.
        ids: co-location of each run, int [runs].
        quantities: by name the values of the runs, [runs, apps], NaN where absent or unknown, and what each
            application reaches alone, [apps].
        noise: deviation of the logarithm of one run; None to estimate it from repeated runs.
        thetas: hyperparameters to start from, as in `Belief.thetas`; None for the prior's.
        steps: iterations of the search for better ones; 0 keeps them.
        weights: what each run counts as, [runs]; None for 1 each.
    """
    starts: list[FloatArray | None] = [None] * len(quantities)
    if thetas is not None:
        starts = list(np.split(thetas, len(quantities)))
    ensembles = {}
    for (name, (values, alone)), start in zip(quantities.items(), starts, strict=True):
        seen = observe(ids, values / alone, noise, weights)
        ensembles[name] = fit_ensemble(space, seen, start, steps, name, _known(name, values, alone))
    return Belief(ensembles)


def simulate_by_ensemble(
    profile: Profile,
    quantities: Sequence[str] = ("rps",),
    noise: float = 0.0,
    held_out: float = 0.2,
    seed: int = 0,
) -> tuple[FittedSimulator, Belief]:
    """Fit ensembles to a profile and write out what they expect as a simulator.

    Of a profile with more rows, a seeded choice of `MOST_ROWS` trains the processes; all rows are written
    over the predictions, exactly where `noise` is 0.

    Args:
        profile: what was measured.
        quantities: what to predict; the report is on the first.
        noise: deviation of the logarithm of one row; 0 for exact rows.
        held_out: share of the rows kept back once for the report; 0 to skip it.
        seed: of the rows held out and of those chosen.

    Returns:
        The simulator, with its fidelity and the coverage of its 80 % interval on rows held out, and the
        belief that it was made of.
    """
    space = profile.space
    order = np.random.default_rng(seed).permutation(len(profile))
    kept, rest = np.split(order, [round(len(order) * held_out)])
    report = {
        "measured": float((len(profile) + 1) / (space.size + (0 not in space.index(profile.colocations))))
    }
    if len(kept) > 1 and len(rest):
        first = _fitted(profile, np.sort(rest[:MOST_ROWS]), quantities[:1], noise)
        report |= _judge(first.first, profile, np.sort(kept))
    belief = _fitted(profile, np.sort(order[:MOST_ROWS]), quantities, noise)
    tables = {name: table.copy() for name, table in belief.tables.quantities.items()}
    doubts = belief.doubts(seed)
    if noise == 0:
        ids = space.index(profile.colocations)
        for name, table in tables.items():
            values = profile.quantity(name)
            # a row that was disturbed is no more than a hint
            believed = np.isfinite(values) & np.isfinite(table[ids]) & (profile.weights == 1)[:, None]
            table[ids] = np.where(believed, values, table[ids])
            doubts[name].spread[ids] = np.where(believed, 0.0, doubts[name].spread[ids])
            doubts[name].draws[:, ids] = np.where(believed, 0.0, doubts[name].draws[:, ids])
    return FittedSimulator(Tables(space, tables), report, doubts), belief


def _fitted(profile: Profile, rows: IntArray, quantities: Sequence[str], noise: float) -> Belief:
    ids = profile.space.index(profile.colocations[rows])
    values = {name: (profile.quantity(name)[rows], profile.alone(name)) for name in quantities}
    weights = None if profile.weight is None else profile.weight[rows]
    return fit_belief(profile.space, ids, values, noise, weights=weights)


def _judge(ensemble: Ensemble, profile: Profile, rows: IntArray) -> dict[str, float]:
    """Fidelity and coverage of the 80 % interval on rows that the fit did not see."""
    judged = profile.rows(rows)
    ids, values = ensemble.space.index(judged.colocations), profile.quantity(ensemble.quantity)[rows]
    present = judged.present & np.isfinite(values) & np.isfinite(ensemble.expected[ids])
    low, high = ensemble.interval(runs=1)
    inside = (values >= low[ids]) & (values <= high[ids])
    report = fidelity(values, ensemble.expected[ids], present, judged.apps)
    varied = present & (judged.colocations.sum(axis=1, keepdims=True) > 1)
    return report | {"coverage80": float(inside[varied].mean()) if varied.any() else float("nan")}


def _known(name: str, values: FloatArray, alone: FloatArray) -> FloatArray | None:
    """What applications reach alone, NaN for one whose quantity was never measured; None where all is 1.

    Of RPS also an application that was never measured is believed: to reach what it reaches alone.
    """
    if name == "rps":
        return None
    return np.where(np.isfinite(values / alone).any(axis=0), alone, np.nan)
