"""The catalogue of applications: a YAML file for each, beside the folder that its image is built from."""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt
from pydantic import Field

from cluster.settings import BuildSettings
from metis.errors import InputError
from metis.settings import NONE_IS_EMPTY, Reading, read_file, settings

PACKAGED = Path(__file__).resolve().parents[1] / "workloads"
LOAD_FOLDER = PACKAGED.parent / "load" / "loadimage"
COMMON = "common"
DOCKERFILE = "Dockerfile"
# images that are no application: the cache of each node, the origin of pictures, and what sends load
MEMCACHED, ORIGIN = "memcached", "origin"
SUPPORT = (MEMCACHED, ORIGIN)
LOAD = "load"
IGNORED = ("__pycache__", ".git")
_ARGUMENT = re.compile(r"^\s*ARG\s+([A-Za-z_][A-Za-z0-9_]*)", re.MULTILINE | re.IGNORECASE)


def _words(given: Any) -> Any:
    """Values of `env` as a person means them: YAML reads `true` and `1`, a program wants the words."""
    if not isinstance(given, Mapping):
        return given
    return {
        str(key): str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in given.items()
    }


@settings("workload")
class Workload:
    """An application, as its YAML file describes it.

    Attributes:
        name: as in profiles.
        folder: what its image is built from; holds a Dockerfile.
        describe: one sentence.
        env: environment of its containers.
        path: what a request asks for.
        users: simultaneous users of a container; None for those of the load settings.
        sla: seconds above which a response is late and does not count; None for that of the load settings.
        needs: whose address is in its environment: `redis` (where one is co-located), `memcached`, `origin`.
        provides: `redis` where neighbours may read from it as from a Redis.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    folder: Path
    describe: str = ""
    env: Annotated[Mapping[str, str], NONE_IS_EMPTY, Reading(_words)] = field(default_factory=dict)
    path: Annotated[str, Field(pattern="^/")] = "/"
    users: Annotated[int, Ge(1)] | None = None
    sla: Annotated[float, Gt(0), Lt(600)] | None = None
    needs: tuple[Literal["redis", "memcached", "origin"], ...] = ()
    provides: tuple[Literal["redis"], ...] = ()

    def __post_init__(self) -> None:
        if self.name in (*SUPPORT, LOAD):
            raise InputError(f"name {self.name!r}: is the name of an image of ours; give another")


def load_catalog(folders: Sequence[Path], names: Iterable[str]) -> tuple[Workload, ...]:
    """The applications called `names`, in that order.

    Args:
        folders: of YAML files, beside the packaged one; of two files of one name the later folder's counts.
        names: which; each once.

    Raises:
        InputError: a folder is missing, a file is no workload, or a name is unknown; lists those there are.
    """
    known: dict[str, Workload] = {}
    for folder in (PACKAGED, *folders):
        known |= _workloads(folder)
    wanted = list(names)
    for name in wanted:
        if name not in known:
            raise InputError(
                f"apps.names: there is no application {name!r}; use {', '.join(sorted(known))}, or name the "
                "folder that describes it: apps.workloads=[DIR]"
            )
        if wanted.count(name) > 1:
            raise InputError(f"apps.names: {name!r} is named twice")
    return tuple(known[name] for name in wanted)


def read_workload(path: Path) -> Workload:
    """The application that a YAML file describes.

    Raises:
        InputError: unreadable, a key missing or unknown, or a value that makes no sense; names file and key.
    """
    read = read_file(Workload, path)
    folder = (path.parent / read.folder).resolve()
    if not (folder / DOCKERFILE).is_file():
        raise InputError(f"{path}: folder {str(read.folder)!r}: there is no {folder / DOCKERFILE}")
    return replace(read, folder=folder)


def context_files(folder: Path) -> dict[str, Path]:
    """What an image is built from, by name in the build context, in order.

    That is all of `folder`, and where its Dockerfile copies `common/` but the folder has none, the packaged
    one: an image that does not use it is not built anew when it changes.
    """
    found = dict(_files(folder, ""))
    if f"{COMMON}/" in (folder / DOCKERFILE).read_text(encoding="utf-8") and not (folder / COMMON).is_dir():
        found |= dict(_files(PACKAGED / COMMON, f"{COMMON}/"))
    return dict(sorted(found.items()))


def build_arguments(folder: Path, settings: BuildSettings) -> dict[str, str]:
    """The build arguments that the Dockerfile in `folder` declares and the settings give."""
    given = {"BASE_IMAGE": settings.base_image, "WORK_SCALE": f"{settings.scale:g}"}
    given |= {str(key): str(value) for key, value in (settings.arguments or {}).items()}
    declared = set(_ARGUMENT.findall((folder / DOCKERFILE).read_text(encoding="utf-8")))
    return {name: value for name, value in sorted(given.items()) if name in declared}


def context_digest(folder: Path, settings: BuildSettings) -> str:
    """12 hex digits of all that decides what an image will be: files, modes and build arguments."""
    whole = hashlib.sha256()
    for name, path in context_files(folder).items():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{name}\0{is_executable(path)}\0{content}\n".encode())
    for name, value in build_arguments(folder, settings).items():
        whole.update(f"{name}={value}\n".encode())
    return whole.hexdigest()[:12]


def image_tag(folder: Path, settings: BuildSettings) -> str:
    """Tag of the image that is built from `folder`: `metis/<folder>:<digest of what it is built from>`."""
    return f"metis/{folder.name.lower()}:{context_digest(folder, settings)}"


def workload_digest(workload: Workload, settings: BuildSettings) -> str:
    """See `context_digest`; the environment of its containers does not count."""
    return context_digest(workload.folder, settings)


def is_executable(path: Path) -> bool:
    """Whether its owner may execute it; of the modes of a file only this goes into an image."""
    return bool(path.stat().st_mode & 0o100)


def _workloads(folder: Path) -> dict[str, Workload]:
    """The applications that the YAML files of a folder describe, by name."""
    if not folder.is_dir():
        raise InputError(f"apps.workloads: {folder}: there is no such folder")
    found: dict[str, Workload] = {}
    for path in sorted(folder.glob("*.yaml")):
        read = read_workload(path)
        if read.name in found:
            raise InputError(f"{path}: {read.name!r} is also the name in another file beside it")
        found[read.name] = read
    return found


def _files(folder: Path, prefix: str) -> Iterable[tuple[str, Path]]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if one not in IGNORED)
        for name in sorted(names):
            path = Path(parent) / name
            if not name.endswith(".pyc") and path.is_file():
                yield prefix + path.relative_to(folder).as_posix(), path
