"""The record of moves on a live cluster: what is to be made, how far it is, what was measured; a file."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cluster.moves import Tally, Wave
from cluster.steps import Place, Step, read_step
from metis.errors import SurroundingsError
from metis.files import written_whole
from metis.operate.guard import Change, change_between

UNDER_WAY, MADE, STOPPED, BACK = "under way", "made", "stopped", "taken back"

Load = dict[str, float]  # RPS by node/slot, 1 is an application alone on a node


@dataclass
class Record:
    """What is known of the moves that were made last, or are under way; kept in a file.

    Attributes:
        path: of the file.
        session: name of the deployment.
        asked: settings that decide the plan, as typed.
        plan: its document.
        stood: node, slot and application of what stood before any move.
        steps: of every wave.
        in_order: of every wave, whether its copies must start one by one.
        predicted: mean RPS before the moves and after each wave.
        expected: seconds that each wave takes.
        units: RPS that count as 1, by application; empty until known.
        state: `under way`, `made`, `stopped` or `taken back`.
        back: whether the waves are being undone.
        made: how many waves are made.
        wave: the one under way.
        returning: whether that one takes back one that was made.
        reason: why the moves ended early.
        notes: what is not as it should be since.
        loads: of what stood before the moves and after each wave, several of each.
        returned: loads of what stands since all moves were taken back.
        seconds: that each wave took, without measuring.
        tally: requests sent while containers moved.
    """

    path: Path
    session: str
    asked: Mapping[str, Any]
    plan: dict[str, Any]
    stood: list[tuple[str, int, str]]
    steps: list[tuple[Step, ...]]
    in_order: list[bool]
    predicted: list[float]
    expected: list[float]
    units: dict[str, float] = field(default_factory=dict)
    state: str = UNDER_WAY
    back: bool = False
    made: int = 0
    wave: Wave | None = None
    returning: bool = False
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    loads: list[list[Load]] = field(default_factory=list)
    returned: list[Load] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def save(self) -> None:
        """Write the file, whole or not at all."""
        document = {name: value for name, value in self.__dict__.items() if name != "path"}
        document["steps"] = [[one.document for one in wave] for wave in self.steps]
        document["tally"] = asdict(self.tally)
        document["wave"] = None if self.wave is None else asdict(self.wave)
        with written_whole(self.path) as file:
            file.write(json.dumps(document, indent=1).encode())

    def standing(self) -> dict[Place, str]:
        """Return application by place of what stands after the waves that are made."""
        return held_after(self, self.made)


def read_record(path: Path) -> Record | None:
    """Return what the file says; None where there is none, or none that can be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        wave = document["wave"]
        return Record(
            path,
            **{
                **document,
                "stood": [(str(node), int(slot), str(app)) for node, slot, app in document["stood"]],
                "steps": [tuple(map(read_step, steps)) for steps in document["steps"]],
                "tally": Tally(**document["tally"]),
                "wave": wave and Wave(tuple(map(read_step, wave["steps"])), wave["phase"], wave["in_order"]),
            },
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SurroundingsError(f"{path}: is no record of moves ({error!r}); move it away") from None


def _moved(held: Mapping[Place, str], steps: Sequence[Step]) -> dict[Place, str]:
    gone = {one.old for one in steps}
    return {place: app for place, app in held.items() if place not in gone} | {
        one.new: one.app for one in steps if one.new
    }


def change_over(record: Record, first: int, last: int, after: Sequence[Load], level: float) -> Change:
    """Return how the RPS of the same containers changed.

    Args:
        record: of the moves.
        first: waves made before.
        last: waves made after.
        after: loads of what stood then.
        level: of the interval.
    """
    places = {place: place for place in held_after(record, first)}
    for steps in record.steps[first:last]:
        to = {one.old: one.new for one in steps if one.old}
        ends = {start: to.get(now, now) for start, now in places.items()}
        places = {start: end for start, end in ends.items() if end}
    keys = [(key_of(start), key_of(now)) for start, now in places.items()]
    before = record.loads[first]
    pairs = [(a, b) for a, b in keys if all(a in one for one in before) and all(b in one for one in after)]
    others = [loads for loads in (*record.loads, record.returned) if loads and loads not in (before, after)]
    return change_between(
        np.array([[one[a] for a, _ in pairs] for one in before]),
        np.array([[one[b] for _, b in pairs] for one in after]),
        level,
        [np.array([list(one.values()) for one in loads]) for loads in others],
    )


def held_after(record: Record, waves: int) -> dict[Place, str]:
    """Return application by place after so many waves."""
    held = {(node, slot): app for node, slot, app in record.stood}
    for steps in record.steps[:waves]:
        held = _moved(held, steps)
    return held


def mean_of(loads: Sequence[Load]) -> float:
    """Return the mean RPS of the containers, over loads."""
    return float(np.mean([list(one.values()) for one in loads]))


def document_of(record: Record, level: float) -> dict[str, Any]:
    """Return what was made and measured, JSON-able."""
    waves = []
    for i, seconds in enumerate(record.seconds):
        change = change_over(record, i, i + 1, record.loads[i + 1], level)
        waves.append(
            {
                "moves": sum(not one.anew for one in record.steps[i]),
                "anew": sum(one.anew for one in record.steps[i]),
                "expected_seconds": record.expected[i],
                "seconds": seconds,
                "rps": mean_of(record.loads[i + 1]),
                "change": change.mean,
                "half_width": _known(change.half),
                "predicted_change": record.predicted[i + 1] - record.predicted[i],
            }
        )
    after, made = (record.returned, 0) if record.returned else (record.loads[-1], record.made)
    whole = change_over(record, 0, made, after, level)
    return {
        "state": record.state,
        "made": record.made,
        "of": len(record.steps),
        "waves": waves,
        "before": mean_of(record.loads[0]),
        "after": mean_of(after),
        "change": whole.mean,
        "half_width": _known(whole.half),
        "requests": record.tally.requests,
        "failures": record.tally.failures,
        "failed": record.tally.rate,
        "reason": record.reason or None,
        "notes": record.notes,
    }


def key_of(place: Place) -> str:
    """Return a place as a key of loads."""
    return f"{place[0]}/{place[1]}"


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
