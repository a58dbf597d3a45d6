"""Images of applications, built once on this machine and tagged by a digest of their sources."""

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.images.catalog import (
    LOAD,
    LOAD_FOLDER,
    PACKAGED,
    SUPPORT,
    Workload,
    build_arguments,
    context_files,
    image_tag,
    is_executable,
)
from cluster.images.secrets import refuse_kept, remove_traces, secret_arguments
from cluster.provision.inventory import Role
from cluster.settings import BuildSettings
from metis.errors import InputError, SurroundingsError
from metis.files import written_whole

if TYPE_CHECKING:
    import docker

# no value shorter than this is masked in an error: `1` stands in every line
LEAST_SECRET = 4
# how the engine reports a layer that it made or had
LAYER = re.compile(r"^---> ([0-9a-f]{12,})$")


@dataclass(frozen=True)
class Image:
    """An image of an application, or of `memcached`, `origin` or `load`.

    Attributes:
        app: application or support service it is for.
        tag: `metis/<folder>:<digest of what it is built from>`.
        id: the engine's own digest of it, `sha256:...`; services run it by this, so nothing else can run.
        size: bytes.
        role: which hosts run it.
    """

    app: str
    tag: str
    id: str
    size: int = 0
    role: Role = "worker"


@dataclass(frozen=True)
class _Recipe:
    """One image to build, and the applications that use it."""

    folder: Path
    tag: str
    apps: tuple[str, ...]
    role: Role = "worker"


def build(
    workloads: Sequence[Workload],
    settings: BuildSettings,
    *,
    load: bool = True,
    report: Callable[[str], None] = lambda _: None,
) -> tuple[Image, ...]:
    """Build what is not there yet: the applications, the support images they need, and the load image.

    Args:
        workloads: the applications.
        settings: base image, scale, arguments.
        load: whether the image that sends load is wanted too.
        report: called with a line for each image that has to be built.

    Raises:
        InputError: a build argument is a secret that the image would keep.
        SurroundingsError: no engine responds here, or a build fails; names the application and the last line.
    """
    recipes = _recipes(workloads, settings, load)
    client = local_engine(settings.timeout)
    images: list[Image] = []
    try:
        for recipe in recipes:
            found = find(client, recipe.tag)
            if found is None:
                report(f"building {recipe.tag} for {', '.join(recipe.apps)}")
                _build(client, recipe, settings)
                found = find(client, recipe.tag)
            if found is None:
                raise SurroundingsError(f"{recipe.tag}: was built, and is gone; does something prune images?")
            images += [Image(app, recipe.tag, found["Id"], found["Size"], recipe.role) for app in recipe.apps]
    finally:
        client.close()
    return tuple(images)


def local_engine(timeout: float = 60.0) -> "docker.DockerClient":
    """The engine of this machine, where images are built.

    Raises:
        SurroundingsError: none responds.
    """
    import docker

    try:
        client = docker.from_env(timeout=int(timeout))
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SurroundingsError(
            f"no Docker engine responds on this machine, and images are built here ({reason}); start one, "
            "name another by DOCKER_HOST, or let `make lab-deps` install it"
        ) from None
    return client


def write_images(path: Path, images: Iterable[Image]) -> None:
    """Write `images.json`: by application its tag, id, digest, bytes and the role of its hosts."""
    stored = {
        one.app: {
            "tag": one.tag,
            "id": one.id,
            "digest": one.tag.rpartition(":")[2],
            "bytes": one.size,
            "role": one.role,
        }
        for one in images
    }
    with written_whole(path) as file:
        file.write(json.dumps(stored, indent=1, sort_keys=True).encode())


def read_images(path: Path) -> tuple[Image, ...]:
    """Read what `write_images` wrote.

    Raises:
        InputError: missing or something else; names the file.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return tuple(
            Image(app, one["tag"], one["id"], one["bytes"], one["role"]) for app, one in stored.items()
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: holds no images ({error}); run the stage build") from None


def build_context(folder: Path) -> bytes:
    """The build context as a tar that depends on nothing but names, contents and who may execute them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, path in context_files(folder).items():
            entry = tarfile.TarInfo(name)
            content = path.read_bytes()
            entry.size = len(content)
            entry.mode = 0o755 if is_executable(path) else 0o644
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _recipes(workloads: Sequence[Workload], settings: BuildSettings, load: bool) -> list[_Recipe]:
    by_folder: dict[Path, list[str]] = {}
    for workload in workloads:
        by_folder.setdefault(workload.folder, []).append(workload.name)
    chosen: list[tuple[Path, tuple[str, ...], Role]] = [
        (folder, tuple(names), "worker") for folder, names in by_folder.items()
    ]
    needs = {need for workload in workloads for need in workload.needs}
    roles: dict[str, Role] = {"memcached": "worker", "origin": "manager"}
    chosen += [(PACKAGED / name, (name,), roles[name]) for name in SUPPORT if name in needs]
    if load:
        chosen.append((LOAD_FOLDER, (LOAD,), "client"))
    for folder, _, _ in chosen:
        refuse_kept(folder, settings)
    return [_Recipe(folder, image_tag(folder, settings), apps, role) for folder, apps, role in chosen]


def find(client: "docker.DockerClient", name: str) -> Mapping[str, Any] | None:
    """An engine's description of an image, by tag or id; None where it has none."""
    from docker.errors import ImageNotFound

    try:
        found: Mapping[str, Any] = client.api.inspect_image(name)
    except ImageNotFound:
        return None
    return found


def _build(client: "docker.DockerClient", recipe: _Recipe, settings: BuildSettings) -> None:
    """Build one image on this machine's engine; what a failure says holds no value of an argument."""
    from docker.errors import DockerException

    arguments = build_arguments(recipe.folder, settings)
    step, last = "", ""
    layers: list[str] = []
    try:
        for event in client.api.build(
            fileobj=io.BytesIO(build_context(recipe.folder)),
            custom_context=True,
            tag=recipe.tag,
            buildargs=arguments,
            labels={"metis.image": recipe.tag},
            network_mode=None if settings.network == "default" else settings.network,
            rm=True,
            forcerm=True,
            decode=True,
        ):
            if "error" in event:
                raise SurroundingsError(
                    _failure(recipe, step, last or event["error"], event["error"], settings)
                )
            said = str(event.get("stream", "")).strip()
            layers += LAYER.findall(said)
            if said.startswith("Step "):
                step, last = said.partition(" : ")[2], ""
            elif said and not said.startswith(("--->", "Removing intermediate")):
                last = said.splitlines()[-1]
    except (DockerException, OSError) as error:
        raise SurroundingsError(_failure(recipe, step, last, str(error), settings)) from None
    finally:
        if secret_arguments(recipe.folder, settings):
            remove_traces(client, layers)


def _failure(recipe: _Recipe, step: str, last: str, error: str, settings: BuildSettings) -> str:
    """One line: which application, which instruction, its last line, how it ended."""
    # `The command '/bin/sh -c ...' returned a non-zero code: 1` repeats the instruction
    ended = error.rpartition("returned a ")[2] if "returned a non-zero" in error else error
    where = f"`{' '.join(step.split())[:80]}`: {last}" if step else last
    line = " ".join(f"{', '.join(recipe.apps)}: building its image failed at {where} ({ended})".split())
    for value in map(str, (settings.arguments or {}).values()):
        if len(str(value)) >= LEAST_SECRET:
            line = line.replace(str(value), "***")
    return line[:600]
