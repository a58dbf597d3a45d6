"""What Locust runs: users of each target in a closed loop, a warm-up, then the window that counts.

Run by `cluster.load.generator`, here or in a container; metis never imports it. The variable METIS_LOAD holds
what to load (JSON: `targets`, `warm_up`, `duration`), METIS_LOAD_PARENT the process it must not outlive, if
any. The results are one line on standard output that begins with `METIS-LOAD `.
"""

import json
import os
import time
from typing import Any

import gevent
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
    tally: Tally
    begun: float | None = None  # of the request that is under way

    def on_start(self) -> None:
        """Take part in the measurement."""
        VISITORS.append(self)

    @task  # type: ignore[untyped-decorator]
    def once(self) -> None:
        """One request."""
        target, sla = self.target, self.target["sla"]
        begun = self.begun = time.perf_counter()
        # a redirect could lead the load elsewhere: it counts as a failure
        response = self.client.get(target["url"], name=target["name"], allow_redirects=False)
        seconds, status = time.perf_counter() - begun, response.status_code or 0
        self.begun = None
        if 200 <= status < 300 and seconds <= target["timeout"]:
            self.tally.respond(seconds, late=sla is not None and seconds > sla)
            return
        cause = getattr(response, "error", None)
        over = seconds >= target["timeout"]
        self.tally.fail("timeout" if over else f"status {status}" if status else type(cause).__name__)
        gevent.sleep(AFTER_FAILURE)


VISITORS: list[Visitor] = []
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
            "tally": TALLIES[_target["name"]],
        },
    )


@events.init.add_listener  # type: ignore[untyped-decorator]
def _prepare(environment: Any, **_: Any) -> None:
    environment.process_exit_code = 0  # failed requests are in the results, they are no failure of Locust
    environment.events.spawning_complete.add_listener(lambda **_: gevent.spawn(_measure, environment.runner))
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


def _measure(runner: Any) -> None:
    gevent.sleep(LOAD["warm_up"])
    start, pulse = time.perf_counter(), Pulse()
    for tally in TALLIES.values():
        tally.counting = True
    gevent.sleep(LOAD["duration"])
    seconds = time.perf_counter() - start
    for visitor in VISITORS:
        # one that got no response in the whole window would else leave no trace
        if visitor.begun is not None and visitor.begun < start:
            visitor.tally.fail("no response within the window")
    for tally in TALLIES.values():
        tally.counting = False
    busy = pulse.stop()
    found = {name: tally.summary(seconds) | busy for name, tally in TALLIES.items()}
    print(MARK + json.dumps(found), flush=True)
    runner.quit()


def _end_with(parent: int) -> None:
    """End once the process that started this was killed, which would have read the results."""
    while os.getppid() == parent:
        gevent.sleep(1.0)
    os._exit(1)


def _quantile(ordered: list[float], share: float) -> float | None:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None
