"""Keys of stages: digests of settings, of inputs, and of the source modules a stage uses."""

import ast
import hashlib
import json
import re
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

from metis.files import file_digest

PACKAGES = ("metis", "baselines", "cluster", "flows")
PARSING, PARSINGS = Lock(), 20
IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<module>[\w.]+)[ \t]+)?import[ \t]*(?P<names>\([^)]*\)|[^\n]*)", re.MULTILINE
)
WORD = re.compile(r"\bimport\b")
COMMENT = re.compile(r"#.*")
ROOT = Path(__file__).resolve().parents[2]


def digest(value: Any) -> str:
    """Return a short digest of JSON-able values."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def folder_digest(folder: Path, names: Iterable[str]) -> str:
    """Return a digest of some files of a folder, by name and content."""
    return digest({name: file_digest(folder / name) for name in sorted(names)})


@cache
def source_digest(module: str) -> str:
    """Return a digest of a module's source and of every module of ours that it imports, directly or not.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    if module not in sources(module):
        raise ModuleNotFoundError(f"{module}: its source was not found, so that it could not count for a key")
    return digest({name: file_digest(path) for name, path in sorted(sources(module).items())})


def sources(module: str) -> dict[str, Path]:
    """Return the source of `module` and of ours that it imports, by name; read from the code, not run."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _path(name) or (_users_path(name) if name == module else None)
        if path is None or name in found:
            continue
        found[name] = path
        waiting += _imports(path)
    return found


@cache
def _imports(path: Path) -> tuple[str, ...]:
    text = path.read_text(encoding="utf-8")
    names = _plain_imports(text)
    names = _parsed_imports(text) if names is None else names
    return tuple(name for name in names if name.split(".")[0] in PACKAGES)


def _plain_imports(text: str) -> list[str] | None:
    """Return what lines that begin with `import` or `from` name; None where the word stands elsewhere, too.

    A syntax tree takes thirty times as long, two seconds for all of ours. What a docstring imports counts.
    """
    found = list(IMPORT.finditer(text))
    if len(found) != len(WORD.findall(text)) or any(one[0].endswith("\\") for one in found):
        return None
    names: list[str] = []
    for one in found:
        listed = COMMENT.sub("", one["names"]).strip("()").split(",")
        bare = [name.split()[0] for name in listed if name.strip()]
        names += [one["module"], *(f"{one['module']}.{name}" for name in bare)] if one["module"] else bare
    return names


def _parsed_imports(text: str) -> list[str]:
    names: list[str] = []
    for node in ast.walk(_tree(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def _tree(text: str) -> ast.Module:
    """Return a syntax tree; steps side by side ask for keys at the same time.

    CPython 3.11 counts the depth of a tree once for all threads, and gives up where two build one at once:
    TensorFlow's autograph may be the other one.
    """
    for _ in range(PARSINGS):
        try:
            with PARSING:
                return ast.parse(text)
        except SystemError:
            continue
    return ast.parse(text)


def _users_path(module: str) -> Path | None:
    """Return the path of a user's own module, for instance that of `scheduler=module:function`."""
    try:
        found = find_spec(module)
    except (ImportError, ValueError):
        return None  # importing it will say so
    return Path(found.origin) if found and found.origin and found.origin.endswith(".py") else None


@cache
def _path(module: str) -> Path | None:
    if module.split(".")[0] not in PACKAGES:
        return None
    base = ROOT.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None
