"""From settings to a simulated week: its life, its policies, and what came of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.greedy import place_greedy
from baselines.spread import place_spread
from baselines.stepwise import place_stepwise
from flows.configuration.objects import make_testbed
from flows.configuration.settings import Settings
from metis.errors import InputError
from metis.operate.life import draw_life
from metis.operate.policies import Arriving, Descheduled, Foresighted, Policy, Rebalanced
from metis.operate.settings import POLICIES
from metis.operate.week import Kept, Report, Week, simulate_week
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray


def place_first_fit(
    group: IntArray, cluster: Cluster, worth: FloatArray
) -> tuple[IntArray, Mapping[str, Any]]:
    """Place `group` [apps], each container on the first node that admits it; blind to `worth`."""
    del worth

    def choose(app: int, ids: IntArray, admitted: NDArray[np.bool_]) -> int:
        del app, ids
        return int(admitted.argmax())

    return place_stepwise(group, cluster, choose), {}


def check_policies(settings: Settings) -> None:
    """Refuse a policy that there is not.

    Raises:
        InputError: names it, and those there are.
    """
    for name in settings.week.policies:
        if name not in POLICIES:
            raise InputError(f"week.policies: {name!r} is unknown: use {', '.join(POLICIES)}")


def make_policies(settings: Settings) -> dict[str, Policy]:
    """Return the policies of the settings by name."""
    chosen, plans = settings.week, settings.rebalance
    every: dict[str, Policy] = {
        "first_fit": Arriving(place_first_fit),
        "spread": Arriving(place_spread),
        "greedy": Arriving(place_greedy),
        "greedy+rebalance": Rebalanced(place_greedy, chosen.moves, plans),
        "greedy+descheduler": Descheduled(place_greedy, chosen.moves),
        "metis": Foresighted(place_greedy, chosen.moves, chosen.ahead, chosen.move_cost, plans),
    }
    return {name: every[name] for name in chosen.policies}


def run_week(settings: Settings, report: Report | None = None) -> Week:
    """Simulate the week of the settings on their testbed.

    Raises:
        InputError: an unknown policy, too many co-locations to tabulate, or see `simulate_week`.
    """
    check_policies(settings)
    testbed = make_testbed(settings)
    testbed.space.require_tables()
    tables, space = testbed.truth(), testbed.space
    life = draw_life(settings.week, settings.cluster.nodes, space.slots, len(space.apps), settings.week.seed)
    policies = make_policies(settings)
    allowed = settings.rules.mask(space)
    return simulate_week(life, policies, tables, settings.objective, allowed, settings.week, report)


def week_document(week: Week, objective: str) -> dict[str, Any]:
    """A week, JSON-able: what each policy reached by hour, and in all."""
    return {
        "objective": objective,
        "hours": len(week.bound),
        "containers": week.containers.tolist(),
        "nodes": week.nodes.tolist(),
        "bound": week.bound.tolist(),
        "policies": {name: _as_json(kept, week) for name, kept in week.kept.items()},
    }


def _as_json(kept: Kept, week: Week) -> dict[str, Any]:
    value, share = np.array(kept.value), week.share(kept)
    containers = max(int(week.containers.sum()), 1)
    return {
        "share": float(share.mean()),
        "share_worst": float(share.min()),
        "value": float(value.mean()),
        "moves": sum(kept.moves),
        "loops": kept.loops,
        "swings": kept.swings,
        "above_slo": float(np.dot(kept.above, week.containers) / containers),
        "waiting": sum(kept.waiting),
        "by_hour": {
            "share": share.tolist(),
            "value": kept.value,
            "moves": kept.moves,
            "above_slo": kept.above,
            "waiting": kept.waiting,
        },
    }
