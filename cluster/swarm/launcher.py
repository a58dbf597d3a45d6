"""Co-locations launched on nodes, awaited until they answer, and removed until nothing of them is left."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from cluster.images.build import Image
from cluster.images.catalog import Workload
from cluster.provision import engine
from cluster.settings import LaunchSettings
from cluster.swarm.removal import at_once, remove_services, services_of, sweep_containers
from cluster.swarm.services import Container, Layout, Purpose
from cluster.swarm.support import Support
from cluster.swarm.tasks import DEAD, NO_ROOM, Task, answering, death, nodes_up, tasks_of
from metis.errors import MetisError, SurroundingsError
from metis.problem.counts import IntArray

if TYPE_CHECKING:
    import docker

    from cluster.provision.hosts import Fleet

LOOK = 1.0  # seconds that a client waits for answers between two looks at the Swarm
PAUSE = 0.2
NO_ROOM_FOR = 15.0  # seconds a port or memory may still be held by what is just ending
DEATHS = 3  # of a container that is started again until its launch is given up

Counts = Mapping[str, Sequence[int] | IntArray]


class Launcher:
    """Runs co-locations on the nodes of a cluster.

    What is measured is removed by whoever launched it, or by the next `sweep`; what is deployed (`lasting`)
    stays until it is stopped.

    Args:
        fleet: the hosts.
        workloads: in the order of the counts.
        images: as `cluster.images.distribution` gave them.
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
        self.layout = Layout(fleet.inventory, tuple(workloads), tuple(images), self.settings)
        self._support = Support(fleet, self.layout)
        self._manager = fleet.inventory.manager

    def support(self) -> list[str]:
        """See `Support.ensure`: the network, each node's memcached, the origin; answers what was changed."""
        return self._support.ensure([worker.name for worker in self.fleet.inventory.workers])

    def colocated(self, node: str, held: Sequence[tuple[int, str]], session: str) -> list[Container]:
        """See `Layout.colocated`."""
        return self.layout.colocated(node, held, session)

    def launch(self, colocations: Counts, session: str, *, lasting: bool = False) -> list[Container]:
        """Launch a co-location, counts [apps], on each of some nodes; answers once all containers do.

        Raises:
            InputError: a node or the counts are none.
            SurroundingsError: see `start`.
        """
        wanted = [self.layout.colocation(node, counts, session) for node, counts in colocations.items()]
        return self.start([one for those in wanted for one in those], session, lasting=lasting)

    @contextmanager
    def running(self, colocations: Counts, session: str) -> Iterator[list[Container]]:
        """`launch`, and `stop` whatever happens; a failure to stop is told only where nothing else failed."""
        containers = self.launch(colocations, session)
        try:
            yield containers
        except BaseException:
            self._quietly(lambda: self.stop(containers))
            raise
        self.stop(containers)

    def start(
        self, containers: Sequence[Container], session: str, *, lasting: bool = False
    ) -> list[Container]:
        """Start containers, all at once; answers once every one runs and answers a client host.

        When that fails those that were measured are removed again; of a deployment those that do not answer.

        Raises:
            SurroundingsError: a port is taken, an image missing, no room, a memory limit passed, or not ready
                within `ready_timeout`; names the containers and why.
        """
        if not containers:
            return []
        purpose: Purpose = "deployed" if lasting else "measured"
        self._refuse_taken(containers)
        self._support.ensure(sorted({one.node for one in containers}))
        ready: set[str] = set()
        try:
            self._create(containers, session, purpose)
            self._await(containers, session, ready, DEATHS if lasting else 1)
        except BaseException:
            left = [one for one in containers if not (lasting and one.service in ready)]
            self._quietly(lambda: self.stop(left))
            raise
        return list(containers)

    def standing(self, session: str | None = None) -> list[Container]:
        """The containers that there are services for, of one session or of all, by node and slot."""
        labels = self.layout.mine() | ({"metis.session": session} if session else {})
        found = [self.layout.found(each) for each in self._services(labels) if "metis.slot" in each]
        return sorted(found, key=lambda one: (one.node, one.slot, one.service))

    def troubles(self, session: str) -> list[str]:
        """The containers of a session that died since they were started, or whose node did, each with why."""
        standing = {one.service: one for one in self.standing(session)}
        last = {task.service: task for task in self._tasks(session, standing) if task.state in DEAD}
        up = set(nodes_up(self.fleet).values()) if standing else set()
        told = []
        for name, one in standing.items():
            if name in last:
                told.append(death(self.fleet, last[name], one, self._memory))
            elif self.layout.hostname(self.fleet.inventory.host(one.node)) not in up:
                told.append(f"{one.where}: its node is down")
        return told

    def stop(self, containers: Sequence[Container]) -> None:
        """Remove containers; answers once they are gone from their nodes, so that their ports are free."""
        names = {one.service for one in containers}
        standing = self._services(self.layout.mine()) if names else []
        remove_services(self.fleet, [one for one in standing if one["metis.service"] in names])

    def remove(self, session: str) -> None:
        """Remove all containers of a session, as `stop` does."""
        self.stop(self.standing(session))

    def sweep(self) -> list[str]:
        """Remove what earlier measurements left behind, deployments aside; answers the names of it."""
        labels = self.layout.mine("measured")
        left = self._services(labels)
        remove_services(self.fleet, left)
        return sorted({one["metis.service"] for one in left} | set(sweep_containers(self.fleet, labels)))

    def clear(self) -> None:
        """Remove everything of this cluster: what is measured, deployed and supports it, and the network."""
        remove_services(self.fleet, self._services(self.layout.mine()))
        self._support.remove_network()

    @property
    def _memory(self) -> int:
        return self.settings.memory_mb

    @property
    def _api(self) -> "docker.APIClient":
        return self.fleet.engine(self._manager).api

    def _services(self, labels: Mapping[str, str]) -> list[dict[str, str]]:
        return services_of(self.fleet, labels)

    def _tasks(self, session: str | None, services: Sequence[str] | Mapping[str, Any]) -> list[Task]:
        labels = self.layout.mine() | ({"metis.session": session} if session else {})
        return tasks_of(self.fleet, labels, services)

    def _quietly(self, do: Callable[[], None]) -> None:
        """Clean up after a failure: what fails now must not hide it, and the next `sweep` does it again."""
        with suppress(MetisError):
            do()

    def _refuse_taken(self, containers: Sequence[Container]) -> None:
        held = {
            (each["metis.node"], each["metis.port"]): each
            for each in self._services(self.layout.mine())
            if "metis.port" in each
        }
        for one in containers:
            other = held.get((one.node, str(one.port)))
            if other:
                raise SurroundingsError(
                    f"{one.node}: port {one.port} is held by {other['metis.service']} of session "
                    f"{other['metis.session']!r}; end that first (`metis undeploy` for a deployment)"
                )

    def _create(self, containers: Sequence[Container], session: str, purpose: Purpose) -> None:
        def create(one: Container) -> None:
            with engine.told(self._manager, f"starting {one.where}"):
                self._api.create_service(**self.layout.service(one, session, purpose))

        at_once(create, containers)

    def _await(self, containers: Sequence[Container], session: str, ready: set[str], deaths: int) -> None:
        """Until all run and answer; adds the names of those that do to `ready`."""
        by_name = {one.service: one for one in containers}
        began = time.monotonic()
        answer: set[str] = set()
        while True:
            silent = [one for one in containers if one.service not in answer]
            if silent:
                answer |= self._answering(silent)
            tasks = self._tasks(session, by_name)
            ready |= answer & {task.service for task in tasks if task.state == "running" and task.wanted}
            if len(ready) == len(by_name):
                return
            seconds = time.monotonic() - began
            self._refuse_hopeless(by_name, tasks, seconds, deaths)
            if seconds > self.settings.ready_timeout:
                states = {task.service: task for task in tasks if task.wanted}
                late = [_state(one, states.get(name)) for name, one in by_name.items() if name not in ready]
                raise SurroundingsError(f"not ready after {seconds:.0f} s: {'; '.join(late)}")
            if not silent:
                time.sleep(PAUSE)

    def _answering(self, containers: Sequence[Container]) -> set[str]:
        """Those that answer the first client host that can be asked."""
        *others, last = self.fleet.inventory.clients
        for client in others:
            with suppress(SurroundingsError):
                return answering(self.fleet, client, containers, LOOK)
        return answering(self.fleet, last, containers, LOOK)

    def _refuse_hopeless(
        self, by_name: Mapping[str, Container], tasks: Sequence[Task], seconds: float, deaths: int
    ) -> None:
        dead: dict[str, list[Task]] = {}
        for task in tasks:
            one = by_name[task.service]
            if task.state == "rejected" and "No such image" in task.error:
                tag = self.layout.image(one.app).tag
                raise SurroundingsError(f"{one.where}: {one.node} has no image {tag}; run the stage build")
            if task.wanted and NO_ROOM in task.error and seconds > NO_ROOM_FOR:
                raise SurroundingsError(f"{one.where}: {task.error}")
            if task.state in DEAD:
                dead.setdefault(task.service, []).append(task)
                if len(dead[task.service]) == deaths:
                    raise SurroundingsError(death(self.fleet, task, one, self._memory))


def _state(one: Container, task: Task | None) -> str:
    if task is None or task.state == "running":
        return f"{one.where} does not answer /healthz on port {one.port}"
    return f"{one.where} is {task.state}" + (f" ({task.error})" if task.error else "")
