"""The Swarm as backend: implements `cluster.backend.Backend`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING

from cluster.backend import Capacity, Counts, Departure, HostState, JobResult, Occupancy, Report
from cluster.host_counters import HostCounters, read_host, script_for
from cluster.images.build import Image
from cluster.images.catalog import Workload
from cluster.provision.inventory import Host, Inventory
from cluster.settings import LaunchSettings
from cluster.spec import ClusterSpec, Container, ContainerSpec, Held, Purpose, layout_of
from cluster.swarm import departure, jobs, lock, membership, occupancy, stack
from cluster.swarm.launcher import Launcher
from cluster.swarm.removal import hostname, remove_services, services_of, sweep_containers
from cluster.swarm.services import (
    container_of,
    container_of_labels,
    owned_labels,
    signature,
)
from cluster.swarm.support import Support
from cluster.swarm.tasks import DEAD, cause_of_death, nodes_up, responding, tasks_of
from metis.errors import MetisError, SurroundingsError
from metis.problem.counts import IntArray

if TYPE_CHECKING:
    from cluster.provision.hosts import Fleet

LOOK = 20.0  # seconds for a look whether a host takes part
MEMBERSHIP = "docker info --format '{{.Swarm.LocalNodeState}}'"


class SwarmBackend:
    """Runs containers as services of a Swarm, each bound to its node.

    What is measured is removed by the code that launched it, or by the next `sweep`; what is deployed stays
    until it is stopped.

    Args:
        fleet: the hosts.
        workloads: in the order of the counts.
        images: as `cluster.images.distribution` returned them.
        settings: limits, ports, patience.
    """

    def __init__(
        self,
        fleet: "Fleet",
        workloads: Sequence[Workload],
        images: Sequence[Image],
        settings: LaunchSettings | None = None,
    ) -> None:
        self.fleet = fleet
        self.settings = settings or LaunchSettings()
        self.layout = layout_of(fleet.inventory, workloads, images, self.settings)
        self._support = Support(fleet, self.layout)
        tags = {one.app: one.tag for one in images}
        self._launcher = Launcher(fleet, tags, self.settings.ready_timeout)

    @property
    def inventory(self) -> Inventory:
        """See `Backend.inventory`."""
        return self.fleet.inventory

    def prepare(self, report: Report) -> Inventory:
        """See `Backend.prepare`: the hosts become one Swarm."""
        return membership.prepare(self.fleet, report)

    def host_states(self) -> dict[str, HostState]:
        """See `Backend.host_states`."""
        return membership.host_states(self.fleet)

    def exclusive(self, doing: str, report: Report, patience: float) -> AbstractContextManager[None]:
        """See `Backend.exclusive`."""
        return lock.held(self.fleet, doing, report, patience)

    def departure(self) -> Departure:
        """See `Backend.departure`."""
        return departure.departure(self.fleet)

    def disband(self, report: Report, force: bool = False) -> None:
        """See `Backend.disband`: hosts that were in a Swarm before stay in it."""
        departure.leave(self.fleet, report, force=force)

    def specs(
        self, node: str, held: Held, session: str, purpose: Purpose = "measured"
    ) -> list[ContainerSpec]:
        """See `Backend.specs`."""
        return self.layout.containers(node, held, session, purpose)

    def signature(self, spec: ContainerSpec) -> str:
        """See `Backend.signature`."""
        return signature(spec)

    def launch(self, colocations: Counts, session: str, purpose: Purpose = "measured") -> list[Container]:
        """See `Backend.launch`."""
        wanted = [self.layout.colocation(*each, session, purpose) for each in colocations.items()]
        return self.start([one for those in wanted for one in those])

    @contextmanager
    def running(self, colocations: Counts, session: str) -> Iterator[list[Container]]:
        """See `Backend.running`; a failure to stop is reported only where nothing else failed."""
        containers = self.launch(colocations, session)
        try:
            yield containers
        except BaseException:
            _quietly(lambda: self.stop(containers))
            raise
        self.stop(containers)

    @contextmanager
    def paired(
        self, node: str, counts: Sequence[int] | IntArray, room: int, session: str
    ) -> Iterator[tuple[list[Container], dict[str, Container]]]:
        """See `Backend.paired`."""
        mixed = self.layout.colocation(node, counts, session, "measured")
        alone: dict[str, ContainerSpec] = {}
        besides: list[ContainerSpec] = []
        for one in mixed:
            if one.app in alone:
                continue
            held = [(int(one.slot or 0), one.app)]
            if self.layout.containers(node, held, session, "measured") == [one]:
                alone[one.app] = one
            else:
                held = [(len(mixed) + len(besides), one.app)]
                besides += self.layout.containers(node, held, session, "measured")
                alone[one.app] = besides[-1]
        if len(besides) > room:
            besides, alone = [], {}
        containers = self.start([*mixed, *besides])
        by_slot = {one.slot: one for one in containers}
        try:
            yield containers[: len(mixed)], {app: by_slot[int(one.slot or 0)] for app, one in alone.items()}
        except BaseException:
            _quietly(lambda: self.stop(containers))
            raise
        self.stop(containers)

    def start(self, specs: Sequence[ContainerSpec]) -> list[Container]:
        """See `Backend.start`."""
        if not specs:
            return []
        containers = [container_of(one) for one in specs]
        self._launcher.refuse_taken(containers)
        self._support.ensure(sorted({one.node for one in containers}))
        ready: set[str] = set()
        try:
            self._launcher.create(specs)
            self._launcher.wait(specs, ready)
        except BaseException:
            kept = ready if specs[0].purpose == "deployed" else set[str]()
            left = [one for one in containers if one.name not in kept]
            _quietly(lambda: self.stop(left))
            raise
        return containers

    def stop(self, containers: Sequence[Container]) -> None:
        """See `Backend.stop`."""
        names = {one.name for one in containers}
        standing = self._services() if names else []
        remove_services(self.fleet, [one for one in standing if one["metis.service"] in names])

    def standing(self, session: str | None = None) -> list[Container]:
        """See `Backend.standing`: the containers that there are services for."""
        addresses = {host.name: host.seen_as for host in self.inventory.hosts}
        found = [
            container_of_labels(each, addresses) for each in self._services(session) if "metis.slot" in each
        ]
        return sorted(found, key=lambda one: (one.node, one.slot, one.name))

    def troubles(self, session: str) -> list[str]:
        """See `Backend.troubles`; a node that is down is a cause as well."""
        standing = {one.name: one for one in self.standing(session)}
        labels = owned_labels(self.inventory.name) | {"metis.session": session}
        dead = [task for task in tasks_of(self.fleet, labels, standing) if task.state in DEAD]
        last = {task.service: task for task in dead}
        up = set(nodes_up(self.fleet).values()) if standing else set()
        causes = []
        for name, one in standing.items():
            if name in last:
                causes.append(cause_of_death(self.fleet, last[name], one, self.settings.memory_mb))
            elif hostname(self.fleet, self.inventory.host(one.node)) not in up:
                causes.append(f"{one.where}: its node is down")
        return causes

    def responding(self, containers: Sequence[Container], seconds: float) -> set[str]:
        """See `Backend.responding`."""
        return responding(self.fleet, self.inventory.clients[0], containers, seconds) if containers else set()

    def counters(self, host: Host, session: str) -> HostCounters:
        """See `Backend.counters`."""
        return read_host(self.fleet.run(host, script_for(self.inventory.name, session), timeout=LOOK))

    def unavailable(self, host: Host) -> str:
        """See `Backend.unavailable`."""
        try:
            state = self.fleet.run(host, MEMBERSHIP, timeout=LOOK, again=True).strip()
        except SurroundingsError as error:
            return str(error)
        if host.role != "client" and state != "active":
            return f"{host.name}: takes no part in the Swarm (it says {state or 'nothing'})"
        if host.role == "worker":
            known = membership.node_state(self.fleet, hostname(self.fleet, host))
            return "" if known == "ready" else f"{host.name}: is {known}"
        return ""

    def occupancy(self) -> dict[str, Occupancy]:
        """See `Backend.occupancy`."""
        return occupancy.look(self.fleet)

    def capacity(self) -> dict[str, Capacity]:
        """See `Backend.capacity`: as setup found it."""
        facts = self.inventory.facts
        return {
            host.name: Capacity(int(facts[host.name]["cores"]), int(facts[host.name]["memory"]) >> 20)
            for host in self.inventory.workers
            if {"cores", "memory"} <= set(facts.get(host.name, {}))
        }

    def ensure_support(self) -> list[str]:
        """See `Backend.ensure_support`: the network, each node's memcached, the origin."""
        return self._support.ensure([worker.name for worker in self.inventory.workers])

    def sweep(self) -> list[str]:
        """See `Backend.sweep`."""
        labels = owned_labels(self.inventory.name, "measured")
        left = services_of(self.fleet, labels)
        remove_services(self.fleet, left)
        return sorted({one["metis.service"] for one in left} | set(sweep_containers(self.fleet, labels)))

    def clear(self) -> None:
        """See `Backend.clear`; the network goes as well."""
        remove_services(self.fleet, self._services())
        self._support.remove_network()

    def run_job(
        self,
        client: Host,
        image: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        session: str,
        timeout: float,
    ) -> JobResult:
        """See `Backend.run_job`."""
        return jobs.run_job(self.fleet, client, image, arguments, environment, session, timeout)

    def sweep_jobs(self, session: str) -> None:
        """See `Backend.sweep_jobs`."""
        jobs.sweep_jobs(self.fleet, session)

    def run_script(self, client: Host, script: str, timeout: float) -> str:
        """See `Backend.run_script`."""
        return self.fleet.run(client, "python3 -", stdin=script, timeout=timeout)

    def render(self, cluster: ClusterSpec) -> str:
        """See `Backend.render`: a stack file."""
        return stack.render(cluster)

    def _services(self, session: str | None = None) -> list[dict[str, str]]:
        labels = owned_labels(self.inventory.name) | ({"metis.session": session} if session else {})
        return services_of(self.fleet, labels)


def _quietly(do: Callable[[], None]) -> None:
    """Clean up after a failure: what fails now must not hide it, and the next `sweep` does it again."""
    with suppress(MetisError):
        do()
