"""Docker Compose, by whichever of its two commands this machine has."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from cluster.provision.lab.image import DEPS
from metis.errors import SurroundingsError
from metis.files import written_whole

PROBE = 20.0  # seconds that a command may take to print its version


def compose_command() -> list[str]:
    """`docker compose` where the plugin is there, else `docker-compose`.

    Raises:
        SurroundingsError: neither is.
    """
    if shutil.which("docker"):
        plugin = ["docker", "compose"]
        try:
            tried = subprocess.run([*plugin, "version"], capture_output=True, timeout=PROBE, check=False)
            if tried.returncode == 0:
                return plugin
        except (OSError, subprocess.TimeoutExpired):
            pass
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise SurroundingsError(f"neither `docker compose` nor `docker-compose` is here; {DEPS}")


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write a Compose document; JSON is YAML too. A `$` would be read as a variable, hence doubled."""
    with written_whole(path) as file:
        file.write(json.dumps(document, indent=1).replace("$", "$$").encode())


def compose_up(project: str, document: Path, lock: int, timeout: float) -> None:
    """Start what `document` lists; containers that are there already are started at most, never made anew.

    Args:
        project: of Compose.
        document: path of the Compose file.
        lock: descriptor of the lab's lock. The command holds it too, so that it is held until the command
            has ended even when we are killed first.
        timeout: seconds it may take.

    Raises:
        SurroundingsError: Compose failed; its last line.
    """
    command = [*compose_command(), "-p", project, "-f", str(document)]
    command += ["up", "-d", "--no-build", "--no-recreate", "--remove-orphans"]
    # a COMPOSE_FILE or COMPOSE_PROFILES of the user's is about projects of his own
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")}
    try:
        ended = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            pass_fds=(lock,),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SurroundingsError(f"{command[0]} up: not done after {timeout:g} s") from None
    if ended.returncode != 0:
        lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
        relevant = [line for line in lines if "ERROR" in line.upper()] or lines or ["no output"]
        raise SurroundingsError(f"{command[0]} up: {relevant[-1]}")
