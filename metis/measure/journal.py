"""The journal of a series of measurements: every run, its reason, and the state to go on from."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Le

from metis.errors import InputError, SurroundingsError
from metis.files import load_arrays, save_arrays
from metis.measure.circumstances import LEAST_WEIGHT, kept_row
from metis.measure.profile import MEASURES, Profile, make_profile
from metis.measure.testbed import Testbed, UnmeasuredError
from metis.problem.counts import FloatArray, IntArray, describe_colocation
from metis.problem.space import ColocationSpace
from metis.settings import settings
from metis.wording import amount

FORMAT = "metis-journal-1"
Wait = Callable[[float], None]


@dataclass(frozen=True)
class Failure:
    """The reason why a co-location could not be measured, and whether another try can never succeed."""

    reason: str
    permanent: bool


Measurement = Mapping[str, Any] | Failure  # measures of one co-location, with `note` where there is one


@settings("patience")
class Patience:
    """How trouble while measuring is met: how often to try again, and what not to believe.

    Attributes:
        retries: further runs of a co-location whose measurement is absurd, and further calls of a testbed
            that cannot be reached.
        seconds: pause before the first further call of such a testbed; it doubles each time.
        most_rps: normalised RPS above which a measurement is absurd; so are 0, less, and none at all.
        disturbed: further runs of a co-location whose measurement something that is not ours disturbed; when
            they are used up, the disturbed ones count, with less weight.
    """

    retries: Annotated[int, Ge(0), Le(100)] = 2
    seconds: Annotated[float, Ge(0), Le(3600)] = 1.0
    most_rps: Annotated[float, Gt(1), Le(1e6)] = 20.0
    disturbed: Annotated[int, Ge(0), Le(100)] = 1


@dataclass
class Journal:
    """All runs in order, and the state of the series that they belong to.

    Attributes:
        space: the co-locations.
        key: digest of what is measured for; a series with another key takes over the runs alone.
        runs: per run `id`, `round`, `reason`, `sound`, and the measures as lists per application; of a run
            that is not sound `why`, and where the testbed left one its `note`; of one that was disturbed
            `weight`, 0 where it was made again and so does not count.
        pending: (id, reason) still to be measured in this round.
        history: one row per round.
        quarantined: id -> what was wrong with its last run.
        thetas: hyperparameters of the last fit, see `metis.simulate.belief.Belief.thetas`.
        pardoned: runs before this one count no more against their co-location.
    """

    space: ColocationSpace
    key: str = ""
    runs: list[dict[str, Any]] = field(default_factory=list)
    pending: list[tuple[int, str]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    quarantined: dict[int, str] = field(default_factory=dict)
    thetas: FloatArray | None = None
    pardoned: int = 0

    def pardon(self) -> None:
        """Let what was quarantined be measured again, as patiently as at first; its runs stay on record."""
        self.pardoned = len(self.runs)
        self.quarantined.clear()

    @property
    def sound(self) -> list[dict[str, Any]]:
        """The runs that count: those to be believed, and disturbed ones that stayed so, with their weight."""
        return [run for run in self.runs if run["sound"] or run.get("weight", 0) > 0]

    @property
    def weights(self) -> FloatArray:
        """What each run of `sound` counts as, float64 [runs]."""
        return np.array([run.get("weight", 1.0) for run in self.sound])

    def _conditions(self) -> dict[str, FloatArray]:
        """See `make_profile`: of the runs of `sound`."""
        noted = [run.get("note", {}).get("circumstances") for run in self.sound]
        found = {"weight": self.weights}
        if any(noted):
            found["circumstances"] = np.array([kept_row(each or {}) for each in noted])
        widths = [run.get("note", {}).get("width") for run in self.sound]
        if any(widths):
            nothing = [None] * len(self.space.apps)
            found["width"] = np.array([each or nothing for each in widths], dtype=np.float64)
        return found

    def profile(self) -> Profile:
        """The runs that count as a profile; repeated ones are merged by their median."""
        sound = self.sound
        ids = np.array([run["id"] for run in sound], dtype=np.int64)
        measures = {name: _stacked([run[name] for run in sound], len(self.space.apps)) for name in MEASURES}
        provenance: dict[str, Any] = {
            "source": "explore",
            "runs": len(self.runs),
            "quarantined": self.named_quarantine(),
        }
        alone = self.alone_rps()
        provenance |= {"alone_rps": alone} if alone else {}
        apps, slots = self.space.apps, self.space.slots
        return make_profile(apps, slots, self.space.rows(ids), measures, provenance, self._conditions())

    def quantity(self, name: str) -> FloatArray:
        """A quantity in every sound run, see `Profile.quantity`, float64 [runs, apps]; NaN where unknown."""
        if name == "speed":
            return np.asarray(self.profile().alone("p99") / self.quantity("p99"))
        return np.array([run[name] for run in self.sound], dtype=np.float64)

    def alone_rps(self) -> dict[str, float]:
        """Requests per second of each application alone, not normalised: the median of those noted."""
        found: dict[str, list[float]] = {}
        for run in self.sound:
            if self.space.rows(run["id"]).sum() == 1 and "raw" in run.get("note", {}):
                a = int(self.space.rows(run["id"]).argmax())
                found.setdefault(self.space.apps[a], []).append(run["note"]["raw"][a])
        return {app: float(np.median(values)) for app, values in found.items()}

    def named_quarantine(self) -> dict[str, str]:
        """The co-locations that could not be measured, in words, and the reason of each."""
        return {
            describe_colocation(self.space.rows(i), self.space.apps): why
            for i, why in self.quarantined.items()
        }

    def save(self, path: Path | None) -> None:
        """Write journal (beside) and profile (at `path`), each whole or not at all; nothing for None."""
        if path is None:
            return
        arrays: dict[str, Any] = {
            name: _stacked([run[name] for run in self.runs], len(self.space.apps)) for name in MEASURES
        }
        state = {
            "runs": [{k: v for k, v in run.items() if k not in MEASURES} for run in self.runs],
            "pending": self.pending,
            "history": self.history,
            "quarantined": {str(i): why for i, why in self.quarantined.items()},
        }
        heading = {"format": FORMAT, "apps": self.space.apps, "slots": self.space.slots, "key": self.key}
        if self.thetas is not None:
            arrays["thetas"] = self.thetas
        save_arrays(journal_of(path), heading | arrays | {"state": json.dumps(state)})
        if self.sound:
            self.profile().save(path)


def journal_of(path: Path) -> Path:
    """Where the journal of the profile at `path` lies."""
    return path.with_name(f"{path.stem}.journal.npz")


def load_journal(path: Path | None, space: ColocationSpace, key: str) -> Journal:
    """The journal of the profile at `path`, or an empty one.

    Of a series with another key only runs and quarantine are taken over: what was measured stays true.

    Raises:
        InputError: unreadable, or of other applications or slots; names the file.
    """
    if path is None or not journal_of(path).exists():
        return Journal(space, key)
    file = journal_of(path)
    stored = load_arrays(file)
    try:
        if str(stored["format"]) != FORMAT:
            raise ValueError(f"format {stored['format']}")
        theirs = ColocationSpace(tuple(map(str, stored["apps"])), int(stored["slots"]))
        state = json.loads(str(stored["state"]))
        measures = {name: stored[name].tolist() for name in MEASURES}
        runs = [run | {n: measures[n][i] for n in MEASURES} for i, run in enumerate(state["runs"])]
        same = str(stored["key"]) == key
        quarantined = {int(i): str(why) for i, why in state["quarantined"].items()}
        pending = [(int(i), str(reason)) for i, reason in state["pending"]] if same else []
        history = state["history"] if same else []
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise InputError(f"{file}: not a journal of an exploration ({error})") from None
    if theirs != space:
        raise InputError(
            f"{file}: explored {', '.join(theirs.apps)} on {theirs.slots} slots, the testbed has "
            f"{', '.join(space.apps)} on {space.slots}; give another path"
        )
    return Journal(space, key, runs, pending, history, quarantined, stored.get("thetas") if same else None)


def measure_pending(
    journal: Journal,
    testbed: Testbed,
    *,
    seed: int,
    at_once: int,
    budget: int,
    patience: Patience,
    path: Path | None,
    wait: Wait,
    progress: Callable[[Journal], None] = lambda journal: None,
) -> None:
    """Measure what is pending, a few at once, saved after each call, until done or the budget is spent.

    Args:
        journal: what is pending, and where the runs are entered.
        testbed: what measures.
        seed: of the measurements.
        at_once: co-locations of one call.
        budget: runs of the journal at most.
        patience: how trouble is met.
        path: profile that is kept up to date; None to keep nothing.
        wait: how to pause, in seconds.
        progress: called with the journal after each measurement, once it is saved.

    Raises:
        SurroundingsError: the testbed cannot be reached, or the disk not written; what was measured is kept.
        InputError: the testbed refuses the very first co-location.
    """
    while journal.pending and len(journal.runs) < budget:
        room = min(at_once, budget - len(journal.runs))
        attempts = [sum(run["id"] == i for run in journal.runs) for i, _ in journal.pending]
        # one call takes one seed: co-locations that were run as often as the first, each once
        chosen: dict[int, int] = {}
        for place, ((i, _), attempt) in enumerate(zip(journal.pending, attempts, strict=True)):
            if attempt == attempts[0] and i not in chosen and len(chosen) < room:
                chosen[i] = place
        asked = [journal.pending[place] for place in chosen.values()]
        call_seed = int(np.random.SeedSequence([seed, attempts[0]]).generate_state(1)[0])
        measured = _measure(journal, testbed, [i for i, _ in asked], call_seed, patience, path, wait)
        retried = _enter(journal, asked, measured, patience)
        done = set(chosen.values())
        rest = [entry for place, entry in enumerate(journal.pending) if place not in done]
        journal.pending = retried + [entry for entry in rest if entry[0] not in journal.quarantined]
        journal.save(path)
        progress(journal)
    if len(journal.runs) >= budget:
        journal.pending = []


def _measure(
    journal: Journal,
    testbed: Testbed,
    ids: Sequence[int],
    seed: int,
    patience: Patience,
    path: Path | None,
    wait: Wait,
) -> dict[int, Measurement]:
    """Measure co-locations; by id their measures, or the reason why there are none."""
    space = journal.space
    for attempt in range(patience.retries + 1):
        try:
            measured = testbed.measure(space.rows(list(ids)), seed=seed)
        except UnmeasuredError as error:
            found = {} if error.measured is None else _rows(error.measured)
            return found | {i: Failure(why, permanent=False) for i, why in error.failed.items()}
        except InputError as error:
            if not journal.runs:
                raise
            if len(ids) == 1:
                return {ids[0]: Failure(str(error), permanent=True)}
            # one that can never be measured must not quarantine those of the same call
            alone = [_measure(journal, testbed, [i], seed, patience, path, wait) for i in ids]
            return {i: one[i] for i, one in zip(ids, alone, strict=True) if i in one}
        except SurroundingsError as error:
            if attempt == patience.retries:
                kept = f"; kept: {amount(len(journal.runs), 'measurement')}" + (f" in {path}" if path else "")
                raise SurroundingsError(f"{error}{kept}") from None
            wait(patience.seconds * 2**attempt)
        else:
            return _rows(measured)
    raise AssertionError("the loop returns or raises")


def _rows(measured: Profile) -> dict[int, Measurement]:
    """Measures and note of each row, by id."""
    notes = measured.provenance.get("notes", {})
    found: dict[int, Measurement] = {}
    for row, i in enumerate(measured.space.index(measured.colocations).tolist()):
        note = {"note": notes[i]} if i in notes else {}
        found[i] = {name: getattr(measured, name)[row] for name in MEASURES} | note
    return found


def _enter(
    journal: Journal,
    asked: Sequence[tuple[int, str]],
    measured: Mapping[int, Measurement],
    patience: Patience,
) -> list[tuple[int, str]]:
    """Enter runs into the journal; returns those to be made again."""
    space, again = journal.space, []
    nothing = np.full(len(space.apps), np.nan)
    for i, reason in asked:
        found = measured.get(i, {})
        values = {} if isinstance(found, Failure) else found
        run: dict[str, Any] = {"id": i, "round": len(journal.history), "reason": reason}
        run |= {name: np.asarray(values.get(name, nothing)).tolist() for name in MEASURES}
        run |= {"note": values["note"]} if "note" in values else {}
        wrong = found.reason if isinstance(found, Failure) else _absurd(run["rps"], space, i, patience)
        disturbed = "" if wrong else str(run.get("note", {}).get("disturbed", ""))
        journal.runs.append(run | {"sound": not wrong and not disturbed})
        journal.runs[-1] |= {"why": wrong or disturbed} if wrong or disturbed else {}
        if disturbed and _to_repeat(journal, i, patience):
            again.append((i, reason))
        if not wrong:
            continue
        earlier_runs = [one for one in journal.runs[journal.pardoned :] if one["id"] == i]
        sound = [one["sound"] or "weight" in one for one in earlier_runs]
        in_a_row = sound[::-1].index(True) if any(sound) else len(sound)
        final = isinstance(found, Failure) and found.permanent
        if in_a_row > patience.retries or final:
            journal.quarantined[i] = wrong
        else:
            again.append((i, reason))
    return again


def _to_repeat(journal: Journal, colocation: int, patience: Patience) -> bool:
    """Whether a co-location is run again after a disturbed run, the last one; else all such runs count."""
    own = [run for run in journal.runs[journal.pardoned :] if run["id"] == colocation]
    own[-1]["weight"] = 0.0
    waiting: list[dict[str, Any]] = []  # disturbed ones since the last that counts
    for run in own:
        if "weight" in run and not run["weight"]:
            waiting.append(run)
        elif run["sound"] or run.get("weight"):
            waiting.clear()
    if len(waiting) <= patience.disturbed:
        return True
    for run in waiting:
        run["weight"] = float(run["note"].get("weight", LEAST_WEIGHT))
    return False


def _absurd(rps: Sequence[float], space: ColocationSpace, colocation: int, patience: Patience) -> str:
    """What is wrong with a measured row, in words; empty where nothing is."""
    for app, count, value in zip(space.apps, space.rows(colocation), rps, strict=True):
        if count and not 0 < value <= patience.most_rps:  # NaN compares as false
            return f"{app} was measured at {value:g} times its stand-alone RPS"
    return ""


def _stacked(rows: Sequence[Sequence[float]], apps: int) -> FloatArray:
    return np.array(rows, dtype=np.float64).reshape(-1, apps)


def measured_ids(journal: Journal) -> IntArray:
    """Co-location of every sound run, int [runs]."""
    return np.array([run["id"] for run in journal.sound], dtype=np.int64)
