"""Stand-alone runs by sitting: what the RPS of co-located applications is divided by.

A sitting is one stretch of measuring on the same hosts, without a pause of more than `PAUSE`. Machines are
never quite as fast as yesterday, so RPS is only ever divided by stand-alone runs of its own sitting.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metis.errors import InputError
from metis.files import written_whole

PAUSE = 3600.0  # seconds without a run after which the next one begins a new sitting
MOST_IDLE = 0.1  # share of a core that one may use without requests and still count as idle
NEAREST = 4  # stand-alone runs whose median is the unit


@dataclass
class Sittings:
    """The stand-alone runs of this and of earlier sittings, kept in a file.

    Attributes:
        path: of the file; None to keep nothing.
        hosts: what identifies the hosts; others begin a new sitting.
        number: of this sitting.
        last: when the last run ended, seconds since 1970.
        runs: `sitting`, `app`, `at`, `rps` of each stand-alone run, in order.
    """

    path: Path | None = None
    hosts: str = ""
    number: int = 0
    last: float = 0.0
    runs: list[dict[str, Any]] = field(default_factory=list)
    _since: dict[str, int] = field(default_factory=dict)

    def enter_alone(self, app: str, at: float, rps: float, idle: float = float("nan")) -> None:
        """A stand-alone run, and the share of a core it used without requests; saved at once."""
        known = {"idle": idle} if idle == idle else {}
        self.runs.append({"sitting": self.number, "app": app, "at": at, "rps": rps} | known)
        self._since[app] = 0
        self._touch(at)

    def enter_shared(self, apps: Sequence[str], at: float) -> None:
        """A run of several applications together."""
        for app in apps:
            self._since[app] = self.since(app) + 1
        self._touch(at)

    def restless(self, app: str) -> bool:
        """Whether an application works without requests, so that it disturbs others when it is not loaded."""
        found = [run["idle"] for run in self.runs if run["app"] == app and "idle" in run]
        return bool(found) and found[-1] > MOST_IDLE

    def since(self, app: str) -> int:
        """Runs beside others since the application was last measured alone, in this process."""
        return self._since.get(app, 0)

    def current(self) -> dict[str, list[float]]:
        """Stand-alone RPS of this sitting, by application."""
        return {app: values for app, (number, values) in self._last().items() if number == self.number}

    def latest(self) -> dict[str, list[float]]:
        """Stand-alone RPS of the last sitting in which the application was measured, by application."""
        return {app: values for app, (_, values) in self._last().items()}

    def _last(self) -> dict[str, tuple[int, list[float]]]:
        found: dict[str, tuple[int, list[float]]] = {}
        for run in self.runs:
            number, values = found.get(run["app"], (-1, []))
            same = number == run["sitting"]
            found[run["app"]] = (run["sitting"], [*values, run["rps"]] if same else [run["rps"]])
        return found

    def unit(self, app: str, at: float, sitting: int) -> float:
        """What RPS of that moment is divided by: the median of the `NEAREST` stand-alone runs around it.

        NaN where the application was never measured alone in that sitting.
        """
        own = [run for run in self.runs if run["app"] == app and run["sitting"] == sitting]
        nearest = sorted(own, key=lambda run: abs(run["at"] - at))[:NEAREST]
        return float(np.median([run["rps"] for run in nearest])) if nearest else float("nan")

    def _touch(self, at: float) -> None:
        self.last = at
        if self.path is not None:
            stored = {"hosts": self.hosts, "number": self.number, "last": self.last, "runs": self.runs}
            with written_whole(self.path) as file:
                file.write(json.dumps(stored).encode())


def open_sittings(path: Path | None, hosts: str, now: float | None = None) -> Sittings:
    """Go on with the last sitting of the file, where that is fresh and of the same hosts; else begin one.

    Raises:
        InputError: the file is damaged; names it.
    """
    if path is None or not path.exists():
        return Sittings(path, hosts)
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        found = Sittings(path, hosts, int(stored["number"]), float(stored["last"]), list(stored["runs"]))
        same = str(stored["hosts"]) == hosts
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a record of stand-alone runs ({error}); delete it") from None
    fresh = (time.time() if now is None else now) - found.last <= PAUSE
    if not (same and fresh):
        found.number += 1
    return found
