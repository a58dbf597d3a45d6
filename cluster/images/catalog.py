"""The catalogue of applications: a YAML file for each, beside the folder that its image is built from."""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.settings import BuildSettings
from metis.errors import InputError
from metis.inputs.documents import read_yaml

PACKAGED = Path(__file__).resolve().parents[1] / "workloads"
LOAD_FOLDER = PACKAGED.parent / "load" / "loadimage"
COMMON = "common"
DOCKERFILE = "Dockerfile"
NEEDS = ("redis", "memcached", "origin")
PROVIDES = ("redis",)
# images that are no application: the cache of each node, the origin of pictures, and what sends load
MEMCACHED, ORIGIN = "memcached", "origin"
SUPPORT = (MEMCACHED, ORIGIN)
LOAD = "load"
IGNORED = ("__pycache__", ".git")
_ARGUMENT = re.compile(r"^\s*ARG\s+([A-Za-z_][A-Za-z0-9_]*)", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Workload:
    """An application.

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

    name: str
    folder: Path
    describe: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    path: str = "/"
    users: int | None = None
    sla: float | None = None
    needs: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()


def load_catalog(folders: Sequence[Path], names: Iterable[str]) -> tuple[Workload, ...]:
    """The applications called `names`, in that order.

    Args:
        folders: of YAML files, beside the packaged one; of two files of one name the later folder's counts.
        names: which; each once.

    Raises:
        InputError: a folder is missing, a file is no workload, or a name is unknown; lists those there are.
    """
    known: dict[str, Path] = {}
    for folder in (PACKAGED, *folders):
        known |= _names(folder)
    wanted = list(names)
    for name in wanted:
        if name not in known:
            raise InputError(f"apps.names: there is no application {name!r}; use {sorted(known)}")
        if wanted.count(name) > 1:
            raise InputError(f"apps.names: {name!r} is named twice")
    return tuple(read_workload(known[name]) for name in wanted)


def read_workload(path: Path) -> Workload:
    """The application that a YAML file describes.

    Raises:
        InputError: unreadable, a key missing or unknown, or a value that makes no sense; names file and key.
    """
    stored = _mapping(path)
    known = Workload.__dataclass_fields__
    odd = [str(key) for key in stored if key not in known]
    if odd:
        raise InputError(f"{path}: there is no {odd[0]!r}; use {', '.join(known)}")
    missing = [key for key in ("name", "folder", "describe") if not stored.get(key)]
    if missing:
        raise InputError(f"{path}: lacks {missing[0]}")
    _check(path, stored)
    folder = (path.parent / stored["folder"]).resolve()
    if not (folder / DOCKERFILE).is_file():
        raise InputError(f"{path}: folder {stored['folder']!r}: there is no {folder / DOCKERFILE}")
    return Workload(
        **stored
        | {
            "folder": folder,
            "env": {str(key): _word(value) for key, value in (stored.get("env") or {}).items()},
            "needs": tuple(stored.get("needs") or ()),
            "provides": tuple(stored.get("provides") or ()),
        }
    )


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


def _names(folder: Path) -> dict[str, Path]:
    """The YAML files of a folder by the name of their application."""
    if not folder.is_dir():
        raise InputError(f"apps.workloads: {folder}: there is no such folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.yaml")):
        name = str(_mapping(path).get("name"))
        if name in found:
            raise InputError(f"{path}: {name!r} is also the name in {found[name]}")
        found[name] = path
    return found


def _mapping(path: Path) -> dict[str, Any]:
    stored = read_yaml(path)
    if not isinstance(stored, dict):
        raise InputError(f"{path}: holds no mapping; give name, folder and describe")
    return stored


def _check(path: Path, stored: Mapping[str, Any]) -> None:
    def refuse(key: str, right: str) -> None:
        raise InputError(f"{path}: {key} {stored[key]!r}: {right}")

    name = stored["name"]
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
        refuse("name", "give letters, digits, dots, hyphens and _")
    if name in (*SUPPORT, LOAD):
        refuse("name", "is the name of an image of ours; give another")
    if not isinstance(stored["folder"], str):
        refuse("folder", "give a path from the folder of this file")
    if not isinstance(stored.get("env") or {}, dict):
        refuse("env", "give a mapping from variable to value")
    if not isinstance(stored.get("path", "/"), str) or not stored.get("path", "/").startswith("/"):
        refuse("path", "give what a request asks for, from the first /")
    users, sla = stored.get("users"), stored.get("sla")
    if users is not None and (not isinstance(users, int) or isinstance(users, bool) or users < 1):
        refuse("users", "give a whole number from 1")
    if sla is not None and (not isinstance(sla, int | float) or isinstance(sla, bool) or not 0 < sla < 600):
        refuse("sla", "give seconds, above 0 and below 600")
    for key, allowed in (("needs", NEEDS), ("provides", PROVIDES)):
        given = stored.get(key) or []
        if not isinstance(given, list) or not set(map(str, given)) <= set(allowed):
            refuse(key, f"give a list of {', '.join(allowed)}")


def _word(value: Any) -> str:
    """A value of `env` as a person means it: YAML reads `true` and `1`, a program wants the words."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _files(folder: Path, prefix: str) -> Iterable[tuple[str, Path]]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if one not in IGNORED)
        for name in sorted(names):
            path = Path(parent) / name
            if not name.endswith(".pyc") and path.is_file():
                yield prefix + path.relative_to(folder).as_posix(), path
