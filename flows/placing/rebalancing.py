"""From settings to plans of moves: the work of stage `rebalance` and of the verb."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.configuration.objects import make_cluster, one_group
from flows.configuration.settings import Settings
from metis.errors import InputError
from metis.operate.rebalance import Knee, Rebalancing, rebalance
from metis.problem.placement_files import named_nodes, node_names
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
    given = settings.group.counts is not None
    return "group.counts" if given else f"groups.path={settings.groups.path} (null: none arrives)"


def propose(
    settings: Settings, tables: Tables, arrives: bool, report: Callable[[int, int], None] | None = None
) -> Proposal:
    """Plan moves on the cluster of the settings.

    Args:
        settings: with `existing`, a file.
        tables: of the simulator.
        arrives: whether a group is placed with the moves.
        report: receives how many of the plans are done.

    Raises:
        InputError: nothing runs, or what arrives does not fit.
    """
    if not settings.existing:
        raise InputError("existing: give what runs, a file of a placement or the id of an MLflow run")
    apps, path = tables.space.apps, Path(settings.existing)
    cluster = make_cluster(settings, tables.space)
    if cluster.empty:
        raise InputError(f"existing {path}: nothing runs; `metis place` places on empty nodes")
    group = one_group(settings, apps) if arrives else cluster.existing[0] * 0
    moves = settings.moves
    single = isinstance(moves, int) or (moves is None and bool(settings.move_cost))
    if arrives and group.sum() > cluster.free_slots:
        raise InputError(
            f"{group.sum()} containers of {_arriving(settings)} arrive with the moves and do not fit: "
            f"{cluster.free_slots} slots are free"
        )
    found = rebalance(
        tables,
        settings.objective.bind(group, cluster, tables),
        cluster,
        named_nodes(path, apps) or node_names(cluster.nodes),
        int(cluster.existing.sum()) if moves is None and single else moves,
        settings.rebalance,
        move_cost=settings.move_cost,
        arriving=group,
        report=report,
    )
    return Proposal(settings.objective.name, found, single, Knee(0, "") if single else found.knee())
