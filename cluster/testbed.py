"""The live Swarm as a testbed: launch a co-location on a worker, load it, tear it down, next."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cluster.images.catalog import Workload
from cluster.load.generator import Answer, Target
from cluster.load.sittings import Sittings
from cluster.provision.inventory import Host, Inventory
from cluster.settings import LoadSettings
from cluster.swarm.services import Container
from metis.errors import InputError, MetisError, SurroundingsError
from metis.measure.profile import MEASURES, Profile, make_profile
from metis.measure.testbed import UnmeasuredError
from metis.problem.counts import FloatArray, IntArray, describe_colocation
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

if TYPE_CHECKING:
    from metis.measure.journal import Journal

ASK_AGAIN = 300.0  # seconds until a host that was lost is asked whether it is back
TRIES_ALONE = 2  # of an application that does not run alone, in one sitting
Load = Callable[[Host, Sequence[Target]], Mapping[str, Answer]]
Reach = Callable[[Host], str]  # why a host cannot take part; empty where it can


class Launches(Protocol):
    """What the testbed needs of `cluster.swarm.launcher.Launcher`."""

    def running(
        self, colocations: Mapping[str, IntArray], session: str
    ) -> AbstractContextManager[Sequence[Container]]:
        """The containers of a co-location per node, all answering; removed at the end."""
        ...

    def troubles(self, session: str) -> Sequence[str]:
        """What died since it was started, in words."""
        ...


@dataclass(frozen=True)
class Run:
    """One co-location measured once.

    Attributes:
        id: of the co-location.
        at: when the load ended, seconds since 1970.
        rps: per application, good answers per second of one container (mean), [apps]; NaN where absent.
        p50: seconds (mean over its containers), likewise; also p99.
        p99: see p50.
        requests: of all its containers, [apps].
        failures: of these, [apps].
        worker: where it ran.
        client: where the load came from.
        seconds: that it all took.
        overhead: of these, beyond warm-up and window.
    """

    id: int
    at: float
    rps: FloatArray
    p50: FloatArray
    p99: FloatArray
    requests: FloatArray
    failures: FloatArray
    worker: str
    client: str
    seconds: float
    overhead: float


@dataclass
class SwarmTestbed:
    """Measures co-locations on the workers of a Swarm, several workers at once.

    RPS is divided by what the same application reached alone in the same sitting: stand-alone runs are made
    before anything else and again after every `every` runs of an application, and a run is divided by the
    median of those nearest to it in time (see `cluster.load.sittings`). Nodes are taken to be alike.

    Attributes:
        workloads: the applications, in the order of the counts.
        slots: of a node.
        inventory: the hosts.
        launcher: runs containers.
        load: loads targets from a client.
        reach: says whether a host can take part.
        settings: of the load.
        sittings: the stand-alone runs of this and of earlier sittings.
        session: label of what runs for this testbed.
        at_once: workers measured at the same time, at most.
        alone: stand-alone runs of an application before it is measured beside others.
        every: runs of an application after which it is measured alone again.
    """

    workloads: tuple[Workload, ...]
    slots: int
    inventory: Inventory
    launcher: Launches
    load: Load
    reach: Reach
    settings: LoadSettings
    sittings: Sittings
    session: str = "profile"
    at_once: int = 1
    alone: int = 1
    every: int = 30
    _lost: dict[str, tuple[float, str]] = field(default_factory=dict)
    _mute: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.space = ColocationSpace(tuple(one.name for one in self.workloads), self.slots)

    def measure(self, colocations: IntArray, seed: int, repeats: int = 1) -> Profile:
        """See `Testbed.measure`; the seed is the world's. Notes: raw RPS, when, where, seconds."""
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

    def truth(self, *, latency: bool = False) -> Tables:
        """Nobody knows it.

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
            if note is not None:
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
                told = found[self._alone_id(app)]
                if isinstance(told, str):
                    self._mute.setdefault(app, []).append(told)
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
            workers = self._reachable(self.inventory.workers)[: self.at_once]
            clients = self._reachable(self.inventory.clients)
            chosen = [
                (worker, clients[n % len(clients)], todo.popleft())
                for n, worker in enumerate(workers)
                if todo
            ]
            for (worker, client, i), answer in zip(chosen, self._side_by_side(chosen), strict=True):
                if isinstance(answer, Run):
                    found[i] = answer
                    self._enter(answer)
                elif self._all_there(worker, client):
                    found[i] = answer
                else:
                    todo.append(i)
        return found

    def _side_by_side(self, chosen: Sequence[tuple[Host, Host, int]]) -> list[Run | str]:
        if len(chosen) == 1:  # without a thread an interrupt ends the load at once
            return [self._try(*chosen[0])]
        with ThreadPoolExecutor(max_workers=len(chosen)) as pool:
            return list(pool.map(lambda words: self._try(*words), chosen))

    def _reachable(self, hosts: Sequence[Host]) -> list[Host]:
        """Those that can take part; one that was lost is asked again later, or where no other is left."""
        none = all(host.name in self._lost for host in hosts)
        for host in hosts:
            if host.name in self._lost and (none or time.monotonic() - self._lost[host.name][0] > ASK_AGAIN):
                self._note_reach(host)
        left = [host for host in hosts if host.name not in self._lost]
        if not left:
            raise SurroundingsError(self._lost[hosts[0].name][1])
        return left

    def _note_reach(self, host: Host) -> bool:
        if why := self.reach(host):
            self._lost[host.name] = (time.monotonic(), why)
        else:
            self._lost.pop(host.name, None)
        return not why

    def _all_there(self, worker: Host, client: Host) -> bool:
        """Whether the hosts of a failed run can still take part; those that cannot are noted as lost.

        Raises:
            SurroundingsError: the manager cannot be reached.
        """
        if why := self.reach(self.inventory.manager):
            raise SurroundingsError(why)
        there = [self._note_reach(host) for host in (worker, client)]
        return all(there)

    def _try(self, worker: Host, client: Host, i: int) -> Run | str:
        try:
            return self._once(worker, client, i)
        except MetisError as error:
            return f"{describe_colocation(self.space.counts[i], self.space.apps)}: {error}"

    def _once(self, worker: Host, client: Host, i: int) -> Run:
        """Launch, load, look, remove."""
        session = f"{self.session}-{worker.name}"
        begun = time.monotonic()
        with self.launcher.running({worker.name: self.space.counts[i]}, session) as containers:
            answers = self.load(client, [self._target(container) for container in containers])
            at = time.time()
            troubles = self.launcher.troubles(session)
        seconds = time.monotonic() - begun
        if troubles:
            raise SurroundingsError("; ".join(troubles))
        for container in containers:
            self._check(container, answers[container.service])
        loading = self.settings.warm_up + self.settings.duration
        measures = self._per_app(containers, answers)
        return Run(
            i,
            at,
            **measures,
            worker=worker.name,
            client=client.name,
            seconds=seconds,
            overhead=seconds - loading,
        )

    def _target(self, container: Container) -> Target:
        workload = self.workloads[self.space.apps.index(container.app)]
        return Target(
            name=container.service,
            url=container.origin + workload.path,
            users=workload.users or self.settings.users,
            sla=self.settings.sla if workload.sla is None else workload.sla,
            timeout=self.settings.timeout,
        )

    def _check(self, container: Container, answer: Answer) -> None:
        """Refuse what says more of a fault than of interference."""
        where = f"{container.app} in slot {container.slot} of {container.node}"
        if not answer.requests:
            raise SurroundingsError(f"{where}: no request ended within {answer.seconds:.0f} s")
        broken = answer.failures - answer.late  # to be late is what interference does
        if broken > self.settings.most_failures * answer.requests:
            raise SurroundingsError(
                f"{where}: {broken} of {answer.requests} requests failed (mostly: {answer.error})"
            )

    def _per_app(
        self, containers: Sequence[Container], answers: Mapping[str, Answer]
    ) -> dict[str, FloatArray]:
        """Measures of the containers as those of their applications, each [apps]."""
        found = {name: np.full(len(self.space.apps), np.nan) for name in MEASURES}
        for a, app in enumerate(self.space.apps):
            own = [answers[container.service] for container in containers if container.app == app]
            for name in MEASURES if own else ():
                values = [float(getattr(answer, name)) for answer in own]
                found[name][a] = np.sum(values) if name in ("requests", "failures") else np.mean(values)
        return found

    def _enter(self, run: Run) -> None:
        """Note what a run is worth for those to come."""
        counts = self.space.counts[run.id]
        apps = [app for app, count in zip(self.space.apps, counts, strict=True) if count]
        if counts.sum() == 1:
            self.sittings.enter_alone(apps[0], run.at, float(run.rps[counts > 0][0]))
        else:
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
        rps = [self._normalised(run.id, run.rps, run.at, sitting) for run in runs]
        notes = {
            run.id: {
                "raw": [float(value) if np.isfinite(value) else None for value in run.rps],
                "at": run.at,
                "sitting": sitting,
                "worker": run.worker,
                "client": run.client,
                "seconds": round(run.seconds, 3),
                "overhead": round(run.overhead, 3),
            }
            for run in runs
        }
        ids = [run.id for run in runs]
        provenance = {"source": "swarm", "cluster": self.inventory.name, "notes": notes}
        measures["rps"] = np.stack(rps)
        return make_profile(self.space.apps, self.slots, self.space.counts[ids], measures, provenance)
