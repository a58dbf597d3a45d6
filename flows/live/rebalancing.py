"""A plan of moves as the record of what is to be made on the live cluster."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cluster.deployment import placement_of
from cluster.steps import Step, steps_of
from flows.configuration.settings import Settings
from flows.live.record import UNDER_WAY, Record, read_record
from flows.live.session import LiveSession
from flows.live.state import MOVES, cluster_state
from metis.errors import InputError, SurroundingsError
from metis.operate.rebalance import Rebalancing
from metis.operate.waves import WaveOrder
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray
from metis.problem.rules import Rules
from metis.problem.statement import SLOTS

ASKED = ("moves", "move_cost")  # with those of PLANNING, what decides a plan


def record_path(settings: Settings) -> Path:
    """Return where the record of the moves of a cluster is kept."""
    return cluster_state(settings) / MOVES


def under_way(settings: Settings) -> Record | None:
    """Return the moves of this deployment that were begun and are not ended, if there are any."""
    record = read_record(record_path(settings))
    going = record is not None and record.session == settings.deploy.session and record.state == UNDER_WAY
    return record if going else None


def made_last(settings: Settings) -> Record:
    """Return the moves that are to be taken back.

    Raises:
        InputError: there are none.
    """
    record = read_record(record_path(settings))
    if record is None or record.session != settings.deploy.session or not (record.made or record.wave):
        raise InputError(
            f"rebalance.back: no moves of {settings.deploy.session} were made, or all are taken back"
        )
    return record


def asked_of(settings: Settings) -> dict[str, Any]:
    """Return what decides a plan, as it can be compared with that of the moves under way."""
    cost = settings.move_cost
    return {
        "moves": settings.moves,
        "move_cost": dict(cost) if isinstance(cost, Mapping) else cost,
        "stay": list(settings.rebalance.stay),
        "unavailable": settings.rebalance.unavailable,
    }


def check_same(record: Record, settings: Settings) -> None:
    """Refuse other moves than those under way, unless they are to be taken back.

    Raises:
        InputError: names what differs.
    """
    if settings.rebalance.back:
        return
    asked, going = asked_of(settings), f"wave {record.made + 1} of {len(record.steps)}"
    for name, value in asked.items():
        if record.asked[name] != value:
            raise InputError(
                f"{name} {value}: moves with {name} {record.asked[name]} are under way ({going}): the same "
                "command goes on with them, rebalance.back=true takes them back"
            )
    if record.back:
        raise InputError(f"moves are being taken back ({going}): rebalance.back=true goes on with that")


def new_record(
    session: LiveSession,
    plan: dict[str, Any],
    found: Rebalancing,
    order_rules: WaveOrder,
    alone: Mapping[str, float],
) -> Record:
    """Return the record of a plan, before its first move.

    Args:
        session: the live cluster.
        plan: its document, with `waves`.
        found: what it was planned from.
        order_rules: rules of the waves.
        alone: RPS of an application alone on a node; empty where that was not profiled.

    Raises:
        InputError: containers would be down that may not be, or a node is no worker of the cluster.
        SurroundingsError: what runs is not what was planned from.
    """
    settings, standing = session.settings, session.standing()
    cluster, apps = found.cluster, found.cluster.space.apps
    _refuse_others(found.nodes, session.nodes)
    # rows are in the order of the plan: where nodes differ, that of their types or of the problem folder
    if not np.array_equal(placement_of(standing, found.nodes, apps), cluster.existing):
        raise SurroundingsError(
            "what runs was changed by others while the moves were planned; nothing was moved"
        )
    waves = plan["waves"]
    steps = steps_of(
        session.backend,
        session.name,
        standing,
        waves,
        dict(zip(found.nodes, cluster.slots.tolist(), strict=True)),
        beside=_admits_one_more(cluster),
        unavailable=settings.rebalance.unavailable,
    )
    states = _states(found, waves)
    return Record(
        record_path(settings),
        session.name,
        asked_of(settings),
        plan,
        [(one.node, one.slot, one.app) for one in standing],
        steps,
        [_matters(order_rules, state, wave, found) for state, wave in zip(states, waves, strict=False)],
        [found.judged(state).rps for state in states],
        [
            _expected(settings, starts, wave, session)
            for starts, wave in zip(plan["starts"], steps, strict=True)
        ],
        units={app: alone[app] for app in apps} if set(apps) <= set(alone) else {},
    )


def _refuse_others(planned: Sequence[str], workers: Sequence[str]) -> None:
    """Refuse nodes that are stated and are not there."""
    for node in planned:
        if node not in workers:
            raise InputError(f"node {node!r} is no worker of this cluster: it has {', '.join(workers)}")


def _admits_one_more(cluster: Cluster) -> bool:
    """Return whether nothing but slots limits one more copy on a node for a while."""
    stated = cluster.stated
    if stated is None:
        return bool(cluster.allowed.all()) if cluster.space.tabulated else cluster.rules == Rules()
    bare = set(stated.dimensions) == {SLOTS} and not len(stated.beside) and stated.rules == Rules()
    return bare and bool(cluster.allowed.all())


def _states(found: Rebalancing, waves: Sequence[Any]) -> list[IntArray]:
    """Return what stands before the moves and after each wave, int [nodes, apps] each."""
    states = [found.cluster.existing]
    for wave in waves:
        state = states[-1].copy()
        for move in wave:
            for end, by in (("from", -1), ("to", 1)):
                if move[end] is not None:
                    state[_cell(found, move, end)] += by
        states.append(state)
    return states


def _matters(rules: WaveOrder, state: IntArray, wave: Sequence[Any], found: Rebalancing) -> bool:
    """Return whether a rule needs the copies of a wave to start in order."""
    during = state.copy()
    for move in wave:
        if move["to"] is not None:
            during[_cell(found, move, "to")] += 1
        if move.get("stop_first"):
            during[_cell(found, move, "from")] -= 1
    return not rules.closed(during)


def _cell(found: Rebalancing, move: Mapping[str, Any], end: str) -> tuple[int, int]:
    """Return row and column of a move's old or new place."""
    return found.nodes.index(move[end]), found.cluster.space.apps.index(move["app"])


def _expected(settings: Settings, starts: float, steps: Sequence[Step], session: LiveSession) -> float:
    """Return seconds of a wave: its slowest start, and the load under which its copies must respond."""
    at_once = settings.profile.at_once or len(session.nodes)
    touched = len({one.new[0] for one in steps if one.new})
    return starts + math.ceil(touched / at_once) * (settings.load.warm_up + settings.load.duration)


def rules_of(cluster: Cluster) -> WaveOrder:
    """Return the rules that waves keep on a cluster."""
    return WaveOrder(cluster)
