"""The containers of a lab: found by their labels, waited for, removed; the host keys inside them."""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cluster.provision.lab.layout import REGISTRY, SUBNET_LABEL, project
from metis.errors import SurroundingsError

PROJECT_LABEL, SERVICE_LABEL = "com.docker.compose.project", "com.docker.compose.service"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"
READY_WITHIN = 90.0
LOOK_EVERY = 0.25
PROBE_TIMEOUT = 2.0
AT_ONCE = 8


def containers(engine: Any, name: str) -> dict[str, Any]:
    """The containers of the lab called `name` by service, stopped ones too."""
    found = engine.containers.list(all=True, filters=_label(name), ignore_removed=True)
    return {container.labels[SERVICE_LABEL]: container for container in found}


def leftovers(engine: Any, name: str) -> list[str]:
    """All that the engine has of the lab, as `container X`, `network X`, `volume X`."""
    found = engine.containers.list(all=True, filters=_label(name), ignore_removed=True)
    left = [f"container {one.name}" for one in found]
    left += [f"network {one.name}" for one in engine.networks.list(filters=_label(name))]
    return left + [f"volume {one.name}" for one in engine.volumes.list(filters=_label(name))]


def remove_all(engine: Any, name: str) -> list[str]:
    """Remove all that the engine has of the lab; returns what that was, as `leftovers` does.

    Raises:
        SurroundingsError: something stays; names it and why.
    """
    import docker.errors

    removed = leftovers(engine, name)
    found = engine.containers.list(all=True, filters=_label(name), ignore_removed=True)
    try:
        # a node's engine need not end in good order: its disk goes as well
        _in_parallel(lambda container: container.remove(force=True, v=True), found)
        for kind in (engine.networks, engine.volumes):
            for one in kind.list(filters=_label(name)):
                one.remove()
    except docker.errors.NotFound:
        pass  # another process removed it first; what is left is looked for below
    except docker.errors.APIError as error:
        raise SurroundingsError(f"lab {name}: cannot be removed: {error.explanation or error}") from None
    left = leftovers(engine, name)
    if left:
        raise SurroundingsError(f"lab {name}: {left[0]} is still there; say `metis lab down` again")
    return removed


def remove_idle(engine: Any, name: str) -> None:
    """Remove the containers of the lab that do not run; their volumes stay."""
    for container in containers(engine, name).values():
        if container.status != "running":
            container.remove(force=True)


def image_in_use(engine: Any, name: str) -> str | None:
    """The image that the lab's nodes run, so that nodes that join later run the same."""
    images = {container.attrs["Config"]["Image"] for container in containers(engine, name).values()}
    return next(iter(sorted(images)), None)


def wait_ready(found: Mapping[str, Any], ports: Mapping[str, int]) -> dict[str, str]:
    """Wait until every container responds; returns the SSH host keys by node, read inside of it.

    Args:
        found: containers by service.
        ports: of this machine's loopback by service.

    Raises:
        SurroundingsError: a container ended, or does not respond in time; names it and its last line.
    """
    deadline = time.monotonic() + READY_WITHIN
    names = list(ports)
    keys = _in_parallel(lambda name: _wait(found.get(name), name, ports[name], deadline), names)
    return {name: key for name, key in zip(names, keys, strict=True) if name != REGISTRY}


def lab_subnet(engine: Any, name: str) -> str | None:
    """The subnet of the lab's network, or one that is free where there is no such network yet.

    None for a network whose subnet we did not choose: Compose would refuse to go on with it otherwise.

    Raises:
        SurroundingsError: the engine has no subnet left.
    """
    found = engine.networks.list(names=[f"{project(name)}_lab"], filters=_label(name))
    if found:
        return (found[0].attrs["Labels"] or {}).get(SUBNET_LABEL)
    return _free_subnet(engine, name)


def install_key(found: Mapping[str, Any], public: str) -> None:
    """Let `public` into the nodes that were started for another key, which has been lost since.

    Raises:
        SurroundingsError: a node does not take it; names it.
    """
    for name, container in found.items():
        environment = container.attrs["Config"]["Env"]
        if name == REGISTRY or f"METIS_LAB_KEY={public}" in environment:
            continue
        command = 'install -d -m 700 /root/.ssh && printf "%s\\n" "$KEY" >/root/.ssh/authorized_keys'
        ended = container.exec_run(["sh", "-c", command], environment={"KEY": public})
        if ended.exit_code != 0:
            raise SurroundingsError(f"{name}: does not take our key: {ended.output.decode().strip()}")


def inner_address(container: Any, name: str) -> str:
    """Its address as the other nodes see it; empty when it does not run."""
    networks = container.attrs["NetworkSettings"]["Networks"]
    return str(networks.get(f"{project(name)}_lab", {}).get("IPAddress", ""))


def configured_port(container: Any) -> int | None:
    """The port of this machine that leads to it whenever it runs."""
    bindings = container.attrs["HostConfig"]["PortBindings"] or {}
    ports = [entry["HostPort"] for entries in bindings.values() for entry in entries or ()]
    return int(ports[0]) if ports and ports[0] else None


def swarm_states(manager: Any) -> dict[str, str]:
    """State of each node of the manager's Swarm (Ready, Down) by hostname; none without a Swarm."""
    if manager is None or manager.status != "running":
        return {}
    ended = manager.exec_run(["docker", "node", "ls", "--format", "{{.Hostname}} {{.Status}}"])
    if ended.exit_code != 0:
        return {}
    return dict(line.split(maxsplit=1) for line in ended.output.decode().splitlines())


def _free_subnet(engine: Any, name: str) -> str:
    """A subnet that no network of the engine nor route of the machine uses, found by making a network."""
    import docker.errors

    try:
        # with the label of the lab, so that `down` finds it should we be killed here
        labels = {PROJECT_LABEL: project(name)}
        probe = engine.networks.create(f"{project(name)}_probe", labels=labels)
        try:
            return str(engine.networks.get(probe.id).attrs["IPAM"]["Config"][0]["Subnet"])
        finally:
            probe.remove()
    except docker.errors.APIError as error:
        raise SurroundingsError(f"lab {name}: no network: {error.explanation or error}") from None


def _label(name: str) -> dict[str, str]:
    return {"label": f"{PROJECT_LABEL}={project(name)}"}


def _in_parallel(do: Callable[[Any], Any], over: Sequence[Any]) -> list[Any]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(do, over))


def _wait(container: Any, name: str, port: int, deadline: float) -> str:
    if container is None:
        raise SurroundingsError(f"{name}: Compose started no such container")
    while True:
        container.reload()
        if container.status not in ("created", "running"):
            raise SurroundingsError(f"{name}: ended at its start: {_last_line(container)}")
        key = _registry(port) if name == REGISTRY else _node(container, port)
        if key is not None:
            return key
        if time.monotonic() > deadline:
            raise SurroundingsError(
                f"{name}: does not respond after {READY_WITHIN:g} s: {_last_line(container)}"
            )
        time.sleep(LOOK_EVERY)


def _node(container: Any, port: int) -> str | None:
    """The node's host key once its engine and its SSH server respond."""
    import docker.errors

    try:
        ready = container.exec_run(["sh", "-c", f"docker version >/dev/null 2>&1 && cat {HOST_KEY}"])
    except docker.errors.APIError:  # it has just ended, or has not begun
        return None
    words = ready.output.decode(errors="replace").split()
    # on a busy machine the engine now and then loses what a short command printed
    if ready.exit_code != 0 or len(words) < 2 or not _speaks(port, b"", b"SSH-"):
        return None
    return f"{words[0]} {words[1]}"


def _registry(port: int) -> str | None:
    request = b"GET /v2/ HTTP/1.0\r\nHost: registry\r\n\r\n"
    return "" if _speaks(port, request, b"HTTP/1.0 200") else None


def _speaks(port: int, request: bytes, wanted: bytes) -> bool:
    """Whether what listens on `port` of this machine responds to `request` with what begins with `wanted`."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PROBE_TIMEOUT) as link:
            link.settimeout(PROBE_TIMEOUT)
            link.sendall(request)
            return link.recv(len(wanted), socket.MSG_WAITALL) == wanted
    except OSError:
        return False


def _last_line(container: Any) -> str:
    lines = container.logs(tail=5).decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
