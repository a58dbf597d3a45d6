"""Checks of this machine: what was found, and the command that mends what is missing."""

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal
from urllib.request import urlopen

from flows.configuration.settings import Settings
from flows.engine.database import cure as database_cure
from flows.engine.database import damage, half_made
from flows.engine.folders import file_in_the_way
from flows.engine.lookup import DATABASE
from flows.engine.secrets import masked

State = Literal["ok", "note", "missing"]
LEAST_FREE = 5e9  # bytes: the environment, a few hundred runs and the images of the lab
SECONDS = 5.0


@dataclass(frozen=True)
class Finding:
    """One check.

    Attributes:
        what: was checked.
        state: `ok`; `note`: lacks something that only some commands need; `missing`: nothing works without.
        found: what is there.
        cure: the command, or the setting, that mends it; empty where nothing needs mending.
    """

    what: str
    state: State
    found: str
    cure: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Run all checks, in the order in which a new user meets them."""
    checks: list[Callable[[Settings], Finding]] = [
        _python,
        _packages,
        _disk,
        _tracking,
        _docker,
        _base_image,
        _ssh,
        _ui_port,
        _prefect_server,
    ]
    if settings.cluster.live:
        checks.append(_hosts)
    return [check(settings) for check in checks]


def _python(settings: Settings) -> Finding:
    found = platform.python_version()
    fine = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding("Python", "ok" if fine else "missing", found, "" if fine else "make PYTHON=python3.12 run")


def _packages(settings: Settings) -> Finding:
    """Every library that metis itself names, at a version that it allows."""
    from packaging.requirements import Requirement

    wrong = []
    for line in requires("metis") or []:
        needed = Requirement(line)
        if needed.marker and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(needed.name)
        except PackageNotFoundError:
            wrong.append(f"{needed.name} is not installed")
            continue
        if found not in needed.specifier:
            wrong.append(f"{needed.name} {found}, not {needed.specifier}")
    if wrong:
        return Finding("libraries", "missing", "; ".join(wrong), "make -B .venv/.installed")
    found = ", ".join(f"{name} {version(name)}" for name in ("prefect", "mlflow", "tensorflow", "numpy"))
    return Finding("libraries", "ok", found)


def _disk(settings: Settings) -> Finding:
    folder = Path(settings.tracking.path).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    cure = "metis gc gc.days=7 gc.delete=true"
    few = free < LEAST_FREE
    return Finding("disk", "note" if few else "ok", f"{free / 1e9:.1f} GB free", cure if few else "")


def _tracking(settings: Settings) -> Finding:
    if settings.tracking.uri:
        fine = _answers(f"{settings.tracking.uri}/health")
        cure = "" if fine else "start it: docker compose --profile servers up -d"
        where = masked(settings.tracking.uri)
        return Finding("MLflow server", "ok" if fine else "missing", where, cure)
    folder = Path(settings.tracking.path).absolute()
    if file := file_in_the_way(folder):
        return Finding("tracking store", "missing", f"{file} is a file", "tracking.path=FOLDER")
    place = folder
    while not place.exists():
        place = place.parent
    # as this process may, which has other rights than its user where it was given some
    if not os.access(place, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        return Finding("tracking store", "missing", f"{place} cannot be written", "tracking.path=FOLDER")
    broken = damage(folder / DATABASE)
    if broken:
        mend = database_cure(folder / DATABASE)
        return Finding("tracking store", "missing", f"{folder / DATABASE} is damaged: {broken}", mend)
    if half_made(folder / DATABASE):
        return Finding("tracking store", "ok", "half made: the next run makes it anew, nothing is lost")
    found = "there" if (folder / DATABASE).is_file() else "made by the first run"
    return Finding("tracking store", "ok", found)


def _docker(settings: Settings) -> Finding:
    """The engine of this machine: the lab and building images need it."""
    found = _output("docker", "version", "--format", "{{.Server.Version}}")
    if not found:
        return Finding("Docker engine", "note", "none responds: no lab, no images", "make lab-deps")
    composed = _output("docker", "compose", "version", "--short") or _output("docker-compose", "--version")
    if not composed:
        return Finding("Docker engine", "note", f"{found}, without Compose: no lab", "make lab-deps")
    return Finding("Docker engine", "ok", f"{found}, Compose {_number(composed)}")


def _base_image(settings: Settings) -> Finding:
    name: str = settings.images.base_image
    if _output("docker", "image", "inspect", "--format", "{{.Id}}", name):
        return Finding("base image", "ok", name)
    return Finding("base image", "note", f"{name} is not here: pulled at the first build", "make lab-deps")


def _ssh(settings: Settings) -> Finding:
    agent = bool(os.environ.get("SSH_AUTH_SOCK"))
    try:
        folder = Path.home() / ".ssh"
        keys = sorted(path.name for path in folder.glob("id_*") if path.suffix != ".pub")
    except (RuntimeError, OSError):  # a user without a home, or one that may not be read
        keys = []
    if agent or keys:
        found = ("an agent" if agent else "no agent") + (f", keys {', '.join(keys)}" if keys else "")
        return Finding("SSH keys", "ok", found)
    cure = "ssh-keygen -t ed25519, or name a key per host in the inventory"
    return Finding("SSH keys", "note", "no agent and no key: the lab and EC2 make their own", cure)


def _ui_port(settings: Settings) -> Finding:
    port = settings.tracking.port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return Finding("port of `metis ui`", "note", f"{port} is taken", f"tracking.port={port + 1}")
    return Finding("port of `metis ui`", "ok", f"{port} is free")


def _prefect_server(settings: Settings) -> Finding:
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return Finding("Prefect server", "ok", "none named: each run brings its own")
    fine = _answers(f"{url}/health")
    cure = "" if fine else "prefect server start, or unset PREFECT_API_URL"
    return Finding("Prefect server", "ok" if fine else "missing", masked(url), cure)


def _hosts(settings: Settings) -> Finding:
    """Check SSH on every host of the inventory that setup wrote."""
    from cluster.provision.inventory import Inventory
    from metis.errors import InputError

    state = settings.cluster.state or str(Path(settings.tracking.path) / "cluster" / settings.cluster.name)
    cure = f"metis run stages=[setup] cluster={settings.cluster.kind}"
    try:
        inventory = Inventory.load(Path(state) / "inventory.json")
    except InputError:
        return Finding("hosts", "note", "not set up yet", cure)
    silent = [host.name for host in inventory.hosts if not _open(host.address, host.port)]
    if silent:
        return Finding("hosts", "missing", f"SSH does not respond on {', '.join(silent)}", cure)
    return Finding("hosts", "ok", f"SSH responds on all {len(inventory.hosts)}")


def _output(*command: str) -> str:
    """Return the output of a command; empty where it fails or does not exist."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=2 * SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.strip() if ended.returncode == 0 else ""


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=SECONDS) as response:
            return bool(response.status == 200)
    except (OSError, ValueError):
        return False


def _open(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=SECONDS):
            return True
    except OSError:
        return False


def _number(text: str) -> str:
    found = re.search(r"\d+(\.\d+)+", text)
    return found.group() if found else text
