"""A live cluster as testbed: one co-location after another is launched on a worker, loaded and removed."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cluster.host_counters import HostCounters, used_between
from cluster.images.catalog import Workload
from cluster.load.duet import DuetResult, LoadInTurns, turns_of
from cluster.load.generator import LoadResult, Target
from cluster.load.measurement import target_of
from cluster.load.run import Run, circumstances_of, paired_of
from cluster.load.scoring import combine, implausible, refusal
from cluster.load.sittings import Sittings
from cluster.provision.inventory import Host
from cluster.settings import LoadSettings
from cluster.spec import Container
from metis.errors import InputError, MetisError, SurroundingsError
from metis.measure.circumstances import disturbance
from metis.measure.profile import MEASURES, Profile, make_profile
from metis.measure.testbed import UnmeasuredError
from metis.problem.counts import FloatArray, IntArray, describe_colocation
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

if TYPE_CHECKING:
    from cluster.backend import Backend
    from metis.measure.journal import Journal

IDLE = 1.0  # seconds for which an application is watched without requests
LOOK_AGAIN = 300.0  # seconds until a host that was lost is looked at again
TRIES_ALONE = 2  # of an application that does not run alone, in one sitting
Load = Callable[[Host, Sequence[Target]], Mapping[str, LoadResult]]


@dataclass
class ClusterTestbed:
    """Measures co-locations on the workers of a cluster, several workers at once.

    RPS is divided by what the same application reached alone. With `duet` a co-location and a container of
    each of its applications take turns in short slices, on the same node, in the same minute. Without, where
    one works without requests, or where it finds no slot for a container by itself, there are runs
    alone before anything else and again after every `every` runs of an application, and a run is divided by
    the median of those of its sitting nearest to it in time (see `cluster.load.sittings`). Nodes are taken to
    be alike.

    Attributes:
        workloads: the applications, in the order of the counts.
        slots: of a node.
        backend: runs containers, and knows whether a host can take part.
        load: loads targets from a client.
        settings: of the load.
        sittings: the stand-alone runs of this and of earlier sittings.
        session: label of what runs for this testbed.
        at_once: workers measured at the same time, at most.
        alone: stand-alone runs of an application before it is measured beside others.
        every: runs of an application after which it is measured alone again.
        report: called with a line where a host is lost or back, and where a measurement fails.
        begin: called with what is measured now, and where.
        duet: loads sets of targets in turn from a client; None for what is measured one after the other.
    """

    workloads: tuple[Workload, ...]
    slots: int
    backend: "Backend"
    load: Load
    settings: LoadSettings
    sittings: Sittings
    session: str = "profile"
    at_once: int = 1
    alone: int = 1
    every: int = 30
    report: Callable[[str], None] = lambda line: None
    begin: Callable[[str], None] = lambda what: None
    duet: LoadInTurns | None = None
    _lost: dict[str, tuple[float, str]] = field(default_factory=dict)
    _mute: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.space = ColocationSpace(tuple(one.name for one in self.workloads), self.slots)

    def measure(self, colocations: IntArray, seed: int, repeats: int = 1) -> Profile:
        """See `Testbed.measure`; a seed has no effect. Notes: raw RPS, when, where, seconds."""
        del seed
        ids = np.unique(self.space.index(colocations)).tolist()
        single = [i for i in ids if self.space.totals[i] == 1]
        runs: list[Run] = []
        failed: dict[int, str] = {}
        for _ in range(repeats):
            found = self._all([i for i in single if i not in failed])
            found |= self._all(self._ready([i for i in ids if i not in single], failed))
            runs += [one for one in found.values() if isinstance(one, Run)]
            failed |= {i: one for i, one in found.items() if isinstance(one, str)}
        kept = [run for run in runs if run.id not in failed]
        profile = self._profile(kept) if kept else None
        if failed or profile is None:
            raise UnmeasuredError(failed or dict.fromkeys(ids, "nothing was measured"), profile)
        return profile

    def leave_out(self, host: str, why: str) -> None:
        """Measure without a host until it can take part; it is looked at again later."""
        self._lost[host] = (time.monotonic(), why)

    def truth(self, quantities: Sequence[str] = ("rps",)) -> Tables:
        """Unknown: see `Testbed.truth`.

        Raises:
            InputError: always.
        """
        raise InputError(
            "testbed=swarm: a live cluster knows no truth to judge placements by; deploy one and measure it"
        )

    def settle(self, journal: "Journal") -> None:
        """Divide all runs anew, now that stand-alone runs after them are known as well as those before."""
        for run in journal.sound:
            note = run.get("note")
            if note is not None and "ratio" not in note:
                raw = np.array([np.nan if value is None else value for value in note["raw"]])
                run["rps"] = self._normalised(run["id"], raw, note["at"], note["sitting"]).tolist()

    def alone_rps(self) -> dict[str, float]:
        """RPS of each application alone: the median over its last sitting."""
        return {app: float(np.median(values)) for app, values in self.sittings.latest().items()}

    def _ready(self, ids: Sequence[int], failed: dict[int, str]) -> list[int]:
        """Those whose applications were measured alone, after measuring that where it is due."""
        apps = self.space.apps
        needed = [apps[a] for a in np.flatnonzero(self.space.counts[list(ids)].any(axis=0))] if ids else []
        for _ in range(self.alone):
            due = [app for app in needed if self._is_due(app)]
            found = self._all([self._alone_id(app) for app in due])
            for app in due:
                run = found[self._alone_id(app)]
                if isinstance(run, str):
                    self._mute.setdefault(app, []).append(run)
        silent = {app: self._mute[app][-1] for app in needed if not self.sittings.current().get(app)}
        for i in ids:
            present = [app for app, count in zip(apps, self.space.counts[i], strict=True) if count]
            for app in present:
                if app in silent:
                    failed[i] = (
                        f"{app} does not run alone, so nothing can be held against that: {silent[app]}"
                    )
        return [i for i in ids if i not in failed]

    def _is_due(self, app: str) -> bool:
        if len(self._mute.get(app, [])) >= TRIES_ALONE:
            return False
        runs = len(self.sittings.current().get(app, []))
        if self.duet is not None and not self.sittings.restless(app):
            return not runs
        return runs < self.alone or self.sittings.since(app) >= self.every

    def _alone_id(self, app: str) -> int:
        a = self.space.apps.index(app)
        return int(self.space.index(np.eye(len(self.space.apps), dtype=np.int64)[a]))

    def _all(self, ids: Sequence[int]) -> dict[int, Run | str]:
        """Each co-location's run, or why there is none.

        Raises:
            SurroundingsError: the manager, all clients or all workers cannot be reached.
        """
        todo, found = deque(ids), dict[int, Run | str]()
        while todo:
            workers = self._reachable(self.backend.inventory.workers)[: self.at_once]
            clients = self._reachable(self.backend.inventory.clients)
            chosen = [
                (worker, clients[n % len(clients)], todo.popleft())
                for n, worker in enumerate(workers)
                if todo
            ]
            for (worker, client, i), run in zip(chosen, self._side_by_side(chosen), strict=True):
                if isinstance(run, Run):
                    found[i] = run
                    self._enter(run)
                    if why := disturbance(run.circumstances, self.settings.most_taken):
                        what = describe_colocation(self.space.counts[i], self.space.apps)
                        self.report(f"disturbed: {what} on {worker.name}: {why}")
                elif self._all_there(worker, client):
                    self.report(f"failed: {run}")
                    found[i] = run
                else:
                    todo.append(i)
        return found

    def _side_by_side(self, chosen: Sequence[tuple[Host, Host, int]]) -> list[Run | str]:
        if len(chosen) == 1:  # without a thread an interrupt ends the load at once
            return [self._try(*chosen[0])]
        with ThreadPoolExecutor(max_workers=len(chosen)) as pool:
            return list(pool.map(lambda each: self._try(*each), chosen))

    def _reachable(self, hosts: Sequence[Host]) -> list[Host]:
        """Those that can take part; one that was lost is looked at later, or where no other is left."""
        none = all(host.name in self._lost for host in hosts)
        for host in hosts:
            if host.name in self._lost and (none or time.monotonic() - self._lost[host.name][0] > LOOK_AGAIN):
                self._look_at(host)
        left = [host for host in hosts if host.name not in self._lost]
        if not left:
            self.report(f"none of {', '.join(host.name for host in hosts)} can take part")
            raise SurroundingsError(self._lost[hosts[0].name][1])
        return left

    def _look_at(self, host: Host) -> bool:
        """Whether a host can take part; one that cannot is noted as lost."""
        if why := self.backend.unavailable(host):
            if host.name not in self._lost:
                self.report(f"{host.name} is lost, its runs go to others: {why}")
            self._lost[host.name] = (time.monotonic(), why)
        elif self._lost.pop(host.name, None):
            self.report(f"{host.name} is back")
        return not why

    def _all_there(self, worker: Host, client: Host) -> bool:
        """Whether the hosts of a failed run can still take part; those that cannot are noted as lost.

        Raises:
            SurroundingsError: the manager cannot be reached.
        """
        if why := self.backend.unavailable(self.backend.inventory.manager):
            self.report(f"the manager is lost: {why}")
            raise SurroundingsError(why)
        there = [self._look_at(host) for host in (worker, client)]
        return all(there)

    def _try(self, worker: Host, client: Host, i: int) -> Run | str:
        try:
            return self._once(worker, client, i)
        except MetisError as error:
            return f"{describe_colocation(self.space.counts[i], self.space.apps)}: {error}"

    def _once(self, worker: Host, client: Host, i: int) -> Run:
        """Launch, load, look, remove."""
        session, counts = f"{self.session}-{worker.name}", self.space.counts[i]
        begun = time.monotonic()
        self.begin(f"{describe_colocation(counts, self.space.apps)} on {worker.name}")
        with self._started(worker, counts, session) as (containers, alone):
            before, looked = self._counters(worker, session)
            results, duet = self._load(client, containers, alone)
            at = time.time()
            after, again = self._counters(worker, session)
            idle = self._idle(worker, session, after) if self.duet and len(containers) == 1 else np.nan
            troubles = self.backend.troubles(session)
        seconds = time.monotonic() - begun
        if troubles:
            raise SurroundingsError("; ".join(troubles))
        for container in containers:
            self._check(container, results[container.name], alone=len(containers) == 1)
        for each, container in zip(duet.sets[1:] if duet else (), alone.values(), strict=False):
            self._check(container, each[container.name], alone=True)
        window = duet.seconds if duet else self.settings.duration
        measures = self._per_app(containers, results)
        return Run(
            i,
            at,
            **measures,
            worker=worker.name,
            client=client.name,
            seconds=seconds,
            overhead=seconds - self.settings.warm_up - window,
            circumstances=circumstances_of(before, after, results),
            looked=looked + again,
            paired=paired_of(duet, (counts > 0).tolist()) if duet else None,
            idle=idle,
        )

    @contextmanager
    def _started(
        self, worker: Host, counts: IntArray, session: str
    ) -> Iterator[tuple[Sequence[Container], Mapping[str, Container]]]:
        """Containers of a co-location, and by application those that are loaded by themselves, if any."""
        apps = [app for app, count in zip(self.space.apps, counts, strict=True) if count]
        if self.duet is None or counts.sum() == 1 or any(map(self.sittings.restless, apps)):
            with self.backend.running({worker.name: counts}, session) as containers:
                yield containers, {}
            return
        room = self.slots - int(counts.sum())
        with self.backend.paired(worker.name, counts, room, session) as (containers, alone):
            # in the order of the applications, as a duet has them
            yield containers, {app: alone[app] for app in apps} if alone else {}

    def _load(
        self, client: Host, containers: Sequence[Container], alone: Mapping[str, Container]
    ) -> tuple[Mapping[str, LoadResult], DuetResult | None]:
        """What the containers reached, and the duet that it comes from, where there was one."""
        if self.duet is None or not alone:
            return self.load(client, [self._target(one) for one in containers]), None
        targets = {one.name: self._target(one) for one in (*containers, *alone.values())}
        mixed = {app: [one.name for one in containers if one.app == app] for app in alone}
        turns = turns_of(mixed, {app: one.name for app, one in alone.items()})
        found = self.duet(client, list(targets.values()), turns)
        return found.sets[0], found

    def _idle(self, worker: Host, session: str, before: HostCounters) -> float:
        """Share of a core that what was loaded uses without requests; NaN where unknown."""
        time.sleep(IDLE)
        after, _ = self._counters(worker, session)
        return used_between(before, after)

    def _counters(self, worker: Host, session: str) -> tuple[HostCounters, float]:
        """The counters of a worker, and the seconds that reading them took; a failure is no failed run."""
        begun = time.monotonic()
        try:
            found = self.backend.counters(worker, session)
        except SurroundingsError:
            found = HostCounters()
        return found, time.monotonic() - begun

    def _target(self, container: Container) -> Target:
        return target_of(container, self.workloads[self.space.apps.index(container.app)], self.settings)

    def _check(self, container: Container, result: LoadResult, *, alone: bool) -> None:
        """Refuse what says more of a fault than of interference."""
        wrong = refusal(result, self.settings.most_failures)
        if not wrong and alone and not result.rps > 0:
            wrong = f"alone, all of {result.requests} responses are late: there is nothing to compare with"
        known = self.sittings.current().get(container.app)
        if not wrong and not alone and known:
            wrong = implausible(result.rps, float(np.median(known)))
        if wrong:
            where = f"{container.app} in slot {container.slot} of {container.node}"
            raise SurroundingsError(f"{where}: {wrong}")

    def _per_app(
        self, containers: Sequence[Container], results: Mapping[str, LoadResult]
    ) -> dict[str, FloatArray]:
        """Measures of the containers as those of their applications, each [apps]."""
        found = {name: np.full(len(self.space.apps), np.nan) for name in MEASURES}
        for a, app in enumerate(self.space.apps):
            own = [results[container.name] for container in containers if container.app == app]
            for name, value in combine(own).items() if own else ():
                found[name][a] = value
        return found

    def _enter(self, run: Run) -> None:
        """Note what a run is worth for those to come."""
        counts = self.space.counts[run.id]
        apps = [app for app, count in zip(self.space.apps, counts, strict=True) if count]
        if counts.sum() == 1:
            self.sittings.enter_alone(apps[0], run.at, float(run.rps[counts > 0][0]), run.idle)
            if self.sittings.restless(apps[0]):
                self.report(
                    f"{apps[0]} works without requests ({run.idle:.0%} of a core): it is measured alone, and "
                    "beside others, one after the other"
                )
        else:
            if run.paired is not None:
                for app, unit in zip(apps, run.paired.unit[counts > 0].tolist(), strict=True):
                    self.sittings.enter_alone(app, run.at, unit)
            self.sittings.enter_shared(apps, run.at)

    def _normalised(self, i: int, raw: FloatArray, at: float, sitting: int) -> FloatArray:
        """RPS to that alone, [apps]; alone it is 1 by definition."""
        if self.space.totals[i] == 1:
            return np.where(np.isfinite(raw), 1.0, np.nan)
        unit = [
            self.sittings.unit(app, at, sitting) if count else np.nan
            for app, count in zip(self.space.apps, self.space.counts[i], strict=True)
        ]
        return np.asarray(raw / np.array(unit))

    def _profile(self, runs: Sequence[Run]) -> Profile:
        """The runs as a profile, with a note for each co-location: of its last run."""
        sitting = self.sittings.number
        measures = {name: np.stack([getattr(run, name) for run in runs]) for name in MEASURES}
        rps = [
            self._normalised(run.id, run.rps, run.at, sitting) if run.paired is None else run.paired.ratio
            for run in runs
        ]
        notes = {run.id: run.note(sitting, self.settings.most_taken) for run in runs}
        ids = [run.id for run in runs]
        provenance = {"source": "swarm", "cluster": self.backend.inventory.name, "notes": notes}
        measures["rps"] = np.stack(rps)
        return make_profile(self.space.apps, self.slots, self.space.counts[ids], measures, provenance)
