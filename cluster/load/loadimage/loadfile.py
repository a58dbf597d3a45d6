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
AFTER_FAILURE = 0.1  # seconds that a user waits then: what refuses at once is not to be hammered
PLAN = json.loads(os.environ["METIS_LOAD"])


class Tally:
    """What the requests to one target came to, within the window."""

    def __init__(self) -> None:
        self.counting = False
        self.answered: list[float] = []  # seconds of every answered request, too late ones included
        self.good = 0
        self.failures: dict[str, int] = {}
        self.late = 0

    def note(self, seconds: float, trouble: str, *, answered: bool) -> None:
        """Enter a request that ended: how long it took, and what was wrong with it."""
        if not self.counting:
            return
        if answered:
            self.answered.append(seconds)
        if trouble:
            self.late += answered
            self.failures[trouble] = self.failures.get(trouble, 0) + 1
        else:
            self.good += 1

    def summary(self, seconds: float) -> dict[str, Any]:
        """The answer: `rps` counts good answers only, latency all answers (null where there are none)."""
        ordered = sorted(self.answered)
        failed = sum(self.failures.values())
        return {
            "rps": self.good / seconds,
            "p50": _quantile(ordered, 0.5),
            "p99": _quantile(ordered, 0.99),
            "requests": self.good + failed,
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
    asked: float | None = None

    def on_start(self) -> None:
        """Be known to the measurement."""
        VISITORS.append(self)

    @task  # type: ignore[untyped-decorator]
    def once(self) -> None:
        """One request."""
        target, sla = self.target, self.target["sla"]
        begun = self.asked = time.perf_counter()
        # a redirect could lead the load elsewhere: it counts as a failure
        response = self.client.get(target["url"], name=target["name"], allow_redirects=False)
        seconds, status = time.perf_counter() - begun, response.status_code or 0
        self.asked = None
        answered = 200 <= status < 300 and seconds <= target["timeout"]
        trouble = ""
        if not answered:
            late = seconds >= target["timeout"]
            cause = getattr(response, "error", None)
            trouble = "timeout" if late else f"status {status}" if status else type(cause).__name__
        elif sla is not None and seconds > sla:
            trouble = f"slower than {sla:g} s"
        self.tally.note(seconds, trouble, answered=answered)
        if not answered:
            gevent.sleep(AFTER_FAILURE)


VISITORS: list[Visitor] = []
TALLIES = {target["name"]: Tally() for target in PLAN["targets"]}
for _place, _target in enumerate(PLAN["targets"]):
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
    environment.process_exit_code = 0  # failed requests are in the answer, they are no failure of Locust
    environment.events.spawning_complete.add_listener(lambda **_: gevent.spawn(_measure, environment.runner))
    if "METIS_LOAD_PARENT" in os.environ:
        gevent.spawn(_end_with, int(os.environ["METIS_LOAD_PARENT"]))


def _measure(runner: Any) -> None:
    gevent.sleep(PLAN["warm_up"])
    start = time.perf_counter()
    for tally in TALLIES.values():
        tally.counting = True
    gevent.sleep(PLAN["duration"])
    seconds = time.perf_counter() - start
    for visitor in VISITORS:
        # one that got no answer in the whole window would else leave no trace
        if visitor.asked is not None and visitor.asked < start:
            visitor.tally.note(seconds, "no answer within the window", answered=False)
    for tally in TALLIES.values():
        tally.counting = False
    print(MARK + json.dumps({name: tally.summary(seconds) for name, tally in TALLIES.items()}), flush=True)
    runner.quit()


def _end_with(parent: int) -> None:
    """End once the process that started this was killed: nobody is left to read the answer."""
    while os.getppid() == parent:
        gevent.sleep(1.0)
    os._exit(1)


def _quantile(ordered: list[float], share: float) -> float | None:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None
