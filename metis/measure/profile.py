"""Profiles: measured co-locations, saved in one `.npz` schema without pickle."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metis.errors import InputError
from metis.files import save_arrays
from metis.inputs.sheet import Sheet, sheet_of
from metis.measure.circumstances import summary
from metis.measure.measurement_sheet import Measurements, alone_by_type, measurements_of
from metis.problem.counts import FloatArray, IntArray, describe_colocation
from metis.problem.space import ColocationSpace

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "metis-profile-1"
REACH = 1.96  # standard deviations to either end of a 95 % interval
MEASURES = ("rps", "p50", "p99", "requests", "failures")
SHARES = ("rps", "speed")  # quantities that are shares of what an application reaches alone
QUANTITIES = (*SHARES, "p50", "p99")  # what can be simulated
CONDITIONS = ("weight", "circumstances", "width")  # how rows were measured, where that is known


@dataclass(frozen=True)
class Profile:
    """Measured co-locations.

    Attributes:
        apps: names of the applications, one per column.
        slots: slots of a node while measuring.
        colocations: counts, int [n, apps]; each co-location once.
        rps: normalised RPS per application, float64 [n, apps]; NaN where absent.
        p50: median latency in seconds, [n, apps]; NaN where absent or not measured.
        p99: 99th percentile of latency in seconds, likewise.
        requests: number of requests, [n, apps]; NaN where unknown.
        failures: number of failed requests, [n, apps]; NaN where unknown.
        provenance: where it comes from; JSON-able.
        spread: (largest - smallest) / median RPS over repeated runs, [n, apps]; NaN where there was one run
            or the application is absent; None where no co-location was run twice.
        weight: share of an undisturbed measurement that a row counts as in fitting, float64 [n], above 0 to
            1; None for 1 each.
        circumstances: what else went on while a row was measured, in the order of
            `metis.measure.circumstances.KEPT`, float64 [n, circumstances]; NaN where unknown; None where of
            no row anything is known.
        types: profiles of the nodes of single types, of the same applications and slots, where types were
            distinguished: this one then holds the median over them of each co-location.
        pace: of the nodes of one type, what each application reaches alone there as a share of what it
            reaches on the type where that is most, [apps]; NaN where it was not measured alone there. Of all
            types together the median. None without types.
        width: half the width of the 95 % interval of RPS within its measurement, as a share of it, [n, apps];
            NaN where unknown; None where no measurement has one.
    """

    apps: tuple[str, ...]
    slots: int
    colocations: IntArray
    rps: FloatArray
    p50: FloatArray
    p99: FloatArray
    requests: FloatArray
    failures: FloatArray
    provenance: Mapping[str, Any] = field(default_factory=dict)
    spread: FloatArray | None = None
    weight: FloatArray | None = None
    circumstances: FloatArray | None = None
    types: Mapping[str, "Profile"] = field(default_factory=dict)
    pace: FloatArray | None = None
    width: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.colocations)

    @property
    def present(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Where an application is in a co-location, bool [n, apps]."""
        return self.colocations > 0

    @property
    def space(self) -> ColocationSpace:
        """The space these co-locations are from."""
        return ColocationSpace(self.apps, self.slots)

    @property
    def speed(self) -> FloatArray:
        """Stand-alone p99 / p99, [n, apps]; NaN where absent or without either latency."""
        return np.asarray(self.alone("p99") / self.p99)

    @property
    def noise(self) -> float:
        """Standard deviation of the logarithm of one run's RPS, as its own interval or repeated runs show.

        The larger of both; 0 without either. Half the mean square of the difference of two runs is their
        variance; a co-location that was run more often differs by more, and counts as if it was run twice.
        """
        own = 0.0
        if self.width is not None and (known := self.width[np.isfinite(self.width)]).size:
            own = min(float(np.sqrt(np.mean(known**2))) / REACH, 1.0)
        if self.spread is None:
            return own
        varied = np.isfinite(self.spread) & (self.colocations.sum(axis=1, keepdims=True) > 1)
        repeated = float(np.sqrt(np.mean(self.spread[varied] ** 2) / 2)) if varied.any() else 0.0
        return max(repeated, own)

    def quantity(self, name: str) -> FloatArray:
        """A quantity by name: `rps`, `speed`, `p50` or `p99`, float64 [n, apps]; NaN where absent or unknown.

        Raises:
            InputError: there is no such quantity.
        """
        if name not in QUANTITIES:
            raise InputError(f"quantity {name!r}: a profile has {', '.join(QUANTITIES)}")
        return np.asarray(getattr(self, name))

    def alone(self, name: str) -> FloatArray:
        """What each application reaches alone on a node, by quantity, float64 [apps]; NaN where not measured.

        Of `rps` and `speed` that is 1: they are shares of it.
        """
        if name in SHARES:
            return np.ones(len(self.apps))
        values, found = self.quantity(name), np.full(len(self.apps), np.nan)
        single = self.colocations.sum(axis=1) == 1
        rows, columns = np.nonzero(self.colocations[single])
        found[columns] = values[single][rows, columns]
        return found

    def rows(self, chosen: Any) -> "Profile":
        """The profile of some of its rows; types are no longer distinguished."""
        parts = {name: getattr(self, name)[chosen] for name in ("colocations", *MEASURES)}
        known = {name: getattr(self, name) for name in ("spread", *CONDITIONS)}
        parts |= {name: values[chosen] for name, values in known.items() if values is not None}
        return Profile(self.apps, self.slots, **parts, provenance=self.provenance, types={}, pace=self.pace)

    @property
    def weights(self) -> FloatArray:
        """What each row counts as in fitting, float64 [n]."""
        return np.ones(len(self)) if self.weight is None else self.weight

    @property
    def conditions(self) -> dict[str, FloatArray]:
        """What is known of how the rows were measured, by name, for `make_profile`."""
        found = {name: getattr(self, name) for name in CONDITIONS}
        return {name: values for name, values in found.items() if values is not None}

    def on(self, slots: int) -> "Profile":
        """The same measurements for nodes of `slots` slots: rows that no longer fit are left out."""
        fits = self.colocations.sum(axis=1) <= slots
        types = {name: one.on(slots) for name, one in self.types.items()}
        types = {name: one for name, one in types.items() if len(one)}
        return replace(self.rows(fits), slots=slots, types=types)

    @classmethod
    def from_frame(
        cls, frame: "pd.DataFrame", slots: int | None = None, apps: tuple[str, ...] | None = None
    ) -> "Profile":
        """A profile of measurements in a data frame, wide or long as `measurements_of` describes.

        RPS are divided by those of the rows in which one container is alone; repeats are merged.

        Args:
            frame: the measurements; named index levels are columns too.
            slots: of a node; None for the largest row.
            apps: names in the order wanted; None for that of the frame.

        Raises:
            InputError: a column or cell that makes no sense, or an application that was not measured alone;
                names row and column.
        """
        return profile_of_sheet(sheet_of(frame), slots=slots, apps=apps)

    def save(self, path: Path | str) -> None:
        """Write the profile as `.npz`, whole or not at all; `profile_files.load_profile` reads it."""
        arrays = {name: getattr(self, name) for name in ("colocations", *MEASURES)}
        arrays |= {"spread": self.spread} if self.spread is not None else {}
        arrays |= self.conditions
        heading = {
            "format": np.array(FORMAT),
            "apps": np.array(self.apps),
            "slots": np.array(self.slots),
            "provenance": np.array(json.dumps(self.provenance)),
        }
        save_arrays(Path(path), heading | arrays | self._arrays_of_types())

    def _arrays_of_types(self) -> dict[str, Any]:
        """Return the rows of all types one after another, and the number of the type of each."""
        if not self.types:
            return {}
        parts = list(self.types.values())
        unrepeated = [np.full(one.rps.shape, np.nan) if one.spread is None else one.spread for one in parts]
        return {
            "types": np.array(list(self.types)),
            "type_of": np.repeat(np.arange(len(parts)), [len(one) for one in parts]),
            "type_pace": np.stack([one.pace for one in parts if one.pace is not None]),
            "type_spread": np.concatenate(unrepeated),
            **{
                f"type_{name}": np.concatenate([getattr(one, name) for one in parts])
                for name in ("colocations", *MEASURES)
            },
        }


def make_profile(
    apps: tuple[str, ...],
    slots: int,
    colocations: IntArray,
    measures: Mapping[str, FloatArray],
    provenance: Mapping[str, Any],
    conditions: Mapping[str, FloatArray] | None = None,
) -> Profile:
    """A profile from raw rows: repeated co-locations are merged by their median, their spread is kept.

    Of a co-location with rows of weight 1, those of less weight do not count.

    Args:
        apps: names, one per column.
        slots: slots of a node.
        colocations: int [rows, apps], repeats allowed.
        measures: `rps` and any of `p50`, `p99`, `requests`, `failures`, each [rows, apps].
        provenance: where it comes from.
        conditions: of the rows, any of `weight` [rows] and `circumstances` [rows, circumstances].
    """
    ids = ColocationSpace(apps, slots).index(colocations)
    conditions = conditions or {}
    if (weight := conditions.get("weight")) is not None and (weight < 1).any():
        counts = (weight == 1) | ~np.isin(ids, ids[weight == 1])
        if not counts.all():
            measures = {name: np.asarray(values)[counts] for name, values in measures.items()}
            conditions = {name: values[counts] for name, values in conditions.items()}
            ids, colocations = ids[counts], colocations[counts]
    unique, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    bounds = np.searchsorted(inverse[order], np.arange(len(unique) + 1))
    repeated = np.flatnonzero(np.diff(bounds) > 1)
    merged = {}
    for name in MEASURES:
        rows = np.asarray(measures.get(name, np.full(colocations.shape, np.nan)), dtype=np.float64)
        values = rows[first].copy()
        for i in repeated:
            values[i] = median_known(rows[order[bounds[i] : bounds[i + 1]]])
        values[colocations[first] == 0] = np.nan
        merged[name] = values
    spread = np.full(merged["rps"].shape, np.nan)
    for i in repeated:
        runs = np.asarray(measures["rps"])[order[bounds[i] : bounds[i + 1]]]
        positive = merged["rps"][i] > 0  # NaN, where absent, compares as false
        spread[i, positive] = np.ptp(runs[:, positive], axis=0) / merged["rps"][i, positive]
    known = {name: rows[first].copy() for name, rows in conditions.items()}
    for name, rows in conditions.items():
        for i in repeated:
            chosen = rows[order[bounds[i] : bounds[i + 1]]]
            known[name][i] = chosen.mean() if name == "weight" else median_known(chosen)
    if "weight" in known and (known["weight"] == 1).all():
        del known["weight"]
    return Profile(
        apps,
        slots,
        colocations[first],
        **merged,
        provenance=provenance,
        spread=spread if repeated.size else None,
        types={},
        **known,
    )


def profile_of_sheet(
    sheet: Sheet,
    slots: int | None = None,
    apps: tuple[str, ...] | None = None,
    folder: Path | None = None,
) -> Profile:
    """A profile of tabulated measurements, RPS divided by stand-alone, repeats merged.

    Args:
        sheet: see `measurements_of`, which has `apps`, `slots` and `folder`, too.
        slots: of a node; None for the largest row.
        apps: names in the order wanted; None for that of the table.
        folder: that result files are relative to; None refuses them.

    Raises:
        InputError: see `measurements_of` and `Measurements.alone`.
    """
    measured = measurements_of(sheet, apps, slots, folder)
    of = slots or int(measured.counts.sum(axis=1).max())
    provenance = {"source": Path(sheet.name).name, "rows": len(sheet)}
    if not measured.types:
        return _of_one_type(measured, measured.alone(), of, provenance)
    parts = measured.by_type()
    alone = alone_by_type(parts)
    types = {
        name: _of_one_type(part, reached, of, provenance)
        for (name, part), reached in zip(parts.items(), alone, strict=True)
    }
    return join_types(types, alone, provenance)


def _of_one_type(
    measured: Measurements, alone: FloatArray, slots: int, provenance: Mapping[str, Any]
) -> Profile:
    reached = zip(measured.apps, alone.tolist(), strict=True)
    said = ", ".join(f"{app} {rps:g}" for app, rps in reached if rps == rps)
    shares = measured.normalised(alone)
    return make_profile(shares.apps, slots, shares.counts, shares.measures, {**provenance, "rps_alone": said})


def join_types(types: Mapping[str, Profile], alone: FloatArray, provenance: Mapping[str, Any]) -> Profile:
    """Join profiles of nodes of single types.

    Args:
        types: by name; RPS are shares of what an application reaches alone on nodes of that type.
        alone: what it reaches alone, in the same unit on all types, float64 [types, apps]; NaN where that
            was not measured.
        provenance: where they come from.

    Returns:
        A profile that holds of each co-location the median over the types, and `types` with their `pace`.
    """
    parts = list(types.values())
    best = np.array([np.nanmax(column) if np.isfinite(column).any() else np.nan for column in alone.T])
    pace = alone / best
    colocations = np.concatenate([one.colocations for one in parts])
    measures = {name: np.concatenate([getattr(one, name) for one in parts]) for name in MEASURES}
    for name in ("p50", "p99"):  # seconds of machines that are as slow as the median
        reached = np.stack([one.alone(name) for one in parts])
        slower = np.repeat(median_known(reached) / reached, [len(one) for one in parts], axis=0)
        measures[name] *= np.where(np.isfinite(slower), slower, 1.0)
    joined = make_profile(parts[0].apps, parts[0].slots, colocations, measures, provenance)
    ids = joined.space.index(joined.colocations)
    spread = np.full(joined.rps.shape, np.nan)  # of repeated runs, not of types
    for one in parts:
        if one.spread is not None:
            at = np.searchsorted(ids, one.space.index(one.colocations))
            spread[at] = np.fmax(spread[at], one.spread)
    return replace(
        joined,
        spread=spread if np.isfinite(spread).any() else None,
        types={name: replace(one, pace=pace[t]) for t, (name, one) in enumerate(types.items())},
        pace=median_known(pace),
    )


def median_known(rows: FloatArray) -> FloatArray:
    """Return the median of each column over the values that are known, [columns]; NaN where none is."""
    known = np.isfinite(rows).any(axis=0)
    result = np.full(rows.shape[1], np.nan)
    result[known] = np.nanmedian(rows[:, known], axis=0)
    return result


def describe_profile(profile: Profile) -> dict[str, Any]:
    """A summary of a profile, JSON-able: applications, rows, coverage, spread, provenance.

    `space` and `coverage` count the co-locations that hold a container: a complete profile covers 1.
    """
    held = profile.colocations.sum(axis=1)
    largest = profile.colocations[held.argmax()]
    measured, measurable = int((held > 0).sum()), profile.space.size - 1  # on an empty node nothing runs
    return {
        "apps": list(profile.apps),
        "slots": profile.slots,
        "colocations": measured,
        "space": measurable,
        "coverage": measured / measurable,
        "largest": describe_colocation(largest, profile.apps),
        **({"types": {name: len(one) for name, one in profile.types.items()}} if profile.types else {}),
        **_spread_in_words(profile),
        **_circumstances_of(profile),
        **profile.provenance,
    }


def never_measured(profile: Profile) -> tuple[str, ...]:
    """The applications of which a profile holds no measurement at all."""
    return tuple(app for a, app in enumerate(profile.apps) if not np.isfinite(profile.rps[:, a]).any())


def _circumstances_of(profile: Profile) -> dict[str, Any]:
    """Median and worst of what else went on while measuring; nothing where nothing is known."""
    if profile.circumstances is None:
        return {}
    return {"circumstances": summary(profile.circumstances, profile.weight, profile.width)}


def _spread_in_words(profile: Profile) -> dict[str, Any]:
    """Median and largest spread of repeated runs; nothing where there are none."""
    if profile.spread is None or not np.isfinite(profile.spread).any():
        return {}
    row = int(np.nanargmax(np.where(np.isfinite(profile.spread), profile.spread, -1).max(axis=1)))
    return {
        "spread": float(np.nanmedian(profile.spread)),
        "spread_most": float(np.nanmax(profile.spread)),
        "spread_most_in": describe_colocation(profile.colocations[row], profile.apps),
    }
