"""What Locust runs: users of each target in a closed loop, a warm-up, then what counts.

What counts is one window of all targets, or short slices in which sets of them take turns.

Run by `cluster.load.generator`, here or in a container; metis never imports it. The variable METIS_LOAD holds
what to load (JSON: `targets`, `warm_up`, `duration`, and `duet` for slices), METIS_LOAD_PARENT the process it
must not outlive, if any. The results are one line on standard output that begins with `METIS-LOAD `.
"""

import json
import os
import time
from typing import Any

import gevent
import slices
from gevent.event import Event
from locust import FastHttpUser, constant, events, task

MARK = "METIS-LOAD "
TICK = 0.05  # seconds between two looks at how late this process is
AFTER_FAILURE = 0.1  # seconds that a user waits then: what refuses at once is not to be hammered
LOAD = json.loads(os.environ["METIS_LOAD"])


class Tally:
    """Counts of the requests to one target within the window."""

    def __init__(self) -> None:
        self.counting = False
        self.responses: list[float] = []  # seconds of every good response, late ones included
        self.late = 0
        self.failures: dict[str, int] = {}  # by reason

    def respond(self, seconds: float, *, late: bool) -> None:
        """Count a good response that took `seconds`."""
        if self.counting:
            self.responses.append(seconds)
            self.late += late

    def fail(self, reason: str) -> None:
        """Count a request without a good response."""
        if self.counting:
            self.failures[reason] = self.failures.get(reason, 0) + 1

    @property
    def good(self) -> int:
        """Good responses in time so far."""
        return len(self.responses) - self.late

    def summary(self, seconds: float) -> dict[str, Any]:
        """The result: `rps` counts responses that are not late, latency all (null where there are none)."""
        ordered = sorted(self.responses)
        failed = sum(self.failures.values())
        return {
            "rps": (len(ordered) - self.late) / seconds,
            "p50": _quantile(ordered, 0.5),
            "p99": _quantile(ordered, 0.99),
            "requests": len(ordered) + failed,
            "failures": failed,
            "seconds": seconds,
            "error": max(self.failures, key=lambda why: self.failures[why], default=""),
            "late": self.late,
        }


class Visitor(FastHttpUser):  # type: ignore[misc]
    """A user of one target: the next request follows when the last one ended."""

    abstract = True
    wait_time = constant(0)
    target: dict[str, Any]
    begun: float | None = None  # of the request that is under way

    def on_start(self) -> None:
        """Take part in the measurement."""
        VISITORS.append(self)

    @task  # type: ignore[untyped-decorator]
    def once(self) -> None:
        """One request."""
        GATES[self.target["name"]].wait()
        target, sla = self.target, self.target["sla"]
        begun = self.begun = time.perf_counter()
        # a redirect could lead the load elsewhere: it counts as a failure
        response = self.client.get(target["url"], name=target["name"], allow_redirects=False)
        seconds, status = time.perf_counter() - begun, response.status_code or 0
        self.begun = None
        if 200 <= status < 300 and seconds <= target["timeout"]:
            TALLIES[target["name"]].respond(seconds, late=sla is not None and seconds > sla)
            return
        cause = getattr(response, "error", None)
        over = seconds >= target["timeout"]
        TALLIES[target["name"]].fail(
            "timeout" if over else f"status {status}" if status else type(cause).__name__
        )
        gevent.sleep(AFTER_FAILURE)


VISITORS: list[Visitor] = []
GATES: dict[str, Event] = {target["name"]: Event() for target in LOAD["targets"]}  # closed: no request
TALLIES = {target["name"]: Tally() for target in LOAD["targets"]}
for _place, _target in enumerate(LOAD["targets"]):
    # Locust finds the users among the names of this module
    globals()[f"Visitor{_place}"] = type(
        f"Visitor{_place}",
        (Visitor,),
        {
            "host": _target["url"],
            "fixed_count": _target["users"],
            "network_timeout": _target["timeout"],
            "connection_timeout": _target["timeout"],
            "target": _target,
        },
    )


@events.init.add_listener  # type: ignore[untyped-decorator]
def _prepare(environment: Any, **_: Any) -> None:
    environment.process_exit_code = 0  # failed requests are in the results, they are no failure of Locust
    environment.events.spawning_complete.add_listener(lambda **_: gevent.spawn(_load, environment.runner))
    if "METIS_LOAD_PARENT" in os.environ:
        gevent.spawn(_end_with, int(os.environ["METIS_LOAD_PARENT"]))


class Pulse:
    """How busy this process is: what it uses of a core, and by how much its timers are late."""

    def __init__(self) -> None:
        self._begun, self._used = time.perf_counter(), time.process_time()
        self._late: list[float] = []
        self._greenlet = gevent.spawn(self._beat)

    def _beat(self) -> None:
        while True:
            begun = time.perf_counter()
            gevent.sleep(TICK)
            self._late.append(time.perf_counter() - begun - TICK)

    def stop(self) -> dict[str, float]:
        """Share of a core, and seconds in the mean."""
        self._greenlet.kill()
        seconds = time.perf_counter() - self._begun
        lag = sum(self._late) / len(self._late) if self._late else seconds
        return {"generator": (time.process_time() - self._used) / seconds, "lag": max(lag, 0.0)}


def _load(runner: Any) -> None:
    duet = LOAD.get("duet")
    found = _in_turns(duet) if duet else _at_once()
    print(MARK + json.dumps(found), flush=True)
    runner.quit()


def _at_once() -> dict[str, Any]:
    """Load all targets, and return the result of each."""
    _open(list(TALLIES))
    gevent.sleep(LOAD["warm_up"])
    pulse = Pulse()
    seconds = _window(list(TALLIES), LOAD["duration"], last=True)
    busy = pulse.stop()
    return {name: tally.summary(seconds) | busy for name, tally in TALLIES.items()}


def _in_turns(duet: dict[str, Any]) -> dict[str, Any]:
    """Load sets of targets in turn until their ratios are known well enough, or the time is over.

    Returns:
        `sets`, for each the result of its targets; `pairs`, for each ratio its rates by cycle; `seconds`
        of all slices, with what lies between them.
    """
    sets, rates = duet["sets"], [dict[str, list[float]]() for _ in duet["sets"]]
    _open(sets[0])
    _window(sets[0], LOAD["warm_up"], last=False)
    taken = [sum(tally.responses) / len(tally.responses) for tally in TALLIES.values() if tally.responses]
    settle, seconds = slices.lengths(duet["turn"], max(taken, default=0.0), len(sets), LOAD["duration"])
    kept = [{name: Tally() for name in names} for names in sets]
    windows = [0.0] * len(sets)
    pulse, begun, cycle = Pulse(), time.perf_counter(), 0
    while True:
        left = LOAD["duration"] - (time.perf_counter() - begun)
        each = (settle + seconds) * len(sets)
        last = left < 2 * each
        for k in slices.turns(len(sets), cycle):
            before = {name: kept[k][name].good for name in sets[k]}
            _open(sets[k])
            gevent.sleep(settle)
            TALLIES.update(kept[k])
            length = _window(sets[k], seconds, last=last, patience=settle)
            windows[k] += length
            for name in sets[k]:
                rates[k].setdefault(name, []).append((kept[k][name].good - before[name]) / length)
        cycle += 1
        pairs = [[_rate(rates, side) for side in sides] for sides in duet["ratios"]]
        if cycle >= slices.FEWEST and (last or slices.enough(pairs, duet["precision"])):
            break
    spent, busy = time.perf_counter() - begun, pulse.stop()
    found = [
        {name: tally.summary(windows[k]) | busy for name, tally in kept[k].items()} for k in range(len(sets))
    ]
    return {"sets": found, "pairs": pairs, "seconds": spent}


def _rate(rates: list[dict[str, list[float]]], side: list[Any]) -> list[float]:
    """Rate by cycle of a side of a ratio: which set, and which of its targets, in their mean."""
    k, names = side
    return [sum(each) / len(names) for each in zip(*(rates[k][name] for name in names), strict=True)]


def _open(names: list[str]) -> None:
    """Let the users of these targets make requests, and no others."""
    for name, gate in GATES.items():
        if name in names:
            gate.set()
        else:
            gate.clear()


def _window(names: list[str], length: float, *, last: bool, patience: float = 0.0) -> float:
    """Count what these targets reach in `length` seconds; the seconds that it took.

    Args:
        names: of the targets.
        length: in seconds.
        last: whether no other window follows, by which a request could still be counted.
        patience: seconds that a request may have taken already when this begins.
    """
    start = time.perf_counter()
    for name in names:
        TALLIES[name].counting = True
    gevent.sleep(length)
    seconds = time.perf_counter() - start
    for visitor in VISITORS:
        # one that got no response in the whole window would else leave no trace
        name = visitor.target["name"]
        if last and name in names and visitor.begun and visitor.begun < start - patience:
            TALLIES[name].fail("no response within the window")
    for name in names:
        TALLIES[name].counting = False
    return seconds


def _end_with(parent: int) -> None:
    """End once the process that started this was killed, which would have read the results."""
    while os.getppid() == parent:
        gevent.sleep(1.0)
    os._exit(1)


def _quantile(ordered: list[float], share: float) -> float | None:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None
