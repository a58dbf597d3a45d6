"""Placements by name: a file, or an MLflow run that made one."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from flows.settings import Settings
from metis.errors import InputError
from metis.files import load_arrays
from metis.problem.counts import IntArray, whole_counts
from metis.problem.placement_files import read_placement
from metis.problem.space import ColocationSpace

RUN_ID = re.compile(r"^[0-9a-f]{32}$")
MADE = ("proposal.npz", "placement.npz")  # of watch and deploy; those of the schedulers have many groups
DECISIONS = "decisions.npz"
TABLE = "placements.csv"


def given_placement(settings: Settings, space: ColocationSpace) -> IntArray:
    """The placement that `placement=` names, int [nodes, apps].

    Raises:
        InputError: neither a file nor a run, or a placement of other applications.
    """
    named = settings.placement
    if not named:
        raise InputError("placement: give a file (.npz, .json, .csv) or the id of an MLflow run")
    if not RUN_ID.match(named) or Path(named).exists():
        if not Path(named).is_file():
            raise InputError(f"placement {named!r}: no such file; give one, or the id of an MLflow run")
        return _of_file(Path(named), space)
    from flows.store import Store

    return of_folder(Store(settings.tracking).record(named).folder, space, f"MLflow run {named}")


def of_folder(folder: Path, space: ColocationSpace, name: str) -> IntArray:
    """The placement in a step's output: what was proposed or deployed, or the first group of a scheduler."""
    for made in MADE:
        if (folder / made).is_file():
            return _of_file(folder / made, space)
    if not (folder / DECISIONS).is_file():
        raise InputError(f"{name}: holds no placement; name a run of highlevel, baselines, deploy or watch")
    table = folder / TABLE
    if table.is_file():
        apps = table.read_text(encoding="utf-8").partition("\n")[0].strip().split(",")[2:]
        _check_apps(name, apps, space)
    placements = load_arrays(folder / DECISIONS)["placements"]
    return whole_counts(placements[0], name)


def chosen_placement(inputs: Mapping[str, Path], scheduler: str, space: ColocationSpace) -> IntArray:
    """The placement of group 0 by `scheduler`, among the inputs of a stage."""
    for stage in ("highlevel", "baselines"):
        folder = inputs.get(f"{stage}/{scheduler}")
        if folder is not None:
            return of_folder(folder, space, f"{stage}/{scheduler}")
    raise InputError(
        f"deploy: {scheduler!r} placed nothing in this run; give placement=FILE or an MLflow run"
    )


def _of_file(path: Path, space: ColocationSpace) -> IntArray:
    if path.suffix == ".npz":
        arrays = load_arrays(path)
        if "apps" in arrays:
            _check_apps(str(path), [str(app) for app in arrays["apps"]], space)
    placement = read_placement(path, space)
    if placement.ndim != 2 or placement.shape[1] != len(space.apps):
        raise InputError(
            f"{path}: placement of shape {placement.shape}: give a row per node and a column for each of "
            f"{list(space.apps)}"
        )
    over = np.flatnonzero(placement.sum(axis=1) > space.slots)
    if over.size:
        raise InputError(
            f"{path}: node {over[0]} holds {placement[over[0]].sum()} containers and has {space.slots} slots"
        )
    return placement


def _check_apps(name: str, apps: list[str], space: ColocationSpace) -> None:
    if apps != list(space.apps):
        raise InputError(f"{name}: places {apps}, this run has {list(space.apps)}; give apps.names as there")
