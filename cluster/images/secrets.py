"""Build arguments that are secrets: never in what `docker history` shows of an image."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.images.catalog import DOCKERFILE, build_arguments
from cluster.settings import BuildSettings
from metis.errors import InputError

if TYPE_CHECKING:
    import docker

SECRET_NAME = re.compile(
    r"password|passwd|passphrase|secret|token|api_?key|access_?key|private_?key|credential", re.I
)
# a user in a URL, or a URL that is signed
SECRET_VALUE = re.compile(
    r"://[^/\s@]+@|[?&](?:[\w-]*signature|sig|[\w-]*token|[\w-]*key|[\w-]*credential|password)=", re.I
)
FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.I)
ARGUMENT = re.compile(r"^\s*ARG\s+([A-Za-z_][A-Za-z0-9_]*)", re.I)


def secret_arguments(folder: Path, settings: BuildSettings) -> list[str]:
    """Build arguments of the Dockerfile in `folder` that look like secrets by name or value."""
    given = build_arguments(folder, settings)
    return [name for name, value in given.items() if SECRET_NAME.search(name) or SECRET_VALUE.search(value)]


def refuse_kept(folder: Path, settings: BuildSettings) -> None:
    """Refuse secrets that the image built from `folder` would keep for everybody who has it.

    BuildKit's secret mounts need an engine with it, which Debian's has not; an earlier stage keeps a secret
    out of the image with any engine.

    Raises:
        InputError: names the argument, never its value, and what to do instead.
    """
    kept = _kept((folder / DOCKERFILE).read_text(encoding="utf-8"))
    for name in secret_arguments(folder, settings):
        if name in kept:
            raise InputError(
                f"images.arguments.{name}: looks like a secret, and `docker history` would show it: "
                f"{folder / DOCKERFILE} declares it in its last stage; use it in an earlier one (FROM ... AS "
                f"fetch, ARG {name}, RUN ...) and take over what that made (COPY --from=fetch ...)"
            )


def _kept(dockerfile: str) -> set[str]:
    """The arguments that an image's history shows: those of the last stage and of stages it continues."""
    stages: list[tuple[str, str, set[str]]] = []  # base, name, arguments
    for line in dockerfile.splitlines():
        if begins := FROM.match(line):
            stages.append((begins[1].lower(), (begins[2] or "").lower(), set()))
        elif stages and (declares := ARGUMENT.match(line)):
            stages[-1][2].add(declares[1])
    kept: set[str] = set()
    wanted = stages[-1][1] if stages else ""
    for number, (base, name, arguments) in reversed(list(enumerate(stages))):
        if number == len(stages) - 1 or (name and name == wanted):
            kept |= arguments
            wanted = base
    return kept


def remove_traces(client: "docker.DockerClient", ids: Iterable[str]) -> None:
    """Remove the layers that earlier stages left on this machine: their history holds the arguments.

    Args:
        client: of the engine that built.
        ids: of all layers of the build, in order; those of images with a name stay.
    """
    from docker.errors import APIError

    for one in reversed(list(ids)):
        try:
            if not client.api.inspect_image(one)["RepoTags"]:
                client.api.remove_image(one)
        except APIError:
            continue  # gone with another, or a layer of what stays
