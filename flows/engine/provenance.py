"""Tags, parameters and data that every MLflow run has, by one scheme: see docs/mlflow.md."""

import getpass
import json
import os
import platform
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from flows.configuration.settings import Settings
from flows.engine.keys import ROOT, digest
from metis.files import file_digest
from metis.problem.counts import IntArray

LIBRARIES = ("numpy", "pandas", "scikit-learn", "cvxpy", "highspy", "tensorflow", "mlflow", "prefect")
GIT_SECONDS = 5.0


@dataclass(frozen=True)
class Dataset:
    """What a run was given, as MLflow shows it.

    Attributes:
        name: `profile` or `groups`.
        digest: of its content: the same data has the same digest, wherever it lies.
        source: where it comes from: a URI, or in words how it was drawn.
        columns: its columns.
        rows: how many it has.
    """

    name: str
    digest: str
    source: str
    columns: Sequence[str]
    rows: int

    def logged(self) -> Any:
        """Return it as an entity of MLflow."""
        from mlflow.entities import Dataset as Entity
        from mlflow.entities import DatasetInput, InputTag

        kind, source = "code", json.dumps({"tags": {"mlflow.source.name": self.source}})
        if self.source.startswith("runs:"):  # which MLflow's own kind for files resolves, but has no kind for
            kind, source = "local", json.dumps({"uri": self.source})
        schema = [{"name": name, "type": "long", "required": True} for name in self.columns]
        entity = Entity(
            name=self.name,
            digest=self.digest,
            source_type=kind,
            source=source,
            schema=json.dumps({"mlflow_colspec": schema}),
            profile=json.dumps({"num_rows": self.rows}),
        )
        return DatasetInput(entity, [InputTag("mlflow.data.context", self.name)])


def profile_dataset(folder: Path, run_id: str | None, apps: Sequence[str], rows: int) -> Dataset:
    """Return the profile in the output of run `run_id` as a dataset."""
    source = f"runs:/{run_id}/profile.npz" if run_id else "a profile"
    return Dataset("profile", file_digest(folder / "profile.npz"), source, apps, rows)


def groups_dataset(settings: Settings, groups: IntArray, apps: Sequence[str]) -> Dataset:
    """Return the groups of a run, int [groups, apps], as a dataset."""
    chosen = settings.groups
    source = f"drawn, {sizes_of(groups)} containers, groups.seed={chosen.seed}"
    if settings.group.counts is not None:
        source = "group.counts"
    elif chosen.path:
        source = f"file {Path(chosen.path).name}"
    return Dataset("groups", digest([list(apps), groups.tolist()]), source, apps, len(groups))


def sizes_of(groups: IntArray) -> str:
    """Return how many containers the groups have: `200`, or `50-648`."""
    sizes = groups.sum(axis=1)
    least, most = int(sizes.min()), int(sizes.max())
    return str(least) if least == most else f"{least}-{most}"


def run_params(settings: Settings, groups: IntArray, scheduler: str | None = None) -> dict[str, str]:
    """Return the parameters that every run about placing has, under the same names."""
    named = {"scheduler": scheduler} if scheduler else {}
    return named | {
        "nodes": str(settings.cluster.nodes),
        "containers": sizes_of(groups),
        "groups": str(len(groups)),
        "objective": settings.objective.kind,
        "simulator": settings.simulator.kind,
        "testbed": settings.testbed.kind,
        "seed": str(settings.seed),
    }


def run_tags(params: Mapping[str, str]) -> dict[str, str]:
    """Return those of `run_params` by which runs are searched and filtered, as tags."""
    names = ("scheduler", "nodes", "containers", "seed")
    return {f"metis.{name}": params[name] for name in names if name in params}


def run_name(params: Mapping[str, str]) -> str:
    """Return the name of a scheduler's run: `greedy, 200 on 81 nodes, seed 0`."""
    return "{scheduler}, {containers} on {nodes} nodes, seed {seed}".format_map(params)


@cache
def provenance() -> dict[str, str]:
    """Return the tags that every run of this process has: commit, host, user, versions."""
    tags = {
        "mlflow.source.name": "metis",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _user(),
        "metis.host": socket.gethostname(),
        "metis.version": _version("metis"),
        "metis.versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }
    commit = _commit()
    if commit:
        tags |= {"mlflow.source.git.commit": commit.removesuffix("-dirty"), "metis.commit": commit}
    return tags


def machine() -> str:
    """Return what kind of machine this is: processors that this process may use, system; not its name."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{cores} core{'s' * (cores != 1)}, {system}"


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results may depend on."""
    return {"python": platform.python_version()} | {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())


def _commit() -> str | None:
    """Return the commit of our own checkout, with `-dirty` where files differ from it; None without git."""
    if not (ROOT / ".git").exists():
        return None  # installed: a repository further up would be another project's
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.stdout.strip() or None
