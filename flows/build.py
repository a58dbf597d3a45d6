"""From settings to the things of the science: testbed, profile, simulator, cluster, groups, objective."""

from pathlib import Path

import numpy as np

from flows.settings import Settings
from metis.errors import InputError
from metis.measure.profile import Profile
from metis.measure.profile_files import load_profile
from metis.measure.testbed import Testbed, join_profiles, list_colocations, load_embedded
from metis.problem import objectives
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray
from metis.problem.groups import draw_groups, draw_skewed_groups, load_groups, make_group
from metis.problem.objectives import Objective
from metis.problem.placement_files import read_placement
from metis.problem.rules import Rules
from metis.problem.space import ColocationSpace
from metis.simulate.replay import FileTestbed
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


def tabulated(settings: Settings) -> tuple[str, ...]:
    """The quantities to simulate for the objective."""
    return objectives.tabulated(make_objective(settings))


def make_objective(settings: Settings) -> Objective:
    """The objective."""
    return objectives.make_objective(settings.objective.model_dump())


def make_cluster(settings: Settings, space: ColocationSpace) -> Cluster:
    """The cluster, with what already runs there and what the rules admit.

    Raises:
        InputError: the existing placement or a rule does not fit; names file, node or application.
    """
    rules = settings.rules
    mask = Rules(
        tuple(rules.never_together),
        rules.at_most,
        {app: tuple(others) for app, others in rules.only_beside.items()},
    ).mask(space)
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
