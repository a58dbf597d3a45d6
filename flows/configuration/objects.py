"""From settings to the things of the science: testbed, profile, cluster, groups, objective."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flows.configuration.settings import Settings
from metis.errors import InputError
from metis.inputs.names import meant
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray, whole_counts
from metis.problem.folders import has_rows, read_problem, read_rows
from metis.problem.groups import draw_groups, draw_skewed_groups, load_groups, make_group
from metis.problem.node_types import NodeTypeSettings, state_problem
from metis.problem.objectives import tabulated
from metis.problem.placement_files import named_nodes, read_placement
from metis.problem.space import ColocationSpace
from metis.problem.statement import Statement
from metis.wording import amount

if TYPE_CHECKING:
    from metis.measure.profile import Profile
    from metis.measure.synthetic import SyntheticModel, SyntheticOracle
    from metis.measure.testbed import Testbed
    from metis.problem.oracle import Oracle
    from metis.problem.tables import Tables


FEW = 3  # rows that a sentence names


def app_names(settings: Settings) -> tuple[str, ...] | None:
    """Return the names given for the applications, if any."""
    return settings.apps.names or None


def make_testbed(settings: Settings) -> "Testbed":
    """Return the testbed: a full profile replayed where `testbed.path` names one, else the embedded model."""
    from metis.measure.profile_files import load_profile
    from metis.measure.testbed import EmbeddedTestbed, load_embedded
    from metis.simulate.replay import FileTestbed

    chosen = settings.testbed
    if chosen.kind == "swarm":
        raise InputError(
            "testbed=swarm: hosts are made ready by stages; use `metis run stages=[profile]` or [explore] "
            "first, then profile=file profile.path=FILE"
        )
    if chosen.path:
        return FileTestbed(load_profile(Path(chosen.path), app_names(settings), settings.cluster.slots))
    if chosen.kind == "synthetic":
        return EmbeddedTestbed(_synthetic(settings), settings.slots, chosen.noise)
    table = Path(chosen.coefficients) if chosen.coefficients else None
    return load_embedded(table, settings.slots, chosen.noise)


def _synthetic(settings: Settings) -> "SyntheticModel":
    from metis.measure.synthetic import SyntheticModel

    assert settings.apps.count is not None  # the settings are refused without
    return SyntheticModel.drawn(settings.apps.count, settings.testbed.seed)


def make_oracle(settings: Settings) -> "SyntheticOracle":
    """Return what the testbed knows of co-locations that are too many to tabulate."""
    from metis.measure.synthetic import SyntheticOracle

    return SyntheticOracle(_synthetic(settings), settings.slots)


def knows_truth(settings: Settings) -> bool:
    """Whether a testbed judges placements beside the simulator.

    Files of measurements and live clusters have no truth; with `simulator=testbed` the simulator is it.
    """
    if settings.testbed.kind == "swarm":
        return False
    if settings.simulator.kind == "testbed":
        return False  # what schedulers see is the truth already
    return settings.testbed.path is not None or settings.profile.path is None


def make_truth(settings: Settings) -> "Tables | Oracle":
    """Return what the testbed knows: an oracle where co-locations are too many to tabulate."""
    if settings.testbed.kind == "synthetic" and settings.wide:
        return make_oracle(settings)
    return make_testbed(settings).truth(tabulated(settings.objective))


def measure_profile(settings: Settings) -> "Profile":
    """Return the profile: read from `profile.path`, or measured on the testbed."""
    from metis.measure.profile_files import load_profile, refuse_raw
    from metis.measure.testbed import join_profiles

    chosen = settings.profile
    if chosen.path:
        profile = load_profile(Path(chosen.path), app_names(settings), settings.cluster.slots)
        refuse_raw(Path(chosen.path), profile)
        return profile
    testbed = make_testbed(settings)
    onto = onto_profile(settings, testbed.space)
    wanted = chosen_colocations(settings, testbed.space, onto)
    if onto is not None and not len(wanted):
        return onto
    measured = testbed.measure(wanted, chosen.seed, chosen.repeats)
    return measured if onto is None else join_profiles(onto, measured, measured.provenance)


def onto_profile(settings: Settings, space: ColocationSpace) -> "Profile | None":
    """Return the profile that measuring goes on with, if any.

    Raises:
        InputError: unreadable, or of other applications or slots.
    """
    if settings.profile.onto is None:
        return None
    from metis.measure.profile_files import load_profile
    from metis.measure.testbed import refuse_types

    path = Path(settings.profile.onto)
    found = load_profile(path, app_names(settings), settings.cluster.slots)
    refuse_types(found, "profile.onto")
    if found.space != space:
        raise InputError(
            f"profile.onto: {path}: measured {', '.join(found.apps)} on {found.slots} slots, the testbed has "
            f"{', '.join(space.apps)} on {space.slots}"
        )
    return found


def chosen_colocations(settings: Settings, space: ColocationSpace, onto: "Profile | None" = None) -> IntArray:
    """Return what `profile` asks to measure, int [n, apps], without what `onto` holds already."""
    from metis.measure.testbed import list_colocations

    chosen = settings.profile
    given = None if chosen.colocations is None else _given_colocations(chosen.colocations, space)
    wanted = list_colocations(
        space,
        chosen.choose,
        share=chosen.share,
        seed=chosen.seed,
        mixes=chosen.drawn_mixes,
        given=given,
    )
    if onto is None:
        return wanted
    known = space.index(onto.colocations)
    return np.asarray(wanted[~np.isin(space.index(wanted), known)])


def _given_colocations(given: tuple[tuple[int, ...], ...] | str, space: ColocationSpace) -> IntArray:
    """Return counts per application, a row per co-location: as given, or of a file of placements."""
    if isinstance(given, str):
        return read_placement(Path(given), space)
    odd = [row for row in given if len(row) != len(space.apps)]
    if odd:
        raise InputError(
            f"profile.colocations: {list(odd[0])}: give a count for each of {', '.join(space.apps)}"
        )
    return whole_counts(given, "profile.colocations").reshape(-1, len(space.apps))


def make_cluster(settings: Settings, space: ColocationSpace) -> Cluster:
    """Return the cluster, with what already runs there and what the rules admit.

    Raises:
        InputError: the existing placement or a rule does not fit; names file, node or application.
    """
    rules, nodes = settings.rules, settings.cluster.nodes
    rules.check(space)
    made = Cluster(space, nodes, rules=rules, stated=make_statement(settings, space))
    if space.tabulated:
        made = replace(made, allowed=rules.mask(space))
    if made.stated is not None and settings.problem and not settings.existing:
        return replace(made, existing=made.stated.running)
    if not settings.existing:
        return made
    if made.stated is not None:
        existing = _running(settings, made.stated, space)
    else:
        existing = placement_of(Path(settings.existing), space)
    if len(existing) != nodes:
        stated, right = "cluster.nodes is", f"cluster.nodes={len(existing)}"
        if settings.cluster.types:
            stated, right = "cluster.types has", f"types of {len(existing)} in all"
        raise InputError(
            f"existing {settings.existing}: names {amount(len(existing), 'node')}, {stated} {nodes}: "
            f"give a row for each node, also for empty ones, or {right}"
        )
    return replace(made, existing=existing)


def _running(settings: Settings, stated: Statement, space: ColocationSpace) -> IntArray:
    """Return what runs on stated nodes, int [nodes, apps], in their order where the file names them.

    Raises:
        InputError: unreadable, or a node that is not stated, where names are those of the operator.
    """
    path = Path(settings.existing or "")
    if has_rows(path):
        rows = read_rows(path, stated.nodes, stated.apps)
        return replace(stated, demand=stated.demand * 0, existing=rows).running
    existing, names = placement_of(path, space), named_nodes(path, stated.apps)
    if names is None or not _by_name(settings, stated, names):
        return existing
    unknown = [name for name in names if name not in stated.nodes]
    if unknown:
        raise InputError(
            f"existing {path}: no node {unknown[0]!r} is stated; {meant(unknown[0], stated.nodes)}"
        )
    found: IntArray = np.zeros((len(stated.nodes), existing.shape[1]), dtype=np.int64)
    found[[stated.nodes.index(name) for name in names]] = existing
    return found


def _by_name(settings: Settings, stated: Statement, names: Sequence[str]) -> bool:
    """Whether the rows of a file are the stated nodes of these names; in their order if not.

    Names that count alone made, such as small-1, need not be those of a file that has none of them.
    """
    if settings.problem:
        return True
    if len(names) != len(stated.nodes) or not settings.cluster.types:
        return set(names) == set(stated.nodes)  # other numbers of nodes are refused by the caller
    given = any(one.nodes for one in settings.cluster.types)
    return given or not set(names).isdisjoint(stated.nodes)


def rows_taken(settings: Settings, apps: tuple[str, ...]) -> str:
    """Return which rows of `existing` are which nodes of `cluster.types`; empty where their names say."""
    types, path = settings.cluster.types, Path(settings.existing or "")
    if not settings.existing or not types or settings.problem or has_rows(path):
        return ""
    names, nodes = named_nodes(path, apps), [name for one in types for name in one.names]
    if names is None or not set(names).isdisjoint(nodes):
        return ""
    few = ", ".join(f"{name} as {node}" for name, node in islice(zip(names, nodes, strict=False), FEW))
    more = ", ..." if len(nodes) > FEW else ""
    return (
        f"existing {path}: names none of the nodes of cluster.types: its rows are taken in their order, "
        f"{few}{more}; to name them, give `nodes` in place of `count`"
    )


def waiting_in_folder(cluster: Cluster) -> IntArray:
    """Return the containers that a problem folder asks for beyond those that run, int [apps]."""
    assert cluster.stated is not None
    return np.asarray(np.maximum(cluster.stated.demand - cluster.existing.sum(axis=0), 0))


def make_statement(settings: Settings, space: ColocationSpace) -> Statement | None:
    """Return what the settings state of nodes that differ; None where all nodes are alike to the rules.

    Raises:
        InputError: a type, request or rule is not as described, or the group fits nowhere.
    """
    if settings.problem:
        return read_problem(Path(settings.problem)).over(space)
    if not settings.stated:
        return None
    chosen = settings.cluster
    types = chosen.types or (NodeTypeSettings("node", count=chosen.nodes, slots=space.slots),)
    widest = max((one.slots or 0 for one in types), default=0)
    if widest > space.slots:
        raise InputError(
            f"cluster.types: a type has {widest} slots, and co-locations are known on {space.slots} at most"
        )
    placed = np.asarray(make_groups(settings, space.apps).any(axis=0), dtype=np.int64)
    return state_problem(types, settings.apps.requests, settings.rules, space.apps, space.slots, placed)


def one_group(settings: Settings, apps: tuple[str, ...]) -> IntArray:
    """Return the group to place: `group.counts`, or the first of the groups."""
    first: IntArray = make_groups(settings, apps)[0]
    return first


def make_groups(settings: Settings, apps: tuple[str, ...]) -> IntArray:
    """Return the groups of a run, int [groups, apps]: one by counts, those of a file, or drawn by seed.

    A problem folder states one: its containers that do not run yet.
    """
    if settings.problem:
        stated = read_problem(Path(settings.problem))
        waiting = stated.demand - stated.running.sum(axis=0)
        unknown = [app for app in stated.apps if app not in apps]
        if not unknown:
            return make_group(dict(zip(stated.apps, waiting.tolist(), strict=True)), apps)[None]
        raise InputError(f"application {unknown[0]!r}: nothing is known of it; {meant(unknown[0], apps)}")
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


def placement_of(path: Path, space: ColocationSpace) -> IntArray:
    """Return the placement of a file, int [nodes, apps]; of several groups that of the first.

    Raises:
        InputError: unreadable, of other applications, or a node that holds too many; names the file.
    """
    placement = read_placement(path, space)
    over = np.flatnonzero(placement.sum(axis=1) > space.slots)
    if over.size:
        names, first = named_nodes(path, space.apps), int(over[0])
        raise InputError(
            f"{path}: node {names[first] if names else first} holds "
            f"{amount(placement[first].sum(), 'container')} and has {amount(space.slots, 'slot')}"
        )
    return placement
