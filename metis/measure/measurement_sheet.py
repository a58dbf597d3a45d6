"""Measurements as a person tabulates them: wide (a row per run) or long (a row per application of a run)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

import numpy as np

from metis.errors import InputError
from metis.inputs.names import LONGEST_HOST, check_names, meant
from metis.inputs.sheet import Sheet
from metis.measure.load_results import read_result
from metis.problem.counts import FloatArray, IntArray, describe_colocation

RPS = "rps"
OTHERS = ("p50", "p99", "requests", "failures")  # seconds, seconds, numbers
RUN, APP, COUNT, RESULTS = "run", "app", "count", "results"  # columns of the long form
TYPE = "type"  # of the node that was measured, in both forms
PERCENTILE = re.compile(r"p\d{2,}")
MOST_APPS = 1000
NEAR = (0.5, 2.0)  # within which repeated stand-alone runs must lie of their median


@dataclass(frozen=True)
class Measurements:
    """Runs of co-locations, repeats among them.

    Attributes:
        apps: names of the applications.
        counts: containers, int [runs, apps].
        measures: `rps` of one container, and `p50`, `p99`, `requests`, `failures`, each [runs, apps]; NaN
            where absent or not measured.
        places: where each run stands, for errors.
        types: the type of node of each run; empty where the table does not distinguish types.
    """

    apps: tuple[str, ...]
    counts: IntArray
    measures: Mapping[str, FloatArray]
    places: tuple[str, ...]
    types: tuple[str, ...] = ()

    def take(self, rows: Sequence[int] | IntArray) -> "Measurements":
        """Return the measurements of some runs."""
        chosen = np.asarray(rows, dtype=np.int64)
        return Measurements(
            self.apps,
            self.counts[chosen],
            {name: values[chosen] for name, values in self.measures.items()},
            tuple(self.places[i] for i in chosen),
            tuple(self.types[i] for i in chosen) if self.types else (),
        )

    def by_type(self) -> "dict[str, Measurements]":
        """Return the measurements of each type of node, as the table names them first."""
        return {
            name: self.take([i for i, one in enumerate(self.types) if one == name])
            for name in dict.fromkeys(self.types)
        }

    def alone(self) -> FloatArray:
        """RPS of one container alone on a node, median over its runs, [apps].

        Raises:
            InputError: an application was not measured alone, did nothing, or its runs differ by more than
                a factor of two; names it.
        """
        found = self.alone_if_measured()
        missing = [app for app, rps in zip(self.apps, found.tolist(), strict=True) if rps != rps]
        if missing:
            self.refuse_unknown(missing)
        return found

    def refuse_unknown(self, missing: Sequence[str]) -> NoReturn:
        """Refuse measurements without some applications alone.

        Raises:
            InputError: always; says what is missing.
        """
        where, or_else = "", ""
        if self.types:
            where = f" of type {self.types[0]}"
            or_else = ", or measure on another type, too, what is measured here"
        raise InputError(
            f"{self.places[0].partition(',')[0]}: no row measures {', '.join(missing)} alone: RPS are "
            f"divided by what one container reaches alone on a node{where}; add a row with 1 {missing[0]} "
            f"and nothing else{or_else}"
        )

    def alone_if_measured(self) -> FloatArray:
        """RPS of one container alone on a node, median over its runs, [apps]; NaN where not measured.

        Raises:
            InputError: an application did nothing alone, or its runs differ by more than a factor of two.
        """
        single = np.flatnonzero(self.counts.sum(axis=1) == 1)
        rps = self.measures[RPS]
        found = np.full(len(self.apps), np.nan)
        for a in np.flatnonzero(self.counts[single].any(axis=0)).tolist():
            app = self.apps[a]
            rows = single[self.counts[single, a] > 0]
            found[a] = np.median(rps[rows, a])
            if not found[a] > 0:
                raise InputError(f"{self.places[rows[0]]}: {app} alone has an RPS of {found[a]:g}")
            share = rps[rows, a] / found[a]
            odd = rows[(share < NEAR[0]) | (share > NEAR[1])]
            if odd.size:
                raise InputError(
                    f"{self.places[odd[0]]}: {app} alone reaches {rps[odd[0], a]:g} RPS, in the median of "
                    f"its stand-alone rows {found[a]:g}: measure it again, or leave the row out"
                )
        return found

    def normalised(self, alone: FloatArray) -> "Measurements":
        """The same with RPS as shares of stand-alone: those of one container alone are near 1.

        Args:
            alone: RPS of one container alone, float64 [apps]; NaN where only runs of 0 RPS are known.
        """
        rps = self.measures[RPS]
        shares = np.where(rps == 0, 0.0, rps / alone)
        return replace(self, measures={**self.measures, RPS: shares})


def alone_by_type(parts: Mapping[str, Measurements]) -> FloatArray:
    """Return the RPS of one container alone on each type of node, float64 [types, apps].

    Of an application that was not measured alone on a type it is what it does there beside others, over the
    share that it keeps in the same co-locations on other types; where it keeps nothing there, what makes it
    as slow as others are on this type in the median. NaN where it was not measured on a type, or only with
    0 RPS.

    Args:
        parts: measurements by type.

    Raises:
        InputError: an application was measured on a type neither alone nor as on another one; names it.
    """
    known = np.stack([part.alone_if_measured() for part in parts.values()])
    shares: dict[bytes, list[FloatArray]] = {}
    for part, alone in zip(parts.values(), known, strict=True):
        for counts, rps in zip(part.counts, part.measures[RPS], strict=True):
            shares.setdefault(counts.tobytes(), []).append(rps / alone)
    found = known.copy()
    for t, part in enumerate(parts.values()):
        lacking: list[int] = []
        for a in np.flatnonzero(np.isnan(known[t]) & part.counts.any(axis=0)).tolist():
            reached = part.measures[RPS][:, a]
            rows = np.flatnonzero((part.counts[:, a] > 0) & (reached > 0))
            kept = [[one[a] for one in shares[part.counts[row].tobytes()] if one[a] > 0] for row in rows]
            guesses = [rps / np.median(some) for rps, some in zip(reached[rows], kept, strict=True) if some]
            if guesses:
                found[t, a] = np.median(guesses)
            elif len(rows):
                lacking.append(a)
        if lacking:
            most = np.fmax.reduce(known, axis=0)
            found[t, lacking] = _typical(found[t] / most) * most[lacking]
        unknown = [part.apps[a] for a in lacking if not found[t, a] > 0]
        if unknown:
            part.refuse_unknown(unknown)
    return found


def _typical(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else np.nan


def measurements_of(
    sheet: Sheet, apps: tuple[str, ...] | None = None, slots: int | None = None, folder: Path | None = None
) -> Measurements:
    """The runs in a table.

    Wide: a column of counts per application and `rps_<app>`, and where measured `p50_<app>`, `p99_<app>`,
    `requests_<app>`, `failures_<app>`. Long: `run`, `app`, `count`, and `rps` with where measured `p50`,
    `p99`, `requests`, `failures`; or `results`, the file of a load generator for these containers together.
    RPS is that of one container, latencies are in seconds. Either may have a column `type`: of the node that
    was measured.

    Args:
        sheet: the table.
        apps: names in the order wanted; None for that of the table.
        slots: of a node; None for the largest row.
        folder: that files in `results` are relative to; None refuses them.

    Raises:
        InputError: a column or cell that is not as described; names line and column.
    """
    long = {APP, COUNT} <= set(sheet.header)
    found = _long(sheet, apps, folder) if long else _wide(sheet, apps)
    check_names(found.apps, f"{sheet.name}: application")
    held = found.counts.sum(axis=1)
    over = np.flatnonzero(held > slots) if slots is not None else np.array([], dtype=int)
    if over.size:
        row = int(over[0])
        raise InputError(
            f"{found.places[row]}: {describe_colocation(found.counts[row], found.apps)}: more containers "
            f"than cluster.slots {slots}"
        )
    kept = held > 0  # an empty node has nothing to measure
    if not kept.any():
        raise InputError(f"{sheet.name}: has no rows; a profile needs at least one measured co-location")
    return found.take(np.flatnonzero(kept))


def _has_types(sheet: Sheet) -> bool:
    """Whether a table distinguishes node types; an application may be called `type` as well."""
    return TYPE in sheet.header and f"{RPS}_{TYPE}" not in sheet.header


def _types(sheet: Sheet) -> tuple[str, ...]:
    """Return the type of node of each row; nothing where the table does not distinguish them."""
    if not _has_types(sheet):
        return ()
    found = sheet.texts(TYPE)
    for row, name in enumerate(found):
        if not name:
            raise InputError(f"{sheet.place(row, TYPE)}: is blank; name the type of the node")
    check_names(dict.fromkeys(found), f"{sheet.name}: {TYPE}", LONGEST_HOST)
    return tuple(found)


def _refuse_misspelt(sheet: Sheet) -> None:
    """Refuse columns such as `RPS web` and `web_rps`, as which measures are often called elsewhere.

    Raises:
        InputError: names the column and how it is to be called.
    """
    measure, apart = "|".join((RPS, *OTHERS)), "[ _.-]+"
    said = re.compile(f"(?P<before>{measure}){apart}(?P<of>.+)|(?P<by>.+){apart}(?P<after>{measure})", re.I)
    prefixes = tuple(f"{name}_" for name in (RPS, *OTHERS))
    counted = {one.partition("_")[2] for one in sheet.header if one.startswith(prefixes)}
    for column in sheet.header:
        found = said.fullmatch(column.strip())
        if found and not column.startswith(prefixes) and column not in counted:
            right = f"{(found['before'] or found['after']).lower()}_{found['of'] or found['by']}"
            raise InputError(f"{sheet.name}: the column {column!a} is to be called {right!a}")
        mistyped = column not in counted and not column.startswith(prefixes)
        if mistyped and (meant_one := _nearly_measure(column, sheet.header)):
            raise InputError(f"{sheet.name}: the column {column!a}: did you mean {meant_one!a}?")


def _nearly_measure(column: str, header: Sequence[str]) -> str | None:
    """Return the measure of a counted application that a column's name nearly is: `rps_web` of `rsp_web`."""
    for app in [one for one in header if column.endswith(f"_{one}")]:
        typed = column.removesuffix(f"_{app}").lower()
        near = get_close_matches(typed, (RPS, *OTHERS), n=1)
        # p95 is no slip of p99, but another percentile
        if near and not PERCENTILE.fullmatch(typed) and f"{near[0]}_{app}" not in header:
            return f"{near[0]}_{app}"
    return None


def _wide(sheet: Sheet, apps: tuple[str, ...] | None) -> Measurements:
    _refuse_misspelt(sheet)
    measured = [name.removeprefix(f"{RPS}_") for name in sheet.header if name.startswith(f"{RPS}_")]
    if not measured:
        raise InputError(
            f"{sheet.name}: neither columns such as `web` and `{RPS}_web` nor {RUN}, {APP}, {COUNT}, {RPS}; "
            f"its columns are {', '.join(sheet.header[:8])}"
        )
    names = _agreed(sheet, measured, apps)
    check_names(names, f"{sheet.name}: application")  # before what lacks such a name is blamed
    columns = {name: [f"{name}_{app}" for app in names] for name in (RPS, *OTHERS)}
    optional = [column for name in OTHERS for column in columns[name]]
    uncounted = next((app for app in names if app not in sheet.header), None)
    if uncounted is not None:
        prefixes = tuple(f"{name}_" for name in columns)
        counts_of = [
            one for one in sheet.header if not one.startswith(prefixes) and one not in (*names, TYPE)
        ]
        raise InputError(
            f"{sheet.name}: the column {f'{RPS}_{uncounted}'!a} has no column of counts {uncounted!a} beside "
            f"it; {meant(uncounted, counts_of) if counts_of else 'add one'}"
        )
    typed = [TYPE] if _has_types(sheet) else []
    sheet.expect([*typed, *names, *columns[RPS]], optional, "count or measure of an application")
    counts = sheet.counts(names)
    measures: dict[str, FloatArray] = {}
    for name, wanted in columns.items():
        values = np.full(counts.shape, np.nan)
        for a, column in enumerate(wanted):
            if column in sheet.header:
                values[:, a] = _checked(sheet, column, counts[:, a], name)
        measures[name] = values
    places = tuple(f"{sheet.name}, {sheet.unit} {line}" for line in sheet.lines)
    return Measurements(names, counts, measures, places, _types(sheet))


def _long(sheet: Sheet, apps: tuple[str, ...] | None, folder: Path | None) -> Measurements:
    by_file = RESULTS in sheet.header
    measured = [RESULTS] if by_file else [RPS]
    sheet.expect([RUN, APP, COUNT, *measured], [TYPE, *(() if by_file else OTHERS)], "column here")
    names = _agreed(sheet, list(dict.fromkeys(sheet.texts(APP))), apps)
    runs = {run: i for i, run in enumerate(dict.fromkeys(sheet.texts(RUN)))}
    held = sheet.counts([COUNT])[:, 0]
    if by_file:
        values = _from_files(sheet, held, folder)
    else:
        values = {name: _checked(sheet, name, held, name) for name in (RPS, *OTHERS) if name in sheet.header}
    shape = (len(runs), len(names))
    counts = np.zeros(shape, dtype=np.int64)
    measures = {name: np.full(shape, np.nan) for name in (RPS, *OTHERS)}
    places = [""] * len(runs)
    of_rows, type_of = _types(sheet), [""] * len(runs)
    for row, (run, app) in enumerate(zip(sheet.texts(RUN), sheet.texts(APP), strict=True)):
        at = runs[run], names.index(app)
        if not run:
            raise InputError(f"{sheet.place(row, RUN)}: is blank; give each run a number or name")
        if counts[at]:
            raise InputError(f"{sheet.place(row, APP)}: run {run} has {app} twice; give its count in one row")
        places[at[0]] = places[at[0]] or f"{sheet.name}, {sheet.unit} {sheet.lines[row]}"
        if of_rows:
            if type_of[at[0]] not in ("", of_rows[row]):
                raise InputError(
                    f"{sheet.place(row, TYPE)}: run {run} is on a node of type {type_of[at[0]]} in another"
                )
            type_of[at[0]] = of_rows[row]
        counts[at] = held[row]
        for name, column in values.items():
            measures[name][at] = column[row]
    return Measurements(names, counts, measures, tuple(places), tuple(type_of) if of_rows else ())


def _agreed(sheet: Sheet, found: list[str], apps: tuple[str, ...] | None) -> tuple[str, ...]:
    """The applications of a table, in the order asked for."""
    if len(found) > MOST_APPS:
        raise InputError(f"{sheet.name}: names {len(found):,} applications: at most {MOST_APPS:,} are read")
    known: dict[str, str] = {}
    for name in found:
        other = known.setdefault(name.lower(), name)
        if other != name:
            raise InputError(
                f"{sheet.name}: the applications {other!a} and {name!a} differ in capitals alone: "
                "write one and the same"
            )
    if apps is not None and set(apps) != set(found):
        raise InputError(
            f"{sheet.name}: measured {', '.join(found)}, but apps.names asks for {', '.join(apps)}"
        )
    return apps or tuple(found)


def _checked(sheet: Sheet, column: str, held: IntArray, name: str) -> FloatArray:
    """The values of a column, [rows], each there if and only if containers are."""
    values = sheet.numbers([column])[:, 0]
    blank = np.isnan(values)
    wrong = [
        ((held > 0) & blank & (name == RPS), "is blank, although containers are counted; give their RPS"),
        ((held == 0) & (np.nan_to_num(values) != 0), "holds a value, although no container is counted"),
        ((held > 0) & (values < 0), "is negative"),
        ((held > 0) & (values == 0) & (name in ("p50", "p99")), "is 0; give seconds, or leave it blank"),
    ]
    for rows, reason in wrong:
        if rows.any():
            raise InputError(f"{sheet.place(int(rows.argmax()), column)}: {reason}")
    return np.where(held > 0, values, np.nan)


def _from_files(sheet: Sheet, held: IntArray, folder: Path | None) -> dict[str, FloatArray]:
    """What the files in `results` say of one container, each [rows]."""
    if folder is None:
        raise InputError(
            f"{sheet.name}: names files of results: `metis import-profile` reads them once into a profile"
        )
    values = {name: np.full(len(sheet), np.nan) for name in (RPS, *OTHERS)}
    for row, file in enumerate(sheet.texts(RESULTS)):
        if not file or not held[row]:
            raise InputError(f"{sheet.place(row, RESULTS)}: give a file, and 1 container or more in {COUNT}")
        try:
            found = read_result(folder / file)
        except InputError as error:
            raise InputError(f"{sheet.place(row, RESULTS)}: {error}") from None
        for name in values:
            values[name][row] = found[name]
        values[RPS][row] /= held[row]  # the file is of all these containers together
    return values
