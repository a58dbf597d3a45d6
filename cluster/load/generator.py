"""Load on running containers by Locust, always in a process of its own."""

import ipaddress
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from cluster.provision.inventory import Host, Inventory
from cluster.settings import LoadSettings
from metis.errors import InputError, SurroundingsError

if TYPE_CHECKING:
    from cluster.backend import Backend

T = TypeVar("T")
MARK = "METIS-LOAD "  # begins the line with the results; see loadimage/loadfile.py
TARGETS = "METIS_LOAD"  # environment variable with the targets
PARENT = "METIS_LOAD_PARENT"  # and with the process that Locust must not outlive
LOADFILE = Path(__file__).parent / "loadimage" / "loadfile.py"
QUIET = ("--headless", "--only-summary", "--loglevel", "ERROR", "--stop-timeout", "0")
START = 60.0  # seconds a busy machine may take to start Locust, and to end it


@dataclass(frozen=True)
class Target:
    """A server to load.

    Attributes:
        name: of the target, each once in a load.
        url: of every request.
        users: simultaneous users, each waiting for its response.
        sla: seconds above which a response is late; None for no limit.
        timeout: seconds until a request is given up.
    """

    name: str
    url: str
    users: int = 4
    sla: float | None = None
    timeout: float = 10.0


@dataclass(frozen=True)
class LoadResult:
    """What a target achieved within the window of a load.

    Attributes:
        rps: good responses per second: neither failed nor late.
        p50: median seconds of all responses, late or not; NaN where there was none.
        p99: 99th percentile of them.
        requests: that ended within the window.
        failures: of these, those without a good response: errors and timeouts.
        seconds: length of the window.
        error: the most frequent failure; empty where there was none.
        late: of the requests, those with a good response that took longer than `sla`.
        generator: share of a core that the load generator used meanwhile; NaN where unknown.
        lag: seconds by which its timers were late, in the mean; likewise.
    """

    rps: float
    p50: float
    p99: float
    requests: int
    failures: int
    seconds: float
    error: str = ""
    late: int = 0
    generator: float = float("nan")
    lag: float = float("nan")


def load_here(targets: Sequence[Target], settings: LoadSettings) -> dict[str, LoadResult]:
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
            env=_surroundings() | {TARGETS: as_json(targets, settings), PARENT: str(os.getpid())},
            start_new_session=True,
        )
        limit = hard_limit(targets, settings)
        try:
            output, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise SurroundingsError(f"load: Locust did not end within {limit:g} s and was killed") from None
        finally:
            _end_group(process)
    return read_results(output, errors, targets, f"ended (exit {process.returncode})")


def load_from(
    backend: "Backend",
    client: Host,
    targets: Sequence[Target],
    settings: LoadSettings,
    image: str,
    session: str = "load",
) -> dict[str, LoadResult]:
    """Load targets on the cluster's hosts, from a container of the load image on a client host.

    Locust ends by itself where its container is left behind; `Backend.sweep_jobs` removes that.

    Args:
        backend: of the cluster.
        client: the host to send from.
        targets: at least one; addresses of the inventory's hosts only.
        settings: `warm_up` and `duration`.
        image: tag or id of the load image on the client.
        session: label by which the container is found again.

    Raises:
        InputError: a target that is no host of the inventory.
        SurroundingsError: the client cannot be reached, or Locust gave no results.
    """
    check_targets(targets, addresses(backend.inventory))
    ended = backend.run_job(
        client,
        image,
        arguments(targets),
        {TARGETS: as_json(targets, settings)},
        session,
        hard_limit(targets, settings),
    )
    where = f"on {client.name} ended (exit {ended.exit_code})"
    return read_results(ended.output, ended.errors, targets, where)


def addresses(inventory: Inventory) -> set[str]:
    """Where load may go: the hosts' addresses, as they see one another and as they are reached from here."""
    return {address for host in inventory.hosts for address in (host.seen_as, host.address)}


def check_targets(targets: Sequence[Target], allowed: Collection[str]) -> None:
    """Refuse targets outside the cluster: load must never leave it.

    Raises:
        InputError: no target, a name twice, no `http://` URL, or neither loopback nor an allowed address.
    """
    names = [target.name for target in targets]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not targets or twice:
        raise InputError(f"load: {f'two targets are called {twice[0]!r}' if twice else 'there is no target'}")
    known = {address.lower() for address in allowed}  # as a URL's host is read
    for target in targets:
        parts = urlsplit(target.url)
        if parts.scheme != "http" or not parts.hostname:
            raise InputError(f"load: {target.name}: {target.url!r}: give an http:// URL")
        if not _is_loopback(parts.hostname) and parts.hostname not in known:
            raise InputError(
                f"load: {target.name}: {parts.hostname} is neither loopback nor a host of the cluster; "
                "load goes nowhere else"
            )
        if target.users < 1 or target.timeout <= 0:
            raise InputError(f"load: {target.name}: {target.users} users, timeout {target.timeout:g} s")


def as_json(targets: Sequence[Target], settings: LoadSettings) -> str:
    """Targets and window as the load file reads them, JSON."""
    window = {"warm_up": settings.warm_up, "duration": settings.duration}
    return json.dumps({"targets": [asdict(target) for target in targets], **window})


def arguments(targets: Sequence[Target]) -> tuple[str, ...]:
    """Arguments of Locust: all users at once."""
    users = str(sum(target.users for target in targets))
    return (*QUIET, "--users", users, "--spawn-rate", users)


def hard_limit(targets: Sequence[Target], settings: LoadSettings) -> float:
    """Seconds after which Locust is killed."""
    return settings.warm_up + settings.duration + max(target.timeout for target in targets) + START


def read_results(output: str, errors: str, targets: Sequence[Target], ended: str) -> dict[str, LoadResult]:
    """The results in Locust's output, by target.

    Raises:
        SurroundingsError: there are none; says the last line of the errors.
    """
    return read_line(
        output, errors, ended, lambda found: {one.name: result_of(found[one.name]) for one in targets}
    )


def read_line(output: str, errors: str, ended: str, read: Callable[[Mapping[str, Any]], T]) -> T:
    """What `read` makes of the line with the results in Locust's output.

    Raises:
        SurroundingsError: there is none, or none that it can read; says the last line of the errors.
    """
    lines = [line for line in output.splitlines() if line.startswith(MARK)]
    try:
        return read(json.loads(lines[-1].removeprefix(MARK)))
    except (IndexError, ValueError, KeyError, TypeError):
        lines = [line.strip() for line in errors.splitlines() if line.strip()]
        last = f": {lines[-1][:300]}" if lines else ""
        raise SurroundingsError(f"load: Locust {ended} without results{last}") from None


def result_of(found: Mapping[str, Any]) -> LoadResult:
    """A result as the load file writes it; what is null there is unknown."""
    known: dict[str, Any] = {name: float("nan") if value is None else value for name, value in found.items()}
    return LoadResult(**known)


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
