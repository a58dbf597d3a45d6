"""What containers rely on in a Swarm: overlay network, memcached of each node, origin of files."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cluster.images.catalog import MEMCACHED, ORIGIN
from cluster.provision.engine import engine_errors
from cluster.spec import ContainerSpec, Layout
from cluster.swarm.removal import remove_services, services_of
from cluster.swarm.services import NETWORK, order, owned_labels, support_name
from cluster.swarm.tasks import tasks_of
from cluster.waiting import wait_until
from metis.errors import SurroundingsError

if TYPE_CHECKING:
    import docker

    from cluster.provision.hosts import Fleet

PAUSE = 0.3


class Support:
    """Keeps network and support services running; what was checked once is not checked again.

    Args:
        fleet: the hosts.
        layout: of the cluster whose applications need support.
    """

    def __init__(self, fleet: "Fleet", layout: Layout) -> None:
        self._fleet, self._layout = fleet, layout
        self._manager = fleet.inventory.manager
        self._owned = owned_labels(fleet.inventory.name, "support")
        self._checked: set[str] = set()

    def ensure(self, nodes: Sequence[str]) -> list[str]:
        """Start the network and the services that containers on these nodes need, and wait until they run.

        Services that are as they should be are left alone, so that a cache keeps its data.

        Returns:
            names of what was started, or started anew; empty the second time.

        Raises:
            SurroundingsError: something does not run within `ready_timeout`; says what and why.
        """
        wanted = {name: spec for name, spec in self._wanted(nodes).items() if name not in self._checked}
        changed = [] if NETWORK in self._checked else self._ensure_network()
        self._checked.add(NETWORK)
        if not wanted:
            return changed
        standing = {one["metis.service"]: one for one in services_of(self._fleet, self._owned)}
        orders = {name: order(spec, self._fleet.inventory.name) for name, spec in wanted.items()}
        stale = [
            name
            for name, given in orders.items()
            if _signature(standing.get(name, {})) != _signature(given["labels"])
        ]
        remove_services(self._fleet, [standing[name] for name in stale if name in standing])
        if stale:
            self._fleet.report(f"starting {', '.join(stale)}")
        for name in stale:
            self._create(name, orders[name])
        self._wait(list(wanted))
        self._checked |= set(wanted)
        return [*changed, *stale]

    def remove_network(self) -> None:
        """Remove the network, which nothing may use any more."""
        self._checked.clear()
        seconds = self._layout.settings.ready_timeout
        # the last task leaves it a moment after its container is gone
        in_use = f"{self._manager.name}: removing network {NETWORK}: it is still in use after {seconds:g} s"
        wait_until(self._network_removed, seconds, PAUSE, in_use)

    @property
    def _api(self) -> "docker.APIClient":
        return self._fleet.engine(self._manager).api

    def _wanted(self, nodes: Sequence[str]) -> dict[str, ContainerSpec]:
        """Specs of the support services for these nodes, by the name of the service."""
        needed = self._layout.needed()
        caches = nodes if MEMCACHED in needed else ()
        found = {support_name(MEMCACHED, node): self._layout.support(MEMCACHED, node) for node in caches}
        shared = {support_name(ORIGIN, None): self._layout.support(ORIGIN)} if ORIGIN in needed else {}
        return found | shared

    def _network_removed(self) -> bool:
        from docker.errors import APIError, NotFound

        with engine_errors(self._manager, f"removing network {NETWORK}"):
            known = self._known_network()
            if known is None or not self._is_ours(known):
                return True
            try:
                self._api.remove_network(NETWORK)
            except NotFound:
                return True
            except APIError as error:
                if "in use" not in str(error.explanation):
                    raise
                return False
        return True

    def _ensure_network(self) -> list[str]:
        from docker.errors import APIError

        with engine_errors(self._manager, f"making network {NETWORK}"):
            known = self._known_network()
            if known is None:
                try:
                    self._api.create_network(NETWORK, driver="overlay", labels=self._owned)
                except APIError as error:
                    if error.status_code != 409:  # another process made it just now
                        raise
                return [f"network {NETWORK}"]
        if known["Driver"] != "overlay" or not self._is_ours(known):
            raise SurroundingsError(
                f"{self._manager.name}: there is a network {NETWORK!r} (driver {known['Driver']}) that this "
                "cluster did not make, and it needs an overlay of that name; remove or rename that one"
            )
        return []

    def _known_network(self) -> "Mapping[str, Any] | None":
        return next((one for one in self._api.networks(names=[NETWORK]) if one["Name"] == NETWORK), None)

    def _is_ours(self, network: Mapping[str, Any]) -> bool:
        return (network.get("Labels") or {}).get("metis.cluster") == self._fleet.inventory.name

    def _create(self, name: str, given: dict[str, Any]) -> None:
        from docker.errors import APIError

        with engine_errors(self._manager, f"starting {name}"):
            try:
                self._api.create_service(**given)
            except APIError as error:
                if error.status_code != 409:  # another process started it just now
                    raise

    def _wait(self, names: Sequence[str]) -> None:
        reasons: dict[str, str] = {}

        def run() -> bool:
            tasks = tasks_of(self._fleet, self._owned, names)
            running = {task.service for task in tasks if task.state == "running" and task.wanted}
            last = {task.service: task.error or task.state for task in tasks}
            reasons.clear()
            reasons.update({name: last.get(name, "no task") for name in names if name not in running})
            return not reasons

        def late() -> str:
            causes = "; ".join(f"{name} ({why})" for name, why in reasons.items())
            return f"not running after {self._layout.settings.ready_timeout:g} s: {causes}"

        wait_until(run, self._layout.settings.ready_timeout, PAUSE, late)


def _signature(labels: Mapping[str, str]) -> str:
    return labels.get("metis.signature", "")
