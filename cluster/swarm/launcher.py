"""Container specs started on a Swarm, and awaited until every container responds."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from cluster.provision.engine import engine_errors
from cluster.spec import Container, ContainerSpec
from cluster.swarm.removal import at_once, services_of
from cluster.swarm.services import container_of, order, owned_labels
from cluster.swarm.tasks import DEAD, NO_ROOM, Task, cause_of_death, responding, tasks_of
from metis.errors import SurroundingsError

if TYPE_CHECKING:
    from cluster.provision.hosts import Fleet

LOOK = 1.0  # seconds that a client waits for responses between two looks at the Swarm
PAUSE = 0.2
NO_ROOM_FOR = 15.0  # seconds a port or memory may still be held by what is just ending
SAY_AFTER, SAY_EVERY = 2.0, 10.0  # seconds of waiting until it is reported, and until it is again
DEATHS = 3  # of a container that is started again until its launch is given up


class Launcher:
    """Starts container specs as services.

    Args:
        fleet: the hosts.
        tags: tag of each application's image, for errors.
        ready_timeout: seconds until all containers of a launch must respond.
    """

    def __init__(self, fleet: "Fleet", tags: Mapping[str, str], ready_timeout: float) -> None:
        self._fleet, self._tags, self._ready_timeout = fleet, tags, ready_timeout
        self._cluster = fleet.inventory.name

    def refuse_taken(self, containers: Sequence[Container]) -> None:
        """Refuse containers whose ports are held by others of this cluster.

        Raises:
            SurroundingsError: a port is held; names the service and its session.
        """
        known = services_of(self._fleet, owned_labels(self._cluster))
        held = {(each["metis.node"], each["metis.port"]): each for each in known if "metis.port" in each}
        for one in containers:
            other = held.get((one.node, str(one.port)))
            if other:
                raise SurroundingsError(
                    f"{one.node}: port {one.port} is held by {other['metis.service']} of session "
                    f"{other['metis.session']!r}; end that first (`metis undeploy` for a deployment)"
                )

    def create(self, specs: Sequence[ContainerSpec]) -> None:
        """Create the services, several at a time."""
        manager = self._fleet.inventory.manager

        def create(one: ContainerSpec) -> None:
            with engine_errors(manager, f"starting {one.where}"):
                self._fleet.engine(manager).api.create_service(**order(one, self._cluster))

        at_once(create, specs)

    def wait(self, specs: Sequence[ContainerSpec], ready: set[str]) -> None:
        """Wait until all run and respond.

        Args:
            specs: of one session and purpose.
            ready: gains the names of the services that do, so that the caller knows them when this raises.

        Raises:
            SurroundingsError: it is hopeless, or takes too long; names containers and reasons.
        """
        by_name = {one.name: one for one in map(container_of, specs)}
        memory = {container_of(one).name: one.memory_mb or 0 for one in specs}
        deaths = 1 if specs[0].purpose == "measured" else DEATHS
        begun = time.monotonic()
        say_at = SAY_AFTER
        responded: set[str] = set()
        while True:
            silent = [one for one in by_name.values() if one.name not in responded]
            responded |= self._responding(silent) if silent else set()
            tasks = self._tasks(specs[0].session, by_name)
            ready |= responded & {task.service for task in tasks if task.state == "running" and task.wanted}
            if len(ready) == len(by_name):
                return
            seconds = time.monotonic() - begun
            self._refuse_hopeless(by_name, tasks, seconds, deaths, memory)
            if seconds > say_at:
                left = [one.where for name, one in by_name.items() if name not in ready]
                self._fleet.report(f"waiting for {left[0]}{_more(left)} to respond, {seconds:.0f} s so far")
                say_at = seconds + SAY_EVERY
            if seconds > self._ready_timeout:
                states = {task.service: task for task in tasks if task.wanted}
                late = [_state(one, states.get(name)) for name, one in by_name.items() if name not in ready]
                raise SurroundingsError(f"not ready after {seconds:.0f} s: {'; '.join(late)}")
            if not silent:
                time.sleep(PAUSE)

    def _responding(self, containers: Sequence[Container]) -> set[str]:
        """Names of those that respond to the first client host that can be reached."""
        *others, last = self._fleet.inventory.clients
        for client in others:
            with suppress(SurroundingsError):
                return responding(self._fleet, client, containers, LOOK)
        return responding(self._fleet, last, containers, LOOK)

    def _tasks(self, session: str, names: Mapping[str, Container]) -> list[Task]:
        labels = owned_labels(self._cluster) | {"metis.session": session}
        return tasks_of(self._fleet, labels, names)

    def _refuse_hopeless(
        self,
        by_name: Mapping[str, Container],
        tasks: Sequence[Task],
        seconds: float,
        deaths: int,
        memory: Mapping[str, int],
    ) -> None:
        dead: dict[str, list[Task]] = {}
        for task in tasks:
            one = by_name[task.service]
            if task.state == "rejected" and "No such image" in task.error:
                tag = self._tags.get(one.app, "of its application")
                raise SurroundingsError(f"{one.where}: {one.node} has no image {tag}; run the stage build")
            if task.wanted and NO_ROOM in task.error and seconds > NO_ROOM_FOR:
                raise SurroundingsError(f"{one.where}: {task.error}")
            if task.state in DEAD:
                dead.setdefault(task.service, []).append(task)
                if len(dead[task.service]) == deaths:
                    raise SurroundingsError(cause_of_death(self._fleet, task, one, memory[task.service]))


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _state(one: Container, task: Task | None) -> str:
    if task is None or task.state == "running":
        return f"{one.where} does not respond to /healthz on port {one.port}"
    return f"{one.where} is {task.state}" + (f" ({task.error})" if task.error else "")
