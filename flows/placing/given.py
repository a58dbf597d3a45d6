"""Placements that a user names: a file, or the id of an MLflow run that made one, or its first digits."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from flows.configuration.objects import placement_of
from flows.configuration.settings import Settings
from flows.engine.store import Store
from metis.errors import InputError
from metis.problem.counts import IntArray
from metis.problem.placement_files import named_nodes
from metis.problem.space import ColocationSpace

RUN_ID = re.compile(r"^[0-9a-f]{6,32}$")  # whole, or as tables show it
WHOLE = 32
# of watch, deploy, and the schedulers: those have many groups, of which the first is meant
FILES = ("proposal.npz", "placement.npz", "decisions.npz")


def with_files(settings: Settings, store: Store) -> Settings:
    """Return settings in which the ids of MLflow runs are replaced by the files of their placements.

    Raises:
        InputError: neither a file nor a run that holds a placement.
    """
    existing = _file_of("existing", settings.existing, store)
    placement = _file_of("placement", settings.placement, store)
    if (existing, placement) == (settings.existing, settings.placement):
        return settings
    return replace(settings, existing=existing, placement=placement)


def _file_of(key: str, named: str | None, store: Store) -> str | None:
    if not named or Path(named).is_file():
        return named
    if Path(named).is_dir():
        raise InputError(f"{key} {named!r}: is a folder; give a file, or the id of an MLflow run")
    if not RUN_ID.match(named):
        raise InputError(f"{key} {named!r}: no such file; give one, or the id of an MLflow run")
    run_id = named if len(named) == WHOLE else _only_one(key, named, store.ids(named))
    folder = store.record(run_id).folder
    for name in FILES:
        if (folder / name).is_file():
            return str(folder / name)
    raise InputError(
        f"{key}: MLflow run {run_id} holds no placement; name a run of highlevel, baselines, deploy or watch"
    )


def _only_one(key: str, prefix: str, ids: Sequence[str]) -> str:
    if len(ids) == 1:
        return ids[0]
    if not ids:
        raise InputError(f"{key} {prefix!r}: neither a file nor the beginning of an MLflow run's id")
    raise InputError(f"{key} {prefix!r}: several MLflow runs begin so; give more of {', '.join(ids)}")


def given_placement(settings: Settings, space: ColocationSpace) -> IntArray:
    """Return the placement that `placement=` names, int [nodes, apps].

    Raises:
        InputError: nothing is named, or a placement of other applications.
    """
    if not settings.placement:
        raise InputError("placement: give a file (.npz, .json, .csv) or the id of an MLflow run")
    return placement_of(Path(settings.placement), space)


def given_names(settings: Settings, space: ColocationSpace) -> tuple[str, ...] | None:
    """Return the names that the file of `placement=` gives its rows; None where it gives none."""
    return named_nodes(Path(settings.placement or ""), space.apps)


def chosen_placement(inputs: Mapping[str, Path], scheduler: str, space: ColocationSpace) -> IntArray:
    """Return the placement of group 0 by `scheduler`, among the inputs of a stage."""
    for stage in ("highlevel", "baselines"):
        folder = inputs.get(f"{stage}/{scheduler}")
        if folder is not None:
            return placement_of(folder / "decisions.npz", space)
    raise InputError(f"{scheduler!r} placed nothing in this run; give placement=FILE or an MLflow run")
