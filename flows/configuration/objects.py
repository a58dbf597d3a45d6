"""From settings to the things of the science: testbed, profile, simulator, cluster, groups, objective."""

import json
from pathlib import Path

import numpy as np

from flows.configuration.settings import Settings
from metis.errors import InputError
from metis.files import load_arrays
from metis.measure.profile import Profile, load_profile
from metis.measure.testbed import FileTestbed, Testbed, join_profiles, list_colocations, load_embedded
from metis.problem import objectives
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray, whole_counts
from metis.problem.groups import draw_groups, draw_skewed_groups, load_groups, make_group
from metis.problem.objectives import Objective
from metis.problem.rules import Rules
from metis.problem.space import ColocationSpace
from metis.simulate.settings import SimulatorSettings


def app_names(settings: Settings) -> tuple[str, ...] | None:
    """Names given for the applications, if any."""
    return tuple(settings.apps.names) if settings.apps.names else None


def make_testbed(settings: Settings) -> Testbed:
    """The testbed: a full profile replayed where `testbed.path` names one, else the embedded model."""
    chosen = settings.testbed
    if chosen.kind == "swarm":
        raise InputError(
            "testbed=swarm: hosts are made ready by stages; use `metis run stages=[profile]` or [explore] "
            "first, then profile=file profile.path=FILE"
        )
    if chosen.path:
        return FileTestbed(load_profile(Path(chosen.path), app_names(settings), settings.cluster.slots))
    table = Path(chosen.coefficients) if chosen.coefficients else None
    return load_embedded(table, settings.cluster.slots or 8, chosen.noise)


def knows_truth(settings: Settings) -> bool:
    """Whether a testbed can judge placements: files of measurements and live clusters have no truth."""
    if settings.testbed.kind == "swarm":
        return False
    return settings.testbed.path is not None or settings.profile.path is None


def measure_profile(settings: Settings) -> Profile:
    """The profile: read from `profile.path`, or measured on the testbed."""
    chosen = settings.profile
    if chosen.path:
        return load_profile(Path(chosen.path), app_names(settings), settings.cluster.slots)
    testbed = make_testbed(settings)
    onto = onto_profile(settings, testbed.space)
    wanted = chosen_colocations(settings, testbed.space, onto)
    if onto is not None and not len(wanted):
        return onto
    measured = testbed.measure(wanted, chosen.seed, chosen.repeats)
    return measured if onto is None else join_profiles(onto, measured, measured.provenance)


def onto_profile(settings: Settings, space: ColocationSpace) -> Profile | None:
    """The profile that measuring goes on with, if any.

    Raises:
        InputError: unreadable, or of other applications or slots.
    """
    if settings.profile.onto is None:
        return None
    path = Path(settings.profile.onto)
    found = load_profile(path, app_names(settings), settings.cluster.slots)
    if found.space != space:
        raise InputError(
            f"profile.onto: {path}: measured {list(found.apps)} on {found.slots} slots, the testbed has "
            f"{list(space.apps)} on {space.slots}"
        )
    return found


def chosen_colocations(settings: Settings, space: ColocationSpace, onto: Profile | None = None) -> IntArray:
    """What `profile` asks to measure, int [n, apps], without what `onto` holds already."""
    chosen = settings.profile
    given = None if chosen.colocations is None else _given_colocations(chosen.colocations, space)
    wanted = list_colocations(space, chosen.choose, share=chosen.share, seed=chosen.seed, given=given)
    if onto is None:
        return wanted
    known = space.index(onto.colocations)
    return np.asarray(wanted[~np.isin(space.index(wanted), known)])


def _given_colocations(given: list[list[int]] | str, space: ColocationSpace) -> IntArray:
    """Counts per application, a row per co-location: as given, or of a file that `read_placement` reads."""
    if isinstance(given, str):
        return read_placement(Path(given), space)
    odd = [row for row in given if len(row) != len(space.apps)]
    if odd:
        raise InputError(f"profile.colocations: {odd[0]}: give a count for each of {list(space.apps)}")
    return np.array(given, dtype=np.int64).reshape(-1, len(space.apps))


def simulator_settings(settings: Settings) -> SimulatorSettings:
    """The simulator's settings."""
    made: SimulatorSettings = settings.simulator.made()
    return made


def needs_latency(settings: Settings) -> bool:
    """Whether latency must be simulated too."""
    return settings.objective.kind == "latency"


def make_objective(settings: Settings) -> Objective:
    """The objective."""
    chosen = settings.objective
    made: dict[str, Objective] = {
        "rps": objectives.MeanRps(),
        "slo": objectives.SloShare(chosen.level),
        "free_nodes": objectives.FreeNodes(chosen.beta),
        "latency": objectives.Latency(),
    }
    return made[chosen.kind]


def make_cluster(settings: Settings, space: ColocationSpace) -> Cluster:
    """The cluster, with what already runs there and what the rules admit.

    Raises:
        InputError: the existing placement or a rule does not fit; names file, node or application.
    """
    rules = settings.rules
    mask = Rules(rules.never_together, rules.at_most, rules.only_beside).mask(space)
    existing = read_placement(Path(settings.existing), space) if settings.existing else None
    if existing is None:
        return Cluster(space, settings.cluster.nodes, allowed=mask)
    return Cluster(space, settings.cluster.nodes, existing=existing, allowed=mask)


def one_group(settings: Settings, apps: tuple[str, ...]) -> IntArray:
    """The group to place: `group.counts`, or the first of the groups."""
    first: IntArray = make_groups(settings, apps)[0]
    return first


def make_groups(settings: Settings, apps: tuple[str, ...]) -> IntArray:
    """The groups of a run, int [groups, apps]: one by counts, those of a file, or drawn by seed."""
    if settings.group.counts is not None:
        return make_group(settings.group.counts, apps)[None]
    chosen = settings.groups
    if chosen.path:
        rows = None if chosen.rows is None else str(chosen.rows)
        return load_groups(Path(chosen.path), rows, apps)
    rng = np.random.default_rng(chosen.seed)
    draw = draw_skewed_groups if chosen.skewed else draw_groups
    groups: IntArray = draw(chosen.count, settings.group.size, len(apps), rng)
    return groups


def read_placement(path: Path, space: ColocationSpace) -> IntArray:
    """A placement, int [nodes, apps], of a file.

    `.npz` or `.json` with `placement` (as `metis place output=json` prints it), or `.csv` with a column per
    application.

    Raises:
        InputError: unreadable, of another shape, or with counts that are none; names the file.
    """
    if path.suffix == ".json":
        try:
            return whole_counts(json.loads(path.read_text(encoding="utf-8"))["placement"], str(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: holds no placement ({error})") from None
    if path.suffix != ".csv":
        arrays = load_arrays(path)
        if "placement" not in arrays:
            raise InputError(f"{path}: holds no array named placement")
        return whole_counts(arrays["placement"], str(path))
    import pandas as pd

    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable table ({error})") from None
    unknown = [name for name in frame.columns if name not in (*space.apps, "node")]
    if unknown:
        raise InputError(f"{path}: the column {unknown[0]!r} is no application; use {list(space.apps)}")
    return whole_counts(frame.reindex(columns=list(space.apps), fill_value=0).to_numpy(), str(path))
