"""Containers that run to their end on a client host, outside the Swarm: what sends load."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cluster.backend import JobResult
from cluster.provision.engine import engine_errors
from cluster.provision.inventory import Host

if TYPE_CHECKING:
    from cluster.provision.hosts import Fleet

PURPOSE = {"metis.purpose": "load"}


def run_job(
    fleet: "Fleet",
    client: Host,
    image: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    session: str,
    timeout: float,
) -> JobResult:
    """See `Backend.run_job`.

    The container is removed whatever happens. One that stays because its host cannot be reached must end by
    itself; `sweep_jobs` removes it.
    """
    labels = {**PURPOSE, "metis.cluster": fleet.inventory.name, "metis.session": session}
    with engine_errors(client, f"starting {image}"):
        container = fleet.engine(client).containers.run(
            image,
            list(arguments),
            detach=True,
            network_mode="host",
            environment=dict(environment),
            labels=labels,
        )
    try:
        with engine_errors(client, f"waiting for {image}"):
            code = int(container.wait(timeout=timeout)["StatusCode"])
            output = container.logs(stdout=True, stderr=False).decode(errors="replace")
            errors = container.logs(stdout=False, stderr=True).decode(errors="replace")
    finally:
        _remove(container)
    return JobResult(code, output, errors)


def sweep_jobs(fleet: "Fleet", session: str) -> None:
    """See `Backend.sweep_jobs`."""
    labels = [f"metis.cluster={fleet.inventory.name}", f"metis.session={session}"]
    labels += [f"{name}={value}" for name, value in PURPOSE.items()]
    for client in fleet.inventory.clients:
        with engine_errors(client, "removing what is left of earlier loads"):
            for container in fleet.engine(client).containers.list(all=True, filters={"label": labels}):
                container.remove(force=True)


def _remove(container: Any) -> None:
    """Remove a container where its engine responds; else it is swept later."""
    with contextlib.suppress(Exception):
        container.remove(force=True)
