"""The exploration loop: plan on an optimistic belief, measure what the plans use, fit it, plan again.

The paper profiles a fixed share of the co-locations before it places anything (Metis, SC 2020). Here the
plans themselves show what is worth measuring: a co-location is measured once some optimal plan would use
it, were it as good as the belief can hope. What disappoints leaves the plans, what holds stays in them,
exactly known.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.explore.acquisition import (
    Demand,
    Plan,
    Proposal,
    candidates_of,
    confirm,
    demand_of,
    propose,
    start_design,
    without,
)
from metis.explore.settings import ExploreSettings
from metis.measure.journal import Journal, Wait, load_journal, measure_pending, measured_ids
from metis.measure.profile import Profile
from metis.measure.testbed import Testbed
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray, describe_colocation
from metis.problem.evaluation import value
from metis.problem.groups import check_group
from metis.problem.objectives import Objective
from metis.problem.space import ColocationSpace
from metis.program.relaxation import relax
from metis.simulate.belief import Belief, fit_belief

__all__ = ["Exploration", "ExploreSettings", "explore"]

Progress = Callable[[Mapping[str, Any]], None]
Wanted = Sequence[tuple[IntArray, Cluster]]

FIRST_STEPS, MORE_STEPS = 40, 10  # of the search for hyperparameters, in the first round and later ones


@dataclass(frozen=True)
class Explored:
    """The result of an exploration, whatever it believes.

    Attributes:
        profile: the sound measurements; repeated ones merged by their median.
        plans: the incumbent placement of each group, int [nodes, apps].
        history: a row per round: `round`, `measurements`, `hours`, `value` (believed, mean over groups),
            `optimistic` (value of the optimistic plans), `gain_bound` (their lead over the incumbents),
            `ratio` (incumbents to the true optimum, NaN where the testbed does not know), `coverage`,
            `noise`, `seconds` (computation), `proposed` (co-locations and why).
        measured: every run in order: round, co-location in words, reason, whether it is sound.
        quarantined: co-locations that could not be measured, in words, and why.
        measurements: runs made, repeats and failed ones included.
        rounds: rows of the history.
        seconds: of computation, measuring not included, in all sittings.
        hours: machine hours that the measurements cost.
        ratio: of the last row.
        ended: why it ended: `budget`, `gain`, or `exhausted` (nothing left to measure).
    """

    profile: Profile
    plans: list[IntArray]
    history: list[dict[str, Any]]
    measured: list[dict[str, Any]]
    quarantined: dict[str, str]
    measurements: int
    rounds: int
    seconds: float
    hours: float
    ratio: float
    ended: str


@dataclass(frozen=True)
class Exploration(Explored):
    """The result of `explore`.

    Attributes:
        belief: the ensembles fitted to the measurements, of the quantities that the objective needs.
    """

    belief: Belief


def explore(
    testbed: Testbed,
    wanted: Wanted,
    objective: Objective,
    plan: Plan,
    settings: ExploreSettings | None = None,
    *,
    path: Path | None = None,
    again: bool = False,
    progress: Progress | None = None,
    wait: Wait = time.sleep,
) -> Exploration:
    """Measure what pays for placing the groups, until the budget is spent or nothing more can be gained.

    Args:
        testbed: what is measured.
        wanted: (group [apps], cluster) pairs; one loop explores for all of them.
        objective: what a placement is worth; the quantities that it needs are modelled.
        plan: (worth [size], group, cluster) -> placement [nodes, apps], as good as can be: the optimum.
        settings: how to explore.
        path: profile that is kept up to date after every measurement, with a journal beside it from which a
            stopped exploration goes on; None to keep nothing.
        again: whether co-locations that an earlier call gave up may be measured again.
        progress: called after every round with its row of the history and `budget`.
        wait: how to pause, in seconds, before a testbed that could not be reached is called again.

    Raises:
        InputError: no group, groups that do not fit, or whose applications lack a quantity that is needed.
        SurroundingsError: the testbed cannot be reached, or the disk not written; measurements are kept.
    """
    settings = settings or ExploreSettings()
    space = testbed.space
    check_wanted(space, wanted)
    candidates = candidates_of([cluster for _, cluster in wanted])
    journal = load_journal(path, space, exploration_key(settings, wanted, objective))
    if again:
        journal.pardon()
    optima = _true_optima(testbed, wanted, objective, plan)
    while True:
        measure_pending(
            journal,
            testbed,
            seed=settings.seed,
            at_once=settings.at_once,
            budget=settings.runs,
            patience=settings.patience,
            path=path,
            wait=wait,
        )
        if not journal.history and not journal.pending and _begin(journal, settings, candidates):
            journal.save(path)
            continue
        if not journal.sound:
            raise InputError(f"explore: nothing could be measured: {journal.named_quarantine()}")
        ended, state = _round(journal, wanted, objective, plan, settings, candidates, optima)
        journal.save(path)
        if progress:
            progress(journal.history[-1] | {"budget": settings.runs})
        if ended:
            return _result(journal, state, settings, ended)


@dataclass(frozen=True)
class _State:
    """The belief and the plans of one round."""

    belief: Belief
    demands: list[Demand]
    plans: list[IntArray]
    values: list[float]


def _begin(journal: Journal, settings: ExploreSettings, candidates: NDArray[np.bool_]) -> bool:
    """Make the starting design pending; returns whether any of it is left to measure."""
    rng = np.random.default_rng([settings.seed, 0])
    design = start_design(journal.space, settings.start, settings.start_size, candidates, rng)
    shared = [entry for entry in design if journal.space.totals[entry[0]] > 1]
    design += [(i, "repeat") for i, _ in shared[: settings.repeats]]
    made = [run["id"] for run in journal.runs]
    journal.pending = []
    for i, reason in design:
        if i in made:
            made.remove(i)
        elif i not in journal.quarantined:
            journal.pending.append((i, reason))
    return bool(journal.pending) and len(journal.runs) < settings.runs


def _round(
    journal: Journal,
    wanted: Wanted,
    objective: Objective,
    plan: Plan,
    settings: ExploreSettings,
    candidates: NDArray[np.bool_],
    optima: Sequence[tuple[FloatArray, float]] | None,
) -> tuple[str, _State]:
    """Fit, plan, propose, and add a row to the history; returns why the loop ends, empty if it goes on."""
    start = time.process_time()
    # a finished exploration that is taken up again: its last round is done anew, with what was fitted in it
    again = bool(journal.history) and journal.history[-1]["measurements"] == len(journal.runs)
    number = len(journal.history) - again
    state = _believe(journal, wanted, objective, plan, settings, fit=not again)
    mean = float(np.mean(state.values))
    bounds = [relax(d.hope(settings.bound_spreads), d.group, d.cluster).bound for d in state.demands]
    gain = max(float(np.mean(bounds)) - mean, 0.0)
    content = settings.until_gain is not None and gain <= settings.until_gain * mean
    room = min(settings.per_round, settings.runs - len(journal.runs))
    proposals: list[Proposal] = []
    confirming = state.belief.noise > 0 and len(journal.runs) >= settings.runs * (1 - settings.confirm)
    if room > 0 and not content and confirming:
        open_ = candidates.copy()
        open_[list(journal.quarantined)] = False
        proposals = confirm(state.demands, open_, room)
    if room > 0 and not content and not proposals:
        proposals = propose(
            settings.acquisition,
            state.belief,
            state.demands,
            objective,
            optimism=settings.optimism,
            count=room,
            imagined=settings.imagined,
            candidates=_still_open(journal, state.belief, settings, candidates),
            rng=np.random.default_rng([settings.seed, 1, number]),
        )
    row = {
        "round": number,
        "measurements": len(journal.runs),
        "hours": settings.cost(len(journal.runs)),
        "value": mean,
        "optimistic": float(np.mean(bounds)),
        "gain_bound": gain,
        "ratio": _mean_ratio(state.plans, wanted, optima),
        "coverage": state.belief.coverage,
        "noise": state.belief.noise,
        "seconds": time.process_time() - start,
        "proposed": [[words(journal.space, i), reason] for i, reason in proposals],
    }
    journal.history = [*journal.history[:number], row]
    journal.pending, journal.thetas = proposals, state.belief.thetas
    if proposals:
        return "", state
    return "gain" if content else "budget" if room <= 0 else "exhausted", state


def _believe(
    journal: Journal,
    wanted: Wanted,
    objective: Objective,
    plan: Plan,
    settings: ExploreSettings,
    fit: bool,
) -> _State:
    """Fit the belief to what was measured, and plan on it."""
    alone = journal.profile()
    quantities = {name: (journal.quantity(name), alone.alone(name)) for name in objective.needs}
    steps = FIRST_STEPS if journal.thetas is None else MORE_STEPS
    belief = fit_belief(
        journal.space,
        measured_ids(journal),
        quantities,
        settings.noise,
        journal.thetas,
        steps if fit else 0,
    )
    broken = list(journal.quarantined)
    demands = [demand_of(group, without(cluster, broken), objective, belief) for group, cluster in wanted]
    plans = [plan(d.worth, d.group, d.cluster) for d in demands]
    values = [value(p, d.cluster, d.worth) for p, d in zip(plans, demands, strict=True)]
    return _State(belief, demands, plans, values)


def _still_open(
    journal: Journal, belief: Belief, settings: ExploreSettings, candidates: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The candidates still to be measured: neither quarantined nor run often enough, bool [size]."""
    open_ = candidates.copy()
    open_[list(journal.quarantined)] = False
    open_[belief.seen_ids[belief.runs >= settings.most_runs]] = False
    return open_


def check_wanted(space: ColocationSpace, wanted: Wanted) -> None:
    """Refuse groups that cannot be placed, or clusters of other applications or slots than `space`.

    Raises:
        InputError: says which.
    """
    if not wanted:
        raise InputError("explore: give at least one group to plan for")
    for group, cluster in wanted:
        check_group(group, cluster)
        if cluster.space != space:
            raise InputError(
                f"a cluster has {list(cluster.space.apps)} on {cluster.space.slots} slots, the testbed "
                f"{list(space.apps)} on {space.slots}: measure what will be placed"
            )


def exploration_key(settings: ExploreSettings, wanted: Wanted, objective: Objective, *others: Any) -> str:
    """Digest of all that decides what is proposed; budget and organisation of measuring are left out.

    Args:
        settings: of the exploration.
        wanted: groups and clusters.
        objective: what is planned for.
        others: JSON-able values that decide it too.
    """
    outside = (
        "budget",
        "hours",
        "seconds_per_measurement",
        "at_once",
        "until_gain",
        "retries",
        "pause",
    )
    parts: list[Any] = [{k: v for k, v in asdict(settings).items() if k not in outside}, objective.name]
    parts += others
    for group, cluster in wanted:
        parts += [group.tolist(), cluster.nodes, cluster.existing.tolist()]
        parts += [np.flatnonzero(~cluster.allowed).tolist()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _true_optima(
    testbed: Testbed, wanted: Wanted, objective: Objective, plan: Plan
) -> list[tuple[FloatArray, float]] | None:
    """The true worth and the true optimum's value of each group; None where the testbed knows no truth."""
    try:
        tables = testbed.truth(objective.needs)
    except (InputError, NotImplementedError):
        return None
    optima = []
    for group, cluster in wanted:
        worth = objective.bind(group, cluster, tables)
        optima.append((worth, value(plan(worth, group, cluster), cluster, worth)))
    return optima


def _mean_ratio(
    plans: Sequence[IntArray], wanted: Wanted, optima: Sequence[tuple[FloatArray, float]] | None
) -> float:
    if optima is None:
        return float("nan")
    reached = [
        value(placement, cluster, worth) / best
        for placement, (_, cluster), (worth, best) in zip(plans, wanted, optima, strict=True)
    ]
    return float(np.mean(reached))


def words(space: ColocationSpace, colocation: int) -> str:
    """Return a co-location by its id, in words."""
    return describe_colocation(space.rows(colocation), space.apps)


def _result(journal: Journal, state: _State, settings: ExploreSettings, ended: str) -> Exploration:
    return Exploration(**outcome_of(journal, settings), plans=state.plans, belief=state.belief, ended=ended)


def outcome_of(journal: Journal, settings: ExploreSettings) -> dict[str, Any]:
    """Return what a journal says of an exploration, by the names of `Explored`."""
    measured = [
        {
            "round": run["round"],
            "colocation": words(journal.space, run["id"]),
            "reason": run["reason"],
            "sound": run["sound"],
        }
        for run in journal.runs
    ]
    return {
        "profile": journal.profile(),
        "history": journal.history,
        "measured": measured,
        "quarantined": journal.named_quarantine(),
        "measurements": len(journal.runs),
        "rounds": len(journal.history),
        "seconds": float(sum(row["seconds"] for row in journal.history)),
        "hours": settings.cost(len(journal.runs)),
        "ratio": float(journal.history[-1]["ratio"]),
    }
