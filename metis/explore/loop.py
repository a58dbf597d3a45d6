"""The exploration loop: plan on an optimistic belief, measure what the plans use, fit it, plan again.

The paper profiles a fixed share of the co-locations before it places anything (Metis, SC 2020). Here the
plans themselves show what is worth measuring: a co-location is measured once some optimal plan would use
it, were it as good as the belief can hope. What disappoints leaves the plans, what holds stays in them,
exactly known.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

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
from metis.explore.rounds import (
    Explored,
    Progress,
    Wanted,
    add_row,
    begin_with,
    check_wanted,
    exploration_key,
    mean_ratio,
    outcome_of,
    round_number,
    run_rounds,
)
from metis.explore.settings import ExploreSettings
from metis.measure.journal import Journal, Wait, load_journal, measured_ids
from metis.measure.testbed import Testbed
from metis.problem.counts import FloatArray, IntArray
from metis.problem.evaluation import value
from metis.problem.objectives import Objective
from metis.program.relaxation import relax
from metis.simulate.belief import Belief, fit_belief

__all__ = ["Exploration", "ExploreSettings", "explore"]

FIRST_STEPS, MORE_STEPS = 40, 10  # of the search for hyperparameters, in the first round and later ones


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
        progress: called after every round and within it; see `run_rounds`.
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
    states: list[_State] = []

    def one_round() -> str:
        ended, state = _round(journal, wanted, objective, plan, settings, candidates, optima)
        states[:] = [state]
        return ended

    ended = run_rounds(
        journal,
        testbed,
        settings,
        partial(_begin, journal, settings, candidates),
        one_round,
        path=path,
        progress=progress,
        wait=wait,
    )
    last = states[0]
    return Exploration(**outcome_of(journal, settings), plans=last.plans, belief=last.belief, ended=ended)


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
    return begin_with(journal, design, settings)


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
    number, again = round_number(journal)  # done anew, with what was fitted in it
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
        "value": mean,
        "optimistic": float(np.mean(bounds)),
        "gain_bound": gain,
        "ratio": mean_ratio(state.plans, wanted, optima),
        "coverage": state.belief.coverage,
        "noise": state.belief.noise,
        "seconds": time.process_time() - start,
    }
    add_row(journal, settings, proposals, row)
    journal.thetas = state.belief.thetas
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
        journal.weights,
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
