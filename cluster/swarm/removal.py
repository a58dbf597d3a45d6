"""Services removed, and awaited until nothing of them is left on any node."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from cluster.provision.engine import engine_errors
from cluster.provision.inventory import Host
from cluster.swarm.tasks import nodes_up, tasks_of
from cluster.waiting import wait_until
from metis.errors import SurroundingsError
from metis.wording import amount

if TYPE_CHECKING:
    from cluster.provision.hosts import Fleet

T = TypeVar("T")
AT_ONCE = 8  # services created or removed at a time
GONE_WITHIN = 60.0
PAUSE = 0.1
SERVICE = "com.docker.swarm.service.name"  # label that the engine gives a service's containers


def services_of(fleet: "Fleet", labels: Mapping[str, str]) -> list[dict[str, str]]:
    """The labels of all services that have these, with their name as `metis.service`."""
    manager = fleet.inventory.manager
    with engine_errors(manager, "listing services"):
        known = fleet.engine(manager).api.services(filters={"label": _words(labels)})
    return [one["Spec"].get("Labels", {}) | {"metis.service": one["Spec"]["Name"]} for one in known]


def remove_services(fleet: "Fleet", services: Sequence[Mapping[str, str]]) -> None:
    """Remove services, those already gone included, and wait until nothing of them runs: ports are free then.

    What is measured is killed, which takes a second. Asked to end it, the Swarm takes five, two of them
    to spread the news through a network that is no longer in use. The Swarm clears the dead containers away
    soon after.

    Args:
        fleet: the hosts.
        services: as `services_of` returned them.

    Raises:
        SurroundingsError: the manager does not respond, or something still runs after a minute.
    """
    from docker.errors import NotFound

    if not services:
        return
    manager = fleet.inventory.manager
    up = set(nodes_up(fleet).values())
    mine = {host.name: host for host in fleet.inventory.hosts}
    on: dict[str, set[str]] = {}
    for one in services:
        # what is on a node that is down cannot be waited for: the node ends it before it takes new work
        if one["metis.node"] in mine and hostname(fleet, mine[one["metis.node"]]) in up:
            on.setdefault(one["metis.node"], set()).add(one["metis.service"])
    killed = {one["metis.service"] for one in services if one["metis.purpose"] == "measured"}

    def remove(one: Mapping[str, str]) -> None:
        with engine_errors(manager, f"removing {one['metis.service']}"), suppress(NotFound):
            fleet.engine(manager).api.remove_service(one["metis.service"])

    if any(one["metis.purpose"] != "measured" for one in services):  # these take their time to end
        fleet.report(f"removing {amount(len(services), 'service')}")
    with suppress(SurroundingsError):  # where a node cannot be reached the Swarm ends them by itself
        fleet.each([mine[node] for node in on], lambda host: _kill(fleet, host, on[host.name] & killed))
    at_once(remove, services)
    fleet.each([mine[node] for node in on], lambda host: _await_gone(fleet, host, on[host.name]))


def sweep_containers(fleet: "Fleet", labels: Mapping[str, str]) -> list[str]:
    """Remove containers with these labels from the workers, services or not; returns their names."""
    from docker.errors import APIError, NotFound

    up = set(nodes_up(fleet).values())

    def sweep(host: Host) -> list[str]:
        names = []
        with engine_errors(host, "removing what was left behind"):
            for one in _containers(fleet, host, labels):
                try:
                    fleet.engine(host).api.remove_container(one["Id"], force=True)
                except NotFound:
                    continue
                except APIError as error:
                    if error.status_code != 409:  # its removal is under way
                        raise
                names.append(one["Names"][0].removeprefix("/"))
        return names

    workers = [host for host in fleet.inventory.workers if hostname(fleet, host) in up]
    return sorted(name for names in fleet.each(workers, sweep).values() for name in names)


def at_once(do: Callable[[T], Any], items: Iterable[T]) -> None:
    """Call `do` for each, a few at a time, in order; the first failure is raised once all have ended."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        futures = [pool.submit(do, item) for item in items]
    for future in futures:
        future.result()


def _kill(fleet: "Fleet", host: Host, services: set[str]) -> None:
    from docker.errors import APIError

    with engine_errors(host, "ending its containers"):
        for one in _containers(fleet, host, {}):
            if one["Labels"].get(SERVICE) in services and one["State"] == "running":
                with suppress(APIError):  # it has just ended by itself
                    fleet.engine(host).api.kill(one["Id"])


def _await_gone(fleet: "Fleet", host: Host, services: set[str]) -> None:
    """Wait until no container of the services runs on the host, and the Swarm gives their ports to others."""
    left: list[str] = []

    def gone() -> bool:
        with engine_errors(host, "listing its containers"):
            known = _containers(fleet, host, {})
        held = {task.service for task in tasks_of(fleet, {"metis.node": host.name}, services)}
        running = {
            one["Labels"].get(SERVICE) for one in known if one["State"] not in ("exited", "dead", "removing")
        }
        left[:] = sorted((running & services) | held)
        return not left

    def otherwise() -> str:
        return f"{host.name}: {', '.join(left)} still runs {GONE_WITHIN:g} s after its service was removed"

    wait_until(gone, GONE_WITHIN, PAUSE, otherwise)


def _containers(fleet: "Fleet", host: Host, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    wanted = _words(labels) or [SERVICE]
    known: list[dict[str, Any]] = fleet.engine(host).api.containers(all=True, filters={"label": wanted})
    return known


def _words(labels: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in labels.items()]


def hostname(fleet: "Fleet", host: Host) -> str:
    """What the Swarm calls a host."""
    return str(fleet.inventory.facts.get(host.name, {}).get("hostname", host.name))
