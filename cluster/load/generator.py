"""Load on running containers by Locust, always in a process of its own: what each of them achieves."""

import ipaddress
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cluster.provision.inventory import Host, Inventory
from cluster.settings import LoadSettings
from metis.errors import InputError, SurroundingsError

if TYPE_CHECKING:
    from cluster.provision.hosts import Fleet

MARK = "METIS-LOAD "  # begins the line with the answer; see loadimage/loadfile.py
PLAN = "METIS_LOAD"  # environment variable with the plan
PARENT = "METIS_LOAD_PARENT"  # and with the process that Locust must not outlive
LOADFILE = Path(__file__).parent / "loadimage" / "loadfile.py"
QUIET = ("--headless", "--only-summary", "--loglevel", "ERROR", "--stop-timeout", "0")
START = 60.0  # seconds a busy machine may take to start Locust, and to end it
PURPOSE = {"metis.purpose": "load"}


@dataclass(frozen=True)
class Target:
    """What is loaded.

    Attributes:
        name: of the target, each once in a load.
        url: what every request asks for.
        users: simultaneous users, each waiting for its answer.
        sla: seconds above which an answer counts as failed; None for no limit.
        timeout: seconds until a request is given up.
    """

    name: str
    url: str
    users: int = 4
    sla: float | None = None
    timeout: float = 10.0


@dataclass(frozen=True)
class Answer:
    """What a target achieved within the window.

    Attributes:
        rps: good answers per second: neither errors nor timeouts nor over the limit.
        p50: median seconds of all answers, over the limit or not; NaN where there was none.
        p99: 99th percentile of them.
        requests: that ended within the window.
        failures: of these, the ones that were not good.
        seconds: length of the window.
        error: what most failures were; empty where there were none.
        late: failures that were good but for the limit of `sla`.
    """

    rps: float
    p50: float
    p99: float
    requests: int
    failures: int
    seconds: float
    error: str = ""
    late: int = 0


def load_here(targets: Sequence[Target], settings: LoadSettings) -> dict[str, Answer]:
    """Load targets on this machine's own loopback, from a process of this machine.

    Args:
        targets: at least one; addresses of loopback only.
        settings: `warm_up` and `duration`; users and limits are those of the targets.

    Raises:
        InputError: a target that is not on loopback, or called like another.
        SurroundingsError: Locust did not start, was killed, or did not end in time.
    """
    check_targets(targets, ())
    with tempfile.TemporaryDirectory(prefix="metis-load-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "locust", "-f", str(LOADFILE), *arguments(targets)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,  # no configuration of Locust lies here
            env=_surroundings() | {PLAN: plan(targets, settings), PARENT: str(os.getpid())},
            start_new_session=True,
        )
        limit = hard_limit(targets, settings)
        try:
            output, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise SurroundingsError(f"load: Locust did not end within {limit:g} s and was killed") from None
        finally:
            _end_group(process)
    return read_answer(output, errors, targets, f"ended (exit {process.returncode})")


def load_from(
    fleet: "Fleet",
    client: Host,
    targets: Sequence[Target],
    settings: LoadSettings,
    image: str,
    session: str = "load",
) -> dict[str, Answer]:
    """Load targets on the cluster's hosts, from a container of the load image on a client host.

    The container is removed whatever happens; one that is left behind because its host cannot be reached ends
    by itself, and `sweep_loads` removes it.

    Args:
        fleet: the hosts.
        client: the one to send from.
        targets: at least one; addresses of the inventory's hosts only.
        settings: `warm_up` and `duration`.
        image: tag or id of the load image on the client.
        session: label by which the container is found again.

    Raises:
        InputError: a target that is no host of the inventory.
        SurroundingsError: the client cannot be reached, or Locust did not give an answer.
    """
    from cluster.provision.engine import told

    check_targets(targets, addresses(fleet.inventory))
    limit = hard_limit(targets, settings)
    engine = fleet.engine(client)
    labels = {**PURPOSE, "metis.cluster": fleet.inventory.name, "metis.session": session}
    with told(client, "starting Locust"):
        container = engine.containers.run(
            image,
            list(arguments(targets)),
            detach=True,
            network_mode="host",
            environment={PLAN: plan(targets, settings)},
            labels=labels,
        )
    try:
        with told(client, "waiting for Locust"):
            code = container.wait(timeout=limit)["StatusCode"]
            output = container.logs(stdout=True, stderr=False).decode(errors="replace")
            errors = container.logs(stdout=False, stderr=True).decode(errors="replace")
    finally:
        _remove(container)
    return read_answer(output, errors, targets, f"on {client.name} ended (exit {code})")


def sweep_loads(fleet: "Fleet", session: str = "load") -> None:
    """Remove the load containers that an earlier, interrupted run of this session left on the clients."""
    from cluster.provision.engine import told

    labels = [f"metis.cluster={fleet.inventory.name}", f"metis.session={session}"]
    labels += [f"{name}={value}" for name, value in PURPOSE.items()]
    for client in fleet.inventory.clients:
        with told(client, "removing what is left of earlier loads"):
            for container in fleet.engine(client).containers.list(all=True, filters={"label": labels}):
                container.remove(force=True)


def addresses(inventory: Inventory) -> set[str]:
    """Where load may go: the hosts' addresses, as they see one another and as they are reached from here."""
    return {address for host in inventory.hosts for address in (host.seen_as, host.address)}


def check_targets(targets: Sequence[Target], allowed: Collection[str]) -> None:
    """Refuse what is no target of ours: load must never leave the cluster.

    Raises:
        InputError: no target, a name twice, no `http://` URL, or neither loopback nor an allowed address.
    """
    names = [target.name for target in targets]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not targets or twice:
        raise InputError(f"load: {f'two targets are called {twice[0]!r}' if twice else 'there is no target'}")
    for target in targets:
        parts = urlsplit(target.url)
        if parts.scheme != "http" or not parts.hostname:
            raise InputError(f"load: {target.name}: {target.url!r}: give an http:// URL")
        if not _is_loopback(parts.hostname) and parts.hostname not in allowed:
            raise InputError(
                f"load: {target.name}: {parts.hostname} is neither loopback nor a host of the cluster; "
                "load goes nowhere else"
            )
        if target.users < 1 or target.timeout <= 0:
            raise InputError(f"load: {target.name}: {target.users} users, timeout {target.timeout:g} s")


def plan(targets: Sequence[Target], settings: LoadSettings) -> str:
    """What the load file is told, as JSON."""
    window = {"warm_up": settings.warm_up, "duration": settings.duration}
    return json.dumps({"targets": [asdict(target) for target in targets], **window})


def arguments(targets: Sequence[Target]) -> tuple[str, ...]:
    """Words for Locust: all users at once."""
    users = str(sum(target.users for target in targets))
    return (*QUIET, "--users", users, "--spawn-rate", users)


def hard_limit(targets: Sequence[Target], settings: LoadSettings) -> float:
    """Seconds after which Locust is killed."""
    return settings.warm_up + settings.duration + max(target.timeout for target in targets) + START


def read_answer(output: str, errors: str, targets: Sequence[Target], ended: str) -> dict[str, Answer]:
    """The answer among Locust's output, by target.

    Raises:
        SurroundingsError: there is none; tells the last line of the errors.
    """
    lines = [line for line in output.splitlines() if line.startswith(MARK)]
    try:
        found: Mapping[str, Mapping[str, Any]] = json.loads(lines[-1].removeprefix(MARK))
        return {target.name: _answer(found[target.name]) for target in targets}
    except (IndexError, ValueError, KeyError, TypeError):
        said = [line.strip() for line in errors.splitlines() if line.strip()]
        told = f": {said[-1][:300]}" if said else ""
        raise SurroundingsError(f"load: Locust {ended} without an answer{told}") from None


def _answer(found: Mapping[str, Any]) -> Answer:
    known: dict[str, Any] = {name: float("nan") if value is None else value for name, value in found.items()}
    return Answer(**known)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _surroundings() -> dict[str, str]:
    """The environment without what Locust would take for its own settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}


def _end_group(process: "subprocess.Popen[str]") -> None:
    """Kill what is left of a process and of those it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _remove(container: Any) -> None:
    """Remove a container where its engine answers; else it is swept later."""
    import contextlib

    with contextlib.suppress(Exception):
        container.remove(force=True)
