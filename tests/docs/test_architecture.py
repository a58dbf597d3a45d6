"""The map of the code is true: what it names exists, and imports run in the stated directions only."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from cluster.backend import BACKENDS

ROOT = Path(__file__).parents[2]
MAP = ROOT / "docs" / "architecture.md"
GUIDE = ROOT / "CONTRIBUTING.md"
PACKAGES = ("flows", "baselines", "cluster", "metis")
DOTTED = re.compile(r"`((?:flows|baselines|cluster|metis)(?:\.\w+)+)`")
FILE = re.compile(r"`((?:flows|baselines|cluster|metis|conf|tests|docs|benchmarks)/[\w./-]*)`")


def names_in(page):
    return sorted(set(DOTTED.findall(page.read_text(encoding="utf-8"))))


def files_in(page):
    return sorted(set(FILE.findall(page.read_text(encoding="utf-8"))))


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def source_of(module):
    """The file of a module or package, or None."""
    path = ROOT.joinpath(*module.split("."))
    return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file()), None)


def defined(body):
    """What a module or class defines at its top, by name; the body of a class, else nothing."""
    found = {}
    for one in body:
        if isinstance(one, ast.ClassDef | ast.FunctionDef):
            found[one.name] = one.body if isinstance(one, ast.ClassDef) else []
        elif isinstance(one, ast.Assign):
            found |= {target.id: [] for target in one.targets if isinstance(target, ast.Name)}
        elif isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            found[one.target.id] = []
    return found


def exists(dotted):
    """Whether a module, or what it defines, is there; nothing is imported."""
    parts = dotted.split(".")
    length = max((n for n in range(1, len(parts) + 1) if source_of(".".join(parts[:n]))), default=0)
    if not length:
        return False
    body = tree_of(source_of(".".join(parts[:length]))).body
    for part in parts[length:]:
        found = defined(body)
        if part not in found:
            return False
        body = found[part]
    return True


def test_what_is_not_there_is_noticed():
    assert exists("flows.engine.memo.Memo.obtain")
    assert exists("cluster.backend.BACKENDS")
    for wrong in ("flows.engine.memo.Memo.get", "flows.engine.nothing", "flows.engine.memo.obtain"):
        assert not exists(wrong)


@pytest.mark.parametrize("page", [MAP, GUIDE], ids=lambda page: page.stem)
def test_every_module_function_and_file_that_is_named_exists(page):
    missing = [name for name in names_in(page) if not exists(name)]
    missing += [name for name in files_in(page) if not (ROOT / name).exists()]
    assert not missing


def test_benchmarks_import_what_there_is():
    """They run now and then only: an import of something that moved would not be noticed."""
    missing = []
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
                named = [f"{node.module}.{alias.name}" for alias in node.names]
                missing += [f"{path.name}: {name}" for name in named if not (exists(name) or _exported(name))]
    assert not missing


def _exported(dotted):
    """Whether a package names something in its `__all__`."""
    module, _, name = dotted.rpartition(".")
    return f'"{name}"' in source_of(module).read_text(encoding="utf-8") if source_of(module) else False


def test_both_walks_name_what_they_pass():
    assert len(names_in(MAP)) > 50
    assert len(files_in(GUIDE)) > 10


@pytest.mark.parametrize("package", PACKAGES)
def test_the_picture_names_every_part_of_a_package(package):
    picture = MAP.read_text(encoding="utf-8").split("```")[1]
    parts = {path.stem for path in (ROOT / package).iterdir() if _is_part(path)}
    if package == "baselines":
        parts = {"registry", "contract"}  # its other files are schedulers and what they share
    if package == "cluster":
        parts -= {one.render.split(".")[1] for one in BACKENDS.values()}  # a new one needs no picture
    assert not [part for part in parts if not re.search(rf"\b{part}\b", picture)]


def _is_part(path):
    if path.is_dir():
        return (path / "__init__.py").exists()
    return path.suffix == ".py" and path.stem != "__init__"


def test_imports_run_in_the_stated_directions_only():
    """In a process of its own: the linter sets up logging anew and keeps the standard streams it found."""
    linter = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    done = subprocess.run(linter, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_module_takes_part_in_a_circle():
    """Import-linter compares siblings; this one follows imports from module to module, lazy ones too."""
    import grimp

    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    waits = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    free = [module for module, imports in waits.items() if not imports]
    while free:
        done = free.pop()
        for module in graph.find_modules_that_directly_import(done):
            waits[module].discard(done)
            if not waits[module]:
                free.append(module)
    circle = [module for module, imports in waits.items() if imports]
    assert not circle
