"""The lock of a cluster, on its manager: one process at a time, wherever it runs, measures or changes things.

Labels of the manager's node hold it. The Swarm refuses an update of a version that is no longer the newest,
so of two that take it at once one fails. All times are the manager's.
"""

import getpass
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cluster.backend import Report
from cluster.provision.engine import engine_errors
from cluster.provision.hosts import Fleet
from metis.errors import MetisError, SurroundingsError

OWNER, MACHINE, PROCESS, SINCE, SEEN = (
    f"metis.lock.{part}" for part in ("owner", "machine", "process", "since", "seen")
)
ALL = (OWNER, MACHINE, PROCESS, SINCE, SEEN)
BEAT = 20.0  # seconds between two signs of life
DEAD_AFTER = 90.0  # seconds without one until the lock is taken over
LOOK = 2.0
SAY_AGAIN = 60.0
BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Holder:
    """Who holds the lock of a cluster.

    Attributes:
        owner: user, machine, process and what it does, for people.
        machine: digest of where it runs, to tell whether its process can be looked at here.
        process: its id there.
        since: when it was taken, by the manager's clock, as ISO 8601.
        seen: its last sign of life, likewise.
    """

    owner: str
    machine: str
    process: int
    since: str
    seen: str

    def labels(self) -> dict[str, str]:
        """As labels of a node."""
        values = (self.owner, self.machine, str(self.process), self.since, self.seen)
        return dict(zip(ALL, values, strict=True))

    @classmethod
    def of(cls, labels: Mapping[str, str]) -> "Holder | None":
        """Of the labels of a node; None where there is none."""
        if OWNER not in labels:
            return None
        process = labels.get(PROCESS, "")
        return cls(
            labels[OWNER],
            labels.get(MACHINE, ""),
            int(process) if process.isdigit() else 0,
            labels.get(SINCE, ""),
            labels.get(SEEN, ""),
        )

    def ended(self, now: str) -> str:
        """Why the lock is held by none any more, in words; empty where its holder lives."""
        if self.machine == machine() and not _runs(self.process):
            return "its process ended"
        silent = (_time(now) - _time(self.seen)).total_seconds()
        return f"no sign of life for {silent:.0f} s" if silent > DEAD_AFTER else ""


@contextmanager
def held(
    fleet: Fleet,
    doing: str,
    report: Report,
    patience: float,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Hold the lock of the cluster within the block.

    Waiting for it is reported at once, with who holds it since when, and again every minute. One whose
    holder ended without releasing it is taken over, which is reported as well.

    Args:
        fleet: the hosts.
        doing: what it is held for, in a word.
        report: called with such lines.
        patience: seconds until waiting is given up.
        sleep: how to pause.
        clock: seconds.

    Raises:
        SurroundingsError: another still holds it after `patience` seconds, or the manager does not respond.
    """
    ours = _mine(doing)
    if not _manages(fleet):
        yield  # nothing runs where there is no Swarm
        return
    begun, said = clock(), -SAY_AGAIN
    while (other := _take(fleet, ours, report)) is not None:
        waited = clock() - begun
        since = f"since {other.since[11:16]} (the manager's clock)"
        line = f"cluster {fleet.inventory.name}: in use by {other.owner} {since}"
        if waited >= patience:
            raise SurroundingsError(
                f"{line}; wait for its end, or give connect.lock_wait more than {patience:g} s"
            )
        if waited - said >= SAY_AGAIN:
            report(f"{line}; waiting, at most {patience - waited:.0f} s more")
            said = waited
        sleep(min(LOOK, patience - waited))
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(fleet, ours, ended, report), daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join(LOOK)
        # where the manager is gone, the lock ends for want of signs of life
        with suppress(MetisError):
            _update(fleet, lambda labels, now: None if _is(labels, ours) else labels)


def _manages(fleet: Fleet) -> bool:
    manager = fleet.inventory.manager
    with engine_errors(manager, "looking at the lock of the cluster"):
        return bool(fleet.engine(manager).info()["Swarm"]["ControlAvailable"])


def _mine(doing: str) -> Holder:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # one without a name
        user = str(os.getuid())
    thread = threading.get_ident() % 10_000
    owner = f"{user}@{socket.gethostname()} ({doing}, process {os.getpid()}.{thread})"
    return Holder(owner, machine(), os.getpid(), "", "")


def machine() -> str:
    """Return a name that no other machine has, nor this one after its next start."""
    boot = BOOT.read_text().strip() if BOOT.is_file() else ""
    return f"{socket.gethostname()}/{boot}"


def _take(fleet: Fleet, ours: Holder, report: Report) -> Holder | None:
    """Take the lock; returns who holds it where that is another."""
    found: list[Holder] = []
    taken_over: list[str] = []

    def take(labels: Mapping[str, str], now: str) -> Mapping[str, str] | None:
        found.clear()
        taken_over.clear()
        other = Holder.of(labels)
        if other is not None:
            why = other.ended(now)
            if not why:
                found.append(other)
                return labels
            taken_over.append(f"the lock of {other.owner} is taken over: {why}")
        return {**labels, **replace(ours, since=now, seen=now).labels()}

    _update(fleet, take)
    for line in taken_over:
        report(line)
    return found[0] if found else None


def _beat(fleet: Fleet, ours: Holder, ended: threading.Event, report: Report) -> None:
    """Show that we live, until the end; say so where another took the lock over."""
    lost = False

    def beat(labels: Mapping[str, str], now: str) -> Mapping[str, str]:
        nonlocal lost
        lost = not _is(labels, ours)
        return labels if lost else {**labels, SEEN: now}

    while not ended.wait(BEAT):
        with suppress(MetisError):  # the manager is away for a while: the next beat tries again
            _update(fleet, beat)
        if lost and not ended.is_set():
            report("another took over the lock of this cluster: what is measured now may be disturbed")
            return


def _is(labels: Mapping[str, str], ours: Holder) -> bool:
    return labels.get(OWNER) == ours.owner and labels.get(MACHINE) == ours.machine


def _update(fleet: Fleet, change: Callable[[Mapping[str, str], str], Mapping[str, str] | None]) -> None:
    """Change the labels of the manager's node as one step; tried again where another changed them meanwhile.

    Args:
        fleet: the hosts.
        change: returns the labels wanted, given those there and the manager's time; None to take ours off.
    """
    from docker.errors import APIError

    manager = fleet.inventory.manager
    with engine_errors(manager, "looking at the lock of the cluster"):
        engine = fleet.engine(manager)
        for look in range(10):
            info: Mapping[str, Any] = engine.info()
            node = engine.nodes.get(info["Swarm"]["NodeID"])
            there = dict(node.attrs["Spec"].get("Labels") or {})
            wanted = change(there, str(info["SystemTime"]))
            left = {k: v for k, v in there.items() if k not in ALL} if wanted is None else dict(wanted)
            if left == there:
                return
            try:
                node.update({**node.attrs["Spec"], "Labels": left})
                return
            except APIError as error:
                if "out of sequence" not in str(error) or look == 9:
                    raise
                time.sleep(0.05)


def _runs(process: int) -> bool:
    if process == os.getpid():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _time(text: str) -> datetime:
    """A time as an engine writes it, RFC 3339 with nanoseconds; long ago where it is none."""
    try:
        return datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
