"""The seam to backends: what the registry names exists, and only backends know their cluster's tools."""

import ast
import inspect
import tomllib
from pathlib import Path

import numpy as np
import pytest

import cluster
from cluster.backend import BACKENDS, RUNNING, Backend, open_backend, renderer
from cluster.provision.hosts import Fleet
from cluster.settings import LaunchSettings
from metis.errors import InputError
from tests.cluster.conftest import IMAGES, INVENTORY, WORKLOADS

ROOT = Path(cluster.__file__).parent
BACKEND_FOLDERS = tuple(parts.render.split(".")[1] for parts in BACKENDS.values())
# engines on hosts and on this machine: nodes of a lab are containers, images are built by Docker
DOCKER = ("swarm", "provision", "images")


def imports(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def modules(outside: tuple[str, ...]) -> list[Path]:
    """Modules of the package that are in none of these folders."""
    return [path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] not in outside]


def test_nothing_outside_a_backend_imports_it():
    for path in modules(BACKEND_FOLDERS):
        backends = [f"cluster.{folder}" for folder in BACKEND_FOLDERS]
        assert not [name for name in imports(path) if name.startswith(tuple(backends))], path


@pytest.mark.parametrize("folder", BACKEND_FOLDERS)
def test_a_backend_imports_only_what_lies_below_it(folder):
    below = {folder, "backend", "images", "provision", "host_counters", "settings", "spec", "waiting"}
    for path in (ROOT / folder).rglob("*.py"):
        parts = {name.split(".")[1] for name in imports(path) if name.startswith("cluster.")}
        assert parts <= below, path


def test_all_parts_but_backends_stand_in_a_layer_of_the_linter():
    contracts = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(one["layers"] for one in contracts if one.get("containers") == ["cluster"])
    standing = {part for layer in layers for part in layer.split(" | ")}
    parts = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - {"__init__"} - set(BACKEND_FOLDERS) <= standing


def test_only_hosts_images_and_the_swarm_know_docker():
    for path in modules(DOCKER):
        assert not {name for name in imports(path) if name.split(".")[0] == "docker"}, path


@pytest.mark.parametrize("kind", RUNNING)
def test_a_backend_has_every_method_of_the_protocol(kind):
    made = open_backend(kind, Fleet(INVENTORY), WORKLOADS, IMAGES, LaunchSettings())
    for name, wanted in inspect.getmembers(Backend, inspect.isfunction):
        if not name.startswith("_"):
            parameters = list(inspect.signature(wanted).parameters)[1:]
            assert list(inspect.signature(getattr(made, name)).parameters) == parameters, name
    assert made.inventory is INVENTORY


@pytest.mark.parametrize("kind", BACKENDS)
def test_a_renderer_writes_text(kind, layout):
    assert "METIS_APP" in renderer(kind)(layout().cluster(np.array([[1, 1, 1], [0, 0, 1]])))


def test_an_unknown_backend_is_refused_by_name():
    with pytest.raises(InputError, match=f"'nomad': there is no such backend; use {', '.join(RUNNING)}"):
        open_backend("nomad", Fleet(INVENTORY), (), ())
    with pytest.raises(InputError, match=f"'nomad': there is no such backend; use {', '.join(BACKENDS)}"):
        renderer("nomad")
