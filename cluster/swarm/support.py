"""What containers rely on: the overlay network, the memcached of each node, the origin of pictures."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cluster.provision import engine
from cluster.swarm.removal import remove_services, services_of
from cluster.swarm.services import NETWORK, ORIGIN, Layout, cache_name
from cluster.swarm.tasks import tasks_of
from metis.errors import SurroundingsError

if TYPE_CHECKING:
    import docker

    from cluster.provision.hosts import Fleet

PAUSE = 0.3


class Support:
    """Ensures that what the applications need is there; remembers what it has seen to.

    Args:
        fleet: the hosts.
        layout: of the cluster whose applications are to be supported.
    """

    def __init__(self, fleet: "Fleet", layout: Layout) -> None:
        self._fleet, self._layout = fleet, layout
        self._manager = fleet.inventory.manager
        self._seen: set[str] = set()

    def ensure(self, nodes: Sequence[str]) -> list[str]:
        """See to the network, and to the services that containers on these nodes need, until they run.

        Services that are as they should be are left alone, so that what a cache holds stays.

        Returns:
            what was made or made anew; empty the second time.

        Raises:
            SurroundingsError: something does not run within `ready_timeout`; says what and why.
        """
        needed = self._layout.needed()
        wanted = {cache_name(node): node for node in nodes if "memcached" in needed}
        wanted |= {ORIGIN: self._manager.name} if "origin" in needed else {}
        todo = {name: node for name, node in wanted.items() if name not in self._seen}
        changed = [] if NETWORK in self._seen else self._ensure_network()
        self._seen.add(NETWORK)
        if not todo:
            return changed
        known = services_of(self._fleet, self._layout.mine("support"))
        standing = {one["metis.service"]: one for one in known}
        specs = {name: self._spec(name, node) for name, node in todo.items()}
        stale = {
            name: node
            for name, node in todo.items()
            if _signature(standing.get(name, {})) != _signature(specs[name]["labels"])
        }
        remove_services(self._fleet, [standing[name] for name in stale if name in standing])
        for name in stale:
            self._create(name, specs[name])
        self._await(list(todo))
        self._seen |= set(todo)
        return [*changed, *stale]

    def remove_network(self) -> None:
        """Remove the network, which nothing may use any more."""
        from docker.errors import APIError, NotFound

        until = time.monotonic() + self._layout.settings.ready_timeout
        self._seen.clear()
        while True:
            with engine.told(self._manager, f"removing network {NETWORK}"):
                try:
                    self._api.remove_network(NETWORK)
                    return
                except NotFound:
                    return
                except APIError as error:
                    # the last task leaves it a moment after its container is gone
                    if "in use" not in str(error.explanation) or time.monotonic() > until:
                        raise
            time.sleep(PAUSE)

    @property
    def _api(self) -> "docker.APIClient":
        return self._fleet.engine(self._manager).api

    def _ensure_network(self) -> list[str]:
        from docker.errors import APIError

        with engine.told(self._manager, f"making network {NETWORK}"):
            known = [one for one in self._api.networks(names=[NETWORK]) if one["Name"] == NETWORK]
            if not known:
                try:
                    self._api.create_network(NETWORK, driver="overlay", labels=self._layout.mine("support"))
                except APIError as error:
                    if error.status_code != 409:  # somebody else made it just now
                        raise
                return [f"network {NETWORK}"]
        if known[0]["Driver"] != "overlay":
            raise SurroundingsError(
                f"{self._manager.name}: there is a network {NETWORK!r} of driver {known[0]['Driver']!r}, "
                "and ours must be an overlay; remove it"
            )
        return []

    def _spec(self, name: str, node: str) -> dict[str, Any]:
        return self._layout.pictures() if name == ORIGIN else self._layout.cache(node)

    def _create(self, name: str, spec: dict[str, Any]) -> None:
        from docker.errors import APIError

        with engine.told(self._manager, f"starting {name}"):
            try:
                self._api.create_service(**spec)
            except APIError as error:
                if error.status_code != 409:  # somebody else started it just now
                    raise

    def _await(self, names: Sequence[str]) -> None:
        began = time.monotonic()
        while True:
            tasks = tasks_of(self._fleet, self._layout.mine("support"), names)
            running = {task.service for task in tasks if task.state == "running" and task.wanted}
            late = [name for name in names if name not in running]
            if not late:
                return
            if time.monotonic() - began > self._layout.settings.ready_timeout:
                reasons = {task.service: task.error or task.state for task in tasks}
                told = "; ".join(f"{name} ({reasons.get(name, 'no task')})" for name in late)
                raise SurroundingsError(
                    f"not running after {self._layout.settings.ready_timeout:g} s: {told}"
                )
            time.sleep(PAUSE)


def _signature(labels: Mapping[str, str]) -> str:
    return labels.get("metis.signature", "")
