"""The counters of a host, read by one cheap command, and what two readings say about the time between."""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from metis.measure.circumstances import UNKNOWN, Circumstances

PRESSURES = {"stalled": "cpu", "starved": "memory", "waited": "io"}
# both versions of cgroups, and both of Docker's drivers for them
GROUPS = (
    "/sys/fs/cgroup/cpu*/docker/$id /sys/fs/cgroup/cpu*/system.slice/docker-$id.scope "
    "/sys/fs/cgroup/docker/$id /sys/fs/cgroup/system.slice/docker-$id.scope"
)
# what does not exist is left out, and is missing from the reading
SCRIPT = """
grep Cpus_allowed_list /proc/self/status
read -r up _ </proc/uptime; echo "uptime $up"
grep '^cpu' /proc/stat
read -r one _ </proc/loadavg; echo "load $one"
grep -E '^Mem(Total|Available):' /proc/meminfo
for kind in cpu memory io; do
  [ -r /proc/pressure/$kind ] && sed -n "s/^some.*total=/pressure $kind /p" /proc/pressure/$kind
done
docker ps --no-trunc --filter label=metis.cluster=CLUSTER \\
  --format '{{.ID}} {{.Label "metis.purpose"}} {{.Label "metis.session"}}' |
while read -r id purpose session; do
  [ "$purpose" = support ] || [ "$session" = SESSION ] || continue
  echo "container $id $purpose"
  for group in GROUPS; do
    [ -r "$group/cpuacct.usage" ] && echo "usage_nsec $(cat "$group/cpuacct.usage")"
    [ -r "$group/cpu.stat" ] && cat "$group/cpu.stat"
  done
done
true
"""


@dataclass(frozen=True)
class Used:
    """What a container used so far, by its cgroup.

    Attributes:
        cpu: seconds of processor time; NaN where unknown.
        throttled: seconds in which its limit stopped it; NaN where unknown.
        support: whether it is a support service.
    """

    cpu: float = UNKNOWN
    throttled: float = UNKNOWN
    support: bool = False


@dataclass(frozen=True)
class HostCounters:
    """The counters of a host at one moment; NaN where unknown.

    Attributes:
        uptime: seconds since it was started.
        ticks: of each core that this host may use: busy, stolen and all, in the kernel's ticks.
        load: processes that run or wait, in the mean of the last minute.
        memory: share of its memory that is available.
        pressure: by resource, microseconds in which something waited for it.
        used: by id of each container of ours.
    """

    uptime: float = UNKNOWN
    ticks: Sequence[tuple[float, float, float]] = ()
    load: float = UNKNOWN
    memory: float = UNKNOWN
    pressure: Mapping[str, float] = field(default_factory=dict)
    used: Mapping[str, Used] = field(default_factory=dict)


def script_for(cluster: str, session: str) -> str:
    """The shell command that prints a reading of a host.

    Args:
        cluster: its name.
        session: of the measured containers; others of the cluster are no part of the measurement.
    """
    made = SCRIPT.replace("CLUSTER", shlex.quote(cluster)).replace("SESSION", shlex.quote(session))
    return made.replace("GROUPS", GROUPS)


def read_host(text: str) -> HostCounters:
    """The reading in what the command printed; what makes no sense is left out."""
    words = [line.split() for line in text.splitlines() if line.strip()]
    first = {line[0].rstrip(":"): line[1] for line in reversed(words) if len(line) > 1}
    allowed = set(_cores(first.get("Cpus_allowed_list", "")))
    total = _number(first.get("MemTotal"))
    return HostCounters(
        _number(first.get("uptime")),
        tuple(_ticks(line) for line in words if _core(line[0]) in allowed and len(line) > 8),
        _number(first.get("load")),
        _number(first.get("MemAvailable")) / total if total > 0 else UNKNOWN,
        {line[1]: _number(line[2]) for line in words if line[0] == "pressure" and len(line) > 2},
        dict(_containers(words)),
    )


def between(before: HostCounters, after: HostCounters) -> Circumstances:
    """What went on between two readings of a host."""
    seconds = after.uptime - before.uptime
    cores = len(after.ticks)
    pairs = list(zip(before.ticks, after.ticks, strict=False))
    busy, stolen, ticks = (sum(end[i] - begin[i] for begin, end in pairs) for i in range(3))
    shared = [(before.used.get(i, Used()), end) for i, end in after.used.items()]
    ours = sum(end.cpu - begin.cpu for begin, end in shared)
    known = ticks > 0 and seconds > 0
    stalls: dict[str, Any] = {
        name: (after.pressure[kind] - before.pressure[kind]) / seconds / 1e6
        for name, kind in PRESSURES.items()
        if kind in before.pressure and kind in after.pressure and seconds > 0
    }
    measured = [end.throttled - begin.throttled for begin, end in shared if not end.support]
    throttled = sum(measured) / len(measured) / seconds if measured and seconds > 0 else UNKNOWN
    own = ours / (seconds * cores) if known and shared else UNKNOWN
    found = Circumstances(
        taken=min(max((busy + stolen) / ticks - own, 0.0), 1.0) if known else UNKNOWN,
        stolen=stolen / ticks if known else UNKNOWN,
        busy=busy / ticks if known else UNKNOWN,
        load=after.load / cores if cores else UNKNOWN,
        load_before=before.load / cores if cores else UNKNOWN,
        throttled=throttled,
        memory=after.memory,
        **stalls,
    )
    return _with_missing(found)


def used_between(before: HostCounters, after: HostCounters) -> float:
    """Share of a core that the measured containers used between two readings; NaN where unknown."""
    seconds = after.uptime - before.uptime
    used = [
        end.cpu - before.used[i].cpu for i, end in after.used.items() if i in before.used and not end.support
    ]
    return sum(used) / seconds if used and seconds > 0 else UNKNOWN


def _with_missing(found: Circumstances) -> Circumstances:
    words = {
        "stalled": "/proc/pressure",
        "throttled": "the containers' cgroups",
        "busy": "/proc/stat",
        "memory": "/proc/meminfo",
    }
    missing = tuple(what for name, what in words.items() if math.isnan(getattr(found, name)))
    return Circumstances(**(vars(found) | {"missing": missing}))


def _containers(words: Sequence[Sequence[str]]) -> Iterator[tuple[str, Used]]:
    """By id what each container used; a counter that is seen by two paths counts once."""
    starts = [i for i, line in enumerate(words) if line[0] == "container" and len(line) > 1]
    for begin, end in pairwise([*starts, len(words)]):
        lines = {line[0]: _number(line[1]) for line in words[begin + 1 : end] if len(line) == 2}
        cpu = lines.get("usage_nsec", UNKNOWN) / 1e9
        cpu = lines.get("usage_usec", UNKNOWN) / 1e6 if math.isnan(cpu) else cpu
        throttled = lines.get("throttled_time", UNKNOWN) / 1e9
        throttled = lines.get("throttled_usec", UNKNOWN) / 1e6 if math.isnan(throttled) else throttled
        yield words[begin][1], Used(cpu, throttled, "support" in words[begin][2:3])


def _ticks(line: Sequence[str]) -> tuple[float, float, float]:
    """Busy, stolen and all ticks of a line of /proc/stat; guests are part of `user` there."""
    user, nice, system, idle, waiting, irq, soft, steal = map(_number, line[1:9])
    busy = user + nice + system + irq + soft
    return busy, steal, busy + idle + waiting + steal


def _core(word: str) -> int:
    return int(word[3:]) if word.startswith("cpu") and word[3:].isdigit() else -1


def _cores(listed: str) -> Iterator[int]:
    """The cores of a list such as `0-2,5`."""
    for part in listed.split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            yield from range(int(first), int(last if last.isdigit() else first) + 1)


def _number(word: str | None) -> float:
    try:
        return float(word) if word is not None else UNKNOWN
    except ValueError:
        return UNKNOWN
