"""The Swarm's tasks: whether the containers of services run, wait or died, and whether they respond."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.provision.engine import engine_errors
from cluster.provision.inventory import Host
from cluster.spec import Container
from metis.errors import SurroundingsError

if TYPE_CHECKING:
    from cluster.provision.hosts import Fleet

DEAD = ("failed", "rejected", "complete")
OVER = (*DEAD, "shutdown", "orphaned", "remove")
KILLED = 137  # 128 + SIGKILL
NO_ROOM = "no suitable node"

# bash alone, which every host has: each target is requested in a loop of its own until it responds
PROBE = """
check() {
  exec 3<>"/dev/tcp/$1/$2" || return 1
  printf 'GET /healthz HTTP/1.0\\r\\nHost: %s\\r\\n\\r\\n' "$1" >&3
  read -r -t 5 _ code _ <&3 || return 1
  [ "$code" = 200 ] || [ "$code" = 404 ]
}
request() { until (check "$1" "$2") >/dev/null 2>&1; do sleep 0.1; done; echo "$1:$2"; }
"""


@dataclass(frozen=True)
class Task:
    """One attempt of the Swarm to run the container of a service.

    Attributes:
        service: name of the service.
        state: as the Swarm calls it.
        wanted: whether it is still wanted to run.
        error: the Swarm's reason for its state; empty for none.
        exit_code: of its container; None where it has not ended.
        container: id of its container; empty where there is none.
        node: id of the node it was given to; empty before that.
    """

    service: str
    state: str
    wanted: bool
    error: str
    exit_code: int | None
    container: str
    node: str


def tasks_of(fleet: "Fleet", labels: Mapping[str, str], services: Iterable[str] | None = None) -> list[Task]:
    """The tasks of the services with these labels, oldest first; ended ones as far as the Swarm keeps them.

    Args:
        fleet: the hosts.
        labels: that the services have.
        services: names of those that matter; None for all.
    """
    manager = fleet.inventory.manager
    with engine_errors(manager, "listing tasks"):
        wanted = [f"{name}={value}" for name, value in labels.items()]
        known = fleet.engine(manager).api.tasks(filters={"label": wanted})
    chosen = None if services is None else set(services)
    made = [_task(one) for one in sorted(known, key=lambda one: str(one["CreatedAt"]))]
    return [one for one in made if chosen is None or one.service in chosen]


def nodes_up(fleet: "Fleet") -> dict[str, str]:
    """Hostnames of the Swarm's nodes that are up, by id."""
    manager = fleet.inventory.manager
    with engine_errors(manager, "listing the Swarm's nodes"):
        known = fleet.engine(manager).api.nodes()
    return {one["ID"]: one["Description"]["Hostname"] for one in known if one["Status"]["State"] == "ready"}


def responding(fleet: "Fleet", client: Host, containers: Sequence[Container], seconds: float) -> set[str]:
    """Names of the containers that respond to `client`, which requests all of them at once.

    A server without `/healthz`, which responds with 404, counts as well.

    Args:
        fleet: the hosts.
        client: the host that will send load: what it can reach is what counts.
        containers: to send requests to.
        seconds: after which those that have not responded are given up.
    """
    requests = [f"request {shlex.quote(one.address)} {one.port} &" for one in containers]
    # the loops end by themselves; what is left at the end is ended, a connect that hangs included
    rounds = max(round(seconds / 0.1), 1)
    waits = f'for _ in $(seq {rounds}); do [ -n "$(jobs -r)" ] || break; sleep 0.1; done'
    script = "\n".join([PROBE, *requests, waits, "kill $(jobs -p) 2>/dev/null", "exit 0", ""])
    lines = fleet.run(client, "bash -s", stdin=script, timeout=seconds + 30, again=True).split()
    return {one.name for one in containers if f"{one.address}:{one.port}" in lines}


def cause_of_death(fleet: "Fleet", task: Task, container: Container, memory_mb: int) -> str:
    """Why a task ended, in a line that names the container."""
    if task.exit_code == KILLED:
        if _out_of_memory(fleet, task, container):
            return f"{container.where}: passed its memory limit of {memory_mb} MB (exit {KILLED})"
        return f"{container.where}: was killed (exit {KILLED})"
    if task.state == "complete":
        return f"{container.where}: ended by itself (exit 0)"
    return f"{container.where}: {task.error or task.state}"


def _out_of_memory(fleet: "Fleet", task: Task, container: Container) -> bool:
    from docker.errors import NotFound

    host = fleet.inventory.host(container.node)
    try:
        with engine_errors(host, f"looking at {container.where}"):
            try:
                found = fleet.engine(host).api.inspect_container(task.container)
            except NotFound:
                return False
    except SurroundingsError:
        return False  # this only words an error
    return bool(found["State"].get("OOMKilled"))


def _task(known: Mapping[str, Any]) -> Task:
    status = known["Status"]
    ran = status.get("ContainerStatus") or {}
    ended = status["State"] in DEAD and ran.get("ContainerID")
    return Task(
        service=str(known["Spec"]["ContainerSpec"].get("Labels", {}).get("metis.service", "")),
        state=str(status["State"]),
        wanted=known["DesiredState"] in ("running", "ready", "accepted"),
        error=" ".join(str(status.get("Err", "")).split()),
        exit_code=int(ran.get("ExitCode", 0)) if ended else None,
        container=str(ran.get("ContainerID", "")),
        node=str(known.get("NodeID", "")),
    )
