"""Hosts, containers and load made up for tests of the testbed: no cluster is needed, and none is loaded."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from cluster.host_counters import HostCounters, Used
from cluster.images.catalog import Workload
from cluster.load.duet import DuetResult, Ratio, Turns
from cluster.load.generator import LoadResult, Target
from cluster.load.sittings import open_sittings
from cluster.provision.inventory import Host, Inventory
from cluster.settings import LoadSettings
from cluster.spec import Container
from cluster.testbed import ClusterTestbed
from metis.errors import SurroundingsError
from metis.measure.series import measure_list

APPS = ("cache", "web")
RAW = {"cache": 200.0, "web": 50.0}  # requests/s alone
HOSTS = (
    Host("m", "manager", "127.0.0.1"),
    Host("w1", "worker", "10.0.0.1"),
    Host("w2", "worker", "10.0.0.2"),
    Host("c", "client", "10.0.0.3"),
)


@dataclass
class World:
    """Hosts, containers and load: each neighbour takes a quarter of what one reaches alone."""

    speed: float = 1.0  # of all machines, now
    drift: float = 1.0  # by which it grows with every load
    broken: dict[tuple[int, ...], int] = field(default_factory=dict)  # co-location -> failures to come
    down: set[str] = field(default_factory=set)
    dies: dict[int, str] = field(default_factory=dict)  # at which load which host dies
    trouble: list[str] = field(default_factory=list)
    failures: int = 0  # of 100 requests
    late: int = 0
    taken: list[float] = field(default_factory=list)  # of the processor, by load
    unread: bool = False
    roomless: bool = False  # whether no container finds a slot by itself
    restless: float = 0.0  # of a core, without requests
    second: float = 0.0
    others: float = 0.0
    own: float = 0.0
    running_: dict[str, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    loads: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    inventory: Inventory = field(default_factory=lambda: Inventory("lab", "test", HOSTS, "known_hosts"))

    @contextmanager
    def running(
        self, colocations: Mapping[str, Sequence[int]], session: str
    ) -> Iterator[Sequence[Container]]:
        counts = {node: tuple(int(count) for count in held) for node, held in colocations.items()}
        assert session not in self.running_
        self.running_[session] = counts
        try:
            containers = []
            for node, held in counts.items():
                if node in self.down:
                    raise SurroundingsError(f"{node} does not respond")
                if self.broken.get(held, 0) > 0:
                    self.broken[held] -= 1
                    raise SurroundingsError("no room")
                apps = [app for app, count in zip(APPS, held, strict=True) for _ in range(count)]
                containers += [
                    Container(app, node, slot, f"s-{session}-{slot}", 8081 + slot, "10.0.0.9")
                    for slot, app in enumerate(apps)
                ]
            yield containers
        finally:
            del self.running_[session]

    @contextmanager
    def paired(self, node, counts, room, session):
        with self.running({node: counts}, session) as containers:
            first = {one.app: one for one in reversed(containers)}
            yield containers, ({} if self.roomless else first)

    def in_turns(self, client: Host, targets: Sequence[Target], turns: Turns) -> DuetResult:
        mixed = self.load(client, [one for one in targets if one.name in turns.sets[0]])
        app_of = {one.name: app for one, app in zip(targets, self.apps(), strict=True)}
        alone = [
            {name: LoadResult(RAW[app_of[name]] * self.speed, 0.01, 0.02, 100, 0, 1.0)}
            for (name,) in turns.sets[1:]
        ]
        ratios = tuple(
            Ratio(mixed[of[1][0]].rps / one[to[1][0]].rps, 0.01)
            for (of, to), one in zip(turns.ratios, alone, strict=True)
        )
        return DuetResult((mixed, *alone), ratios, 4, 8.0)

    def apps(self) -> list[str]:
        ((_, held),) = next(iter(self.running_.values())).items()
        return [app for app, count in zip(APPS, held, strict=True) for _ in range(count)]

    def troubles(self, session: str) -> Sequence[str]:
        return self.trouble

    def load(self, client: Host, targets: Sequence[Target]) -> Mapping[str, LoadResult]:
        session = next(s for s in self.running_ if targets[0].name.startswith(f"s-{s}-"))
        ((node, held),) = self.running_[session].items()
        self.loads.append((node, held))
        taken = self.taken[len(self.loads) - 1] if len(self.loads) <= len(self.taken) else 0.0
        self.others, self.own = self.others + taken, self.own + (1 - taken) / 2
        if host := self.dies.get(len(self.loads)):
            self.down.add(host)
        if node in self.down or client.name in self.down:
            raise SurroundingsError("the connection was lost")
        share = 0.75 ** (sum(held) - 1) * self.speed
        self.speed *= self.drift
        apps = [app for app, count in zip(APPS, held, strict=True) for _ in range(count)]
        return {
            target.name: LoadResult(RAW[app] * share, 0.01, 0.02, 100, self.failures, 1.0, "oops", self.late)
            for target, app in zip(targets, apps, strict=True)
        }

    def counters(self, host: Host, session: str) -> HostCounters:
        assert session in self.running_
        if self.unread:
            raise SurroundingsError(f"{host.name}: no docker")
        self.own += self.restless
        self.second += 1  # one core, of which others take `taken` and the containers half of the rest
        used = Used(self.own, 0.0)
        return HostCounters(
            self.second, ((self.others + self.own, 0.0, self.second),), 1.0, 0.5, used={"a": used}
        )

    def unavailable(self, host: Host) -> str:
        return f"{host.name} does not respond" if host.name in self.down else ""


def swarm_in(world: World, path: Path | None = None, **changes: object) -> ClusterTestbed:
    workloads = tuple(Workload(name, Path("nowhere")) for name in APPS)
    made = ClusterTestbed(
        workloads,
        2,
        world,
        world.load,
        LoadSettings(duration=1, warm_up=0),
        open_sittings(path, "hosts"),
    )
    return replace(made, **changes)


def measured(world: World, path: Path | None = None, **options: object):
    testbed = swarm_in(world, path and path.with_name("alone.json"))
    journal = measure_list(testbed, testbed.space.counts[1:], path=path, wait=lambda seconds: None, **options)
    testbed.settle(journal)
    return testbed, journal
