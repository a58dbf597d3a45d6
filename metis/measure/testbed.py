"""Testbeds, which measure what containers reach when they share a node, and which co-locations to measure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from metis.errors import InputError, SurroundingsError
from metis.measure.embedded import InterferenceModel
from metis.measure.profile import MEASURES, QUANTITIES, Profile, make_profile
from metis.problem.counts import FloatArray, IntArray
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

Choose = Literal["share", "pairs", "all", "mixes", "given"]
SMALLEST_MIX = 3  # containers; fewer are pairs


class UnmeasuredError(SurroundingsError):
    """An error of measuring: some co-locations could not be measured, though another try may succeed.

    Attributes:
        failed: id of a co-location -> why.
        measured: the others; None where there are none.
    """

    def __init__(self, failed: Mapping[int, str], measured: Profile | None) -> None:
        super().__init__(next(iter(failed.values())))
        self.failed = dict(failed)
        self.measured = measured


class Testbed(Protocol):
    """Measures co-locations, and knows the truth where it is a model or a full profile."""

    @property
    def space(self) -> ColocationSpace:
        """What can be measured."""
        ...

    def measure(self, colocations: IntArray, seed: int, repeats: int = 1) -> Profile:
        """Measure `colocations` [n, apps], each `repeats` times (the median is kept).

        `provenance["notes"]`, where there is one, holds by id what else is recorded of a run.

        Raises:
            UnmeasuredError: some could not be measured, through a fault of theirs or of the moment.
            InputError: some can never be measured.
            SurroundingsError: the testbed cannot be reached.
        """
        ...

    def truth(self, quantities: Sequence[str] = ("rps",)) -> Tables:
        """The noiseless tables against which placements are judged, of the named quantities.

        Raises:
            InputError: the truth is not known here, or an unknown quantity.
        """
        ...


class Model(Protocol):
    """A model of interference: what containers reach when they share a node."""

    @property
    def apps(self) -> tuple[str, ...]:
        """Names of the applications, in column order."""
        ...

    def rps(self, colocations: IntArray) -> FloatArray:
        """Return the normalised RPS of each application in `colocations` [n, apps]; 0 where absent."""
        ...

    def latency(self, colocations: IntArray, rps: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return p50 and p99 in seconds, [n, apps] each, at a given throughput; NaN where unknown."""
        ...


@dataclass(frozen=True)
class EmbeddedTestbed:
    """A parametric model of interference, with seeded measurement noise.

    Attributes:
        model: the seven packaged applications, another table of coefficients, or a synthetic model.
        slots: slots of a node.
        noise: standard deviation of the logarithm of one measured RPS or latency.
    """

    model: Model
    slots: int = 8
    noise: float = 0.02

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= 1:
            raise InputError(f"testbed.noise {self.noise:g}: give 0 (none) to 1")

    @cached_property
    def space(self) -> ColocationSpace:
        """See `Testbed.space`."""
        return ColocationSpace(self.model.apps, self.slots)

    def measure(self, colocations: IntArray, seed: int, repeats: int = 1) -> Profile:
        """See `Testbed.measure`. Noise depends on seed and co-location, not on the order; alone, RPS is 1."""
        rps = self.model.rps(colocations)
        p50, p99 = self.model.latency(colocations, rps)
        present = colocations > 0
        draws = _standard_normal(self.space.index(colocations), seed, repeats, rps.shape[1])
        noise = np.exp(self.noise * np.median(draws, axis=1))
        rps_noise = noise.copy()
        rps_noise[colocations.sum(axis=1) == 1] = 1.0  # what is alone is what all RPS are divided by
        measures = {
            "rps": np.where(present, rps * rps_noise, np.nan),
            # a run with fewer requests per second has longer ones
            "p50": p50 / noise,
            "p99": p99 / noise,
        }
        provenance = {"source": "embedded testbed", "seed": seed, "noise": self.noise, "repeats": repeats}
        return make_profile(self.model.apps, self.slots, colocations, measures, provenance)

    def truth(self, quantities: Sequence[str] = ("rps",)) -> Tables:
        """See `Testbed.truth`."""
        return Tables(self.space, {name: self._true(name) for name in quantities})

    def _true(self, name: str) -> FloatArray:
        """The noiseless table of one quantity, [size, apps]."""
        counts, apps = self.space.counts, len(self.space.apps)
        rps = self.model.rps(counts)
        if name == "rps":
            return rps
        if name not in QUANTITIES:
            raise InputError(f"quantity {name!r}: a testbed has {', '.join(QUANTITIES)}")
        latency = self.model.latency(counts, rps)[0 if name == "p50" else 1]
        alone = latency[self.space.index(np.eye(apps, dtype=np.int64)), range(apps)]
        table = np.where(counts > 0, alone / latency if name == "speed" else latency, 0.0)
        table[:, ~np.isfinite(alone)] = np.nan
        return table


def choose_colocations(space: ColocationSpace, share: float, seed: int) -> IntArray:
    """A seeded random share of the space, the stand-alone runs always among it, int [n, apps].

    Args:
        space: what can be measured.
        share: of the non-empty co-locations, above 0 to 1.
        seed: of the choice.
    """
    if not 0 < share <= 1:
        raise InputError(f"profile.share {share:g}: give the share of co-locations to measure, above 0 to 1")
    space.require_tables()
    alone = space.index(np.eye(len(space.apps), dtype=np.int64))
    others = np.setdiff1d(np.arange(1, space.size), alone)
    wanted = max(round(share * (space.size - 1)) - len(alone), 0)
    drawn = np.random.default_rng(seed).permutation(others)[:wanted]
    return np.asarray(space.counts[np.sort(np.concatenate([alone, drawn]))])


def draw_mixes(space: ColocationSpace, count: int, seed: int) -> IntArray:
    """Draw mixes of many applications, which show what few containers together do not, int [count, apps].

    Each container is of any application, as likely. Two of three mixes fill the node, the others hold
    `SMALLEST_MIX` containers or more. A longer draw begins with a shorter one; a mix may come twice.

    Args:
        space: what can be measured; it need not be tabulated.
        count: of mixes.
        seed: of the draw.
    """
    rng = np.random.default_rng([seed, space.slots])
    mixes = np.zeros((count, len(space.apps)), dtype=np.int64)
    for i, mix in enumerate(mixes):
        held = space.slots if i % 3 else int(rng.integers(min(SMALLEST_MIX, space.slots), space.slots + 1))
        np.add.at(mix, rng.integers(0, len(mix), held), 1)
    return mixes


def list_colocations(
    space: ColocationSpace,
    choose: Choose,
    *,
    share: float = 1.0,
    seed: int = 0,
    mixes: int = 0,
    given: IntArray | None = None,
) -> IntArray:
    """The co-locations to measure, int [n, apps], in the order of the space, each once.

    The stand-alone runs of all applications are always among them; of `given` ones, those of their
    applications.

    Args:
        space: what can be measured.
        choose: a seeded random `share` of the space, all `pairs` (two containers, alike or not), `all`,
            `mixes` alone, or those `given`. Of pairs and mixes the space need not be tabulated.
        share: see `choose_colocations`.
        seed: of the share and of mixes.
        mixes: drawn by `draw_mixes`, beside the pairs.
        given: counts [n, apps].

    Raises:
        InputError: a share that is none, or given co-locations that do not fit a node or hold nothing.
    """
    if choose == "share":
        return choose_colocations(space, share, seed)
    if choose == "all":
        return np.asarray(space.counts[1:])
    if choose in ("pairs", "mixes"):
        one = np.eye(len(space.apps), dtype=np.int64)
        parts = [one, draw_mixes(space, mixes, seed)]
        if choose == "pairs" and space.slots > 1:
            parts.append((one[:, None] + one)[np.triu_indices(len(one))])
        return space.rows(np.unique(space.index(np.concatenate(parts))))
    if given is None or not len(given):
        raise InputError("profile.colocations: give at least one co-location, as counts per application")
    ids = space.index(given)
    if (ids == 0).any():
        raise InputError(f"profile.colocations: row {int(np.argmin(ids))} holds no container")
    alone = space.index(np.eye(len(space.apps), dtype=np.int64)[np.asarray(given).any(axis=0)])
    return space.rows(np.unique(np.concatenate([alone, ids])))


def join_profiles(first: Profile, second: Profile, provenance: Mapping[str, Any]) -> Profile:
    """Both profiles' rows; repeated co-locations are merged by their median, the largest spread is kept.

    Raises:
        InputError: a profile distinguishes node types.
    """
    refuse_types(first, "joining profiles")
    refuse_types(second, "joining profiles")
    measures = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in MEASURES}
    colocations = np.concatenate([first.colocations, second.colocations])
    joined = make_profile(
        first.apps, first.slots, colocations, measures, provenance, joined_conditions([first, second])
    )
    spread = np.full(joined.rps.shape, np.nan) if joined.spread is None else joined.spread.copy()
    for part in (first, second):
        if part.spread is not None:
            at = np.searchsorted(joined.space.index(joined.colocations), part.space.index(part.colocations))
            spread[at] = np.fmax(spread[at], part.spread)
    return replace(joined, spread=spread if np.isfinite(spread).any() else None)


def joined_conditions(profiles: Sequence[Profile]) -> dict[str, FloatArray]:
    """How the rows of profiles were measured, one after the other; see `make_profile`."""
    unknown = {name: values for one in profiles for name, values in unknown_conditions(one, 1).items()}
    return {
        name: np.concatenate(
            [one.conditions.get(name, np.repeat(unknown[name], len(one), axis=0)) for one in profiles]
        )
        for name in unknown
    }


def unknown_conditions(profile: Profile, rows: int) -> dict[str, FloatArray]:
    """Conditions of rows of which none are known, of those that a profile has; see `make_profile`."""
    return {
        name: np.full((rows, *values.shape[1:]), 1.0 if name == "weight" else np.nan)
        for name, values in profile.conditions.items()
    }


def refuse_types(profile: Profile, by: str) -> None:
    """Refuse a profile of several node types where they would be taken for one.

    Raises:
        InputError: names the types, and what does not distinguish them.
    """
    if profile.types:
        raise InputError(
            f"a profile of node types ({', '.join(profile.types)}): {by} does not distinguish them; give one "
            "without the column type"
        )


def load_embedded(path: Path | None = None, slots: int = 8, noise: float = 0.02) -> EmbeddedTestbed:
    """The embedded testbed of the packaged seven applications, or of another table of coefficients."""
    return EmbeddedTestbed(InterferenceModel.load(path), slots, noise)


def _standard_normal(ids: IntArray, seed: int, repeats: int, apps: int) -> FloatArray:
    """Noise of each co-location from its own generator, [n, repeats, apps]."""
    return np.stack([np.random.default_rng([seed, int(i)]).standard_normal((repeats, apps)) for i in ids])
