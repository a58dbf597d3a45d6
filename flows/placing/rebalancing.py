"""From settings to plans of moves: the work of stage `rebalance` and of the verb."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.configuration.objects import make_cluster, one_group, waiting_in_folder
from flows.configuration.settings import Settings
from flows.placing.problem import known_space
from metis.errors import InputError
from metis.operate.rebalance import Knee, Rebalancing, rebalance
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray
from metis.problem.groups import check_group
from metis.problem.oracle import Oracle, worth_of
from metis.problem.placement_files import named_nodes, node_names
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables


@dataclass(frozen=True)
class Proposal:
    """Plans of moves under some settings.

    Attributes:
        objective: its name.
        found: what runs, and the plans.
        single: whether one number of moves was given, or only a cost.
        knee: which of the plans is proposed.
    """

    objective: str
    found: Rebalancing
    single: bool
    knee: Knee

    @property
    def document(self) -> dict[str, Any]:
        """The plan, or the frontier of them with the one proposed."""
        head = {"objective": self.objective, "before": self.found.before}
        if self.single:
            return {**head, **self.found.document(0)}
        points = [self.found.document(i) for i in range(len(self.found.plans))]
        knee = {"moves": self.found.plans[self.knee.index].moves, "why": self.knee.why}
        return {**head, "knee": knee, "frontier": points}

    @property
    def chosen(self) -> dict[str, Any]:
        """The plan proposed."""
        return self.found.document(self.knee.index)


def group_given(settings: Settings) -> bool:
    """Whether a group arrives: none does unless its counts or a file of groups are given."""
    return settings.group.counts is not None or settings.groups.path is not None


def _arriving(settings: Settings) -> str:
    if settings.group.counts is not None:
        return "group.counts"
    if settings.groups.path is not None:
        return f"groups.path={settings.groups.path} (null: none arrives)"
    return f"group.size={settings.group.size}"


def propose(
    settings: Settings,
    known: Tables | Oracle,
    arrives: bool,
    report: Callable[[int, int], None] | None = None,
) -> Proposal:
    """Plan moves on the cluster of the settings.

    Args:
        settings: with `existing`, a file, or a problem folder that says what runs.
        known: tables or oracle of the simulator.
        arrives: whether a group is placed with the moves; what a problem folder asks for beyond what runs is.
        report: receives how many of the plans are done.

    Raises:
        InputError: nothing runs, or what arrives does not fit.
    """
    cluster, group = _given(settings, known.space, arrives)
    apps, moves = known.space.apps, settings.moves
    single = isinstance(moves, int) or (moves is None and bool(settings.move_cost))
    found = rebalance(
        known,
        worth_of(settings.objective, group, cluster, known),
        cluster,
        _names(settings, cluster, apps),
        int(cluster.existing.sum()) if moves is None and single else moves,
        settings.rebalance,
        move_cost=settings.move_cost,
        arriving=group,
        report=report,
    )
    return Proposal(settings.objective.name, found, single, Knee(0, "") if single else found.knee())


def check_rebalancing(settings: Settings, arrives: bool) -> None:
    """Refuse what cannot be rebalanced, before minutes of exploring for it.

    Args:
        settings: see `propose`.
        arrives: see `propose`.

    Raises:
        InputError: see `propose`; nothing is said to run, `moves` is empty, or both reasons are asked for.
    """
    if not settings.existing and not settings.problem:
        raise InputError("existing: give what runs, a file of a placement or the id of an MLflow run")
    if settings.moves == ():
        raise InputError("moves []: give a number, several such as [5,10,20], or null for a frontier")
    if settings.why and settings.why_not:
        raise InputError("why and why_not: give one of them")
    space = known_space(settings)
    if space is not None:
        _given(settings, space, arrives)


def _given(settings: Settings, space: ColocationSpace, arrives: bool) -> tuple[Cluster, IntArray]:
    """Return the cluster with what runs there, and the containers that arrive, int [apps]."""
    cluster = make_cluster(settings, space)
    if cluster.empty:
        where = f"existing {settings.existing}" if settings.existing else f"problem {settings.problem}"
        raise InputError(f"{where}: nothing runs; `metis place` places on empty nodes")
    group, words = _group(settings, cluster, space.apps, arrives)
    check_group(group, cluster, f" of {words} arrive with the moves and" if words else "")
    return cluster, group


def _group(
    settings: Settings, cluster: Cluster, apps: tuple[str, ...], arrives: bool
) -> tuple[IntArray, str]:
    """Return the containers that arrive, int [apps], and where that is said."""
    if settings.problem:
        return waiting_in_folder(cluster), f"problem={settings.problem}"
    if not arrives:
        return cluster.existing[0] * 0, ""
    return one_group(settings, apps), _arriving(settings)


def _names(settings: Settings, cluster: Cluster, apps: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the nodes: as they are stated, or in the file of what runs."""
    if cluster.stated is not None and (settings.problem or settings.cluster.types):
        return cluster.stated.nodes
    named = named_nodes(Path(settings.existing), apps) if settings.existing else None
    return named or node_names(cluster.nodes)
