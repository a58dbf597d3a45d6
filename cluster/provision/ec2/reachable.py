"""Hosts of instances waited for until they accept connections."""

import socket
import time

from cluster.provision.inventory import Host, Inventory
from cluster.waiting import wait_until

EACH_LOOK = 2.0


def wait_reachable(inventory: Inventory, seconds: float) -> None:
    """Wait until every host accepts connections: an instance runs before its SSH server does.

    Raises:
        SurroundingsError: one does not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    for host in inventory.hosts:
        reason: list[OSError] = []

        def accepts(host: Host = host, reason: list[OSError] = reason) -> bool:
            try:
                socket.create_connection((host.address, host.port), timeout=5).close()
            except OSError as error:
                reason[:] = [error]
                return False
            return True

        def otherwise(host: Host = host, reason: list[OSError] = reason) -> str:
            return (
                f"{host.name}: {host.endpoint} does not respond ({reason[0]}); is "
                "ec2.from_address the address that connections from here come from?"
            )

        wait_until(accepts, max(deadline - time.monotonic(), 0), EACH_LOOK, otherwise)
