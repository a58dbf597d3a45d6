"""Exploration by plans on a low-rank belief: of spaces that need not be tabulated, and of a newcomer.

A plan on the expected worth, and one on a worth that is better than expected or drawn from the belief, say
which co-locations matter; those are measured whose number in the plans times the uncertainty of their worth
is largest, the belief is fitted anew, and so on. Nothing here goes through all co-locations.

A newcomer is an application that was never measured among others that were. What these were measured to do
is where the fit begins: it knows the shared resources, and few measurements say how the newcomer presses on
them and suffers. Only co-locations that hold it are measured.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metis.explore.beliefs import OracleBelief, TableBelief, fit_plan_belief
from metis.explore.newcomer import Newcomer
from metis.explore.planners import Planner
from metis.explore.rounds import (
    Explored,
    Progress,
    Reached,
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
from metis.measure.journal import Journal, Wait, load_journal
from metis.measure.profile import Profile
from metis.measure.testbed import Testbed, draw_mixes, join_profiles
from metis.problem.counts import FloatArray, IntArray
from metis.problem.evaluation import value
from metis.problem.objectives import Objective
from metis.problem.oracle import Oracle, worth_of
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.problem.worth import TableWorth, Worth
from metis.simulate.settings import SimulatorSettings

STARTING = 5  # co-locations of the starting design for each application, at least, of untabulated spaces
REACH = 1.2816  # deviations within which 80 % of a normal distribution lie
NOTHING = 1e-12  # a gain of worth below it is none
MOST_ROWS = 300  # of other applications that a newcomer's fit begins with
SPARE = 300  # mixes among which to choose where plans propose too little


@dataclass(frozen=True)
class PlannedExploration(Explored):
    """The result of `explore_by_plans`.

    Attributes:
        belief: fitted to the measurements, and to what was known before.
        known: everything that is known now: what was before, and the measurements.
    """

    belief: OracleBelief | TableBelief
    known: Profile


def explore_by_plans(
    testbed: Testbed,
    wanted: Wanted,
    objective: Objective,
    planner: Planner,
    settings: ExploreSettings | None = None,
    *,
    simulator: SimulatorSettings | None = None,
    newcomer: Newcomer | None = None,
    truth: Oracle | Tables | None = None,
    path: Path | None = None,
    again: bool = False,
    progress: Progress | None = None,
    wait: Wait = time.sleep,
) -> PlannedExploration:
    """Measure what plans on a low-rank belief use, until the budget is spent or nothing more can be gained.

    Args:
        testbed: what is measured.
        wanted: (group [apps], cluster) pairs; one loop explores for all of them.
        objective: what a placement is worth; the quantities that it needs are modelled.
        planner: how groups are placed.
        settings: how to explore.
        simulator: resources and members of the belief.
        newcomer: measure only co-locations that hold it; None to explore for all applications.
        truth: what would really happen, for the ratio of each round; None where it is not known.
        path: profile of what is measured, kept up to date, with a journal beside it from which a stopped
            exploration goes on; None to keep nothing.
        again: whether co-locations that an earlier call gave up may be measured again.
        progress: called after every round and within it; see `run_rounds`.
        wait: how to pause, in seconds, before a testbed that could not be reached is called again.

    Raises:
        InputError: no group, groups that do not fit, or a newcomer that is no application of theirs.
        SurroundingsError: the testbed cannot be reached, or the disk not written; measurements are kept.
    """
    settings = settings or ExploreSettings()
    check_wanted(testbed.space, wanted)
    if newcomer is not None:
        newcomer.check(testbed.space)
    before = None if newcomer is None else newcomer.known.colocations.tolist()
    app = None if newcomer is None else newcomer.app
    rules = [str(cluster.rules) for _, cluster in wanted]
    key = exploration_key(settings, wanted, objective, "plans", app, before, rules)
    journal = load_journal(path, testbed.space, key)
    if again:
        journal.pardon()
    loop = _Loop(
        testbed, wanted, objective, planner, settings, simulator or SimulatorSettings(), newcomer, journal
    )
    optima = None if truth is None else loop.optima(truth)
    ended = run_rounds(
        journal,
        testbed,
        settings,
        loop.begin,
        partial(loop.round, optima),
        path=path,
        progress=progress,
        wait=wait,
    )
    return loop.result(ended, optima)


@dataclass
class _Loop:
    """One exploration; `belief` is the last."""

    testbed: Testbed
    wanted: Wanted
    objective: Objective
    planner: Planner
    settings: ExploreSettings
    simulator: SimulatorSettings
    newcomer: Newcomer | None
    journal: Journal
    belief: OracleBelief | TableBelief | None = None

    @property
    def space(self) -> ColocationSpace:
        return self.testbed.space

    def known(self) -> Profile:
        """Return everything that is known: what was before, and what was measured."""
        own = self.journal.profile()
        if self.newcomer is None:
            return own
        return join_profiles(self.newcomer.on(self.space), own, own.provenance)

    def begin(self) -> bool:
        """Make the starting design pending; returns whether any of it is left to measure."""
        return begin_with(self.journal, [(i, "start") for i in self._design()], self.settings)

    def _design(self) -> list[int]:
        """Return ids of the stand-alone runs, then of mixes, or pairs where these are asked for."""
        space, settings = self.space, self.settings
        if self.newcomer is not None:
            rows = self.newcomer.design(space, settings.seed)
            admitted = self._admitted(rows) | (rows.sum(axis=1) == 1)  # what RPS are shares of
            return [int(i) for i in space.index(rows[admitted])]
        apps = len(space.apps)
        alone = np.eye(apps, dtype=np.int64)
        # plans on a model that is still poor are misled: of as many, random mixes taught more
        count = max(settings.start_size, 0 if space.tabulated else STARTING * apps) - apps
        if settings.start == "pairs":
            pairs = (alone[:, None] + alone)[np.triu_indices(apps)]
            others = np.random.default_rng([settings.seed, 0]).permutation(pairs)[:count]
        else:
            others = draw_mixes(space, max(count, 0), settings.seed)
        admitted = others[self._admitted(others)]
        return list(dict.fromkeys(space.index(np.concatenate([alone, admitted])).tolist()))

    def _admitted(self, rows: IntArray) -> NDArray[np.bool_]:
        """Return whether a cluster's rules admit each of `rows`, bool [n]."""
        return np.asarray(np.any([cluster.admits(rows) for _, cluster in self.wanted], axis=0))

    def optima(self, truth: Oracle | Tables) -> list[Reached]:
        """Return the true worth for each group, and what no placement exceeds."""
        worths = [worth_of(self.objective, group, cluster, truth) for group, cluster in self.wanted]
        return [(w, self.planner.bound(w, *pair)) for w, pair in zip(worths, self.wanted, strict=True)]

    def round(self, optima: Sequence[Reached] | None) -> str:
        """Fit, plan, propose, and add a row to the history; returns why the loop ends, or nothing."""
        start = time.process_time()
        journal, settings = self.journal, self.settings
        number, _ = round_number(journal)
        known = self.known()
        noise = known.noise if settings.noise is None else settings.noise
        coverage = self._coverage(noise)
        self._fit(known, noise)
        expected = self._worths(self._believed.known())
        hopeful = self._worths(self._believed.known(-settings.optimism))
        plans = [self.planner.quick(w, *pair) for w, pair in zip(expected, self.wanted, strict=True)]
        hoped = [self.planner.quick(w, *pair) for w, pair in zip(hopeful, self.wanted, strict=True)]
        mean, best = (float(np.mean(self._values(p, w))) for p, w in ((plans, expected), (hoped, hopeful)))
        gain = max(best - mean, 0.0)
        content = settings.until_gain is not None and gain <= settings.until_gain * mean
        room = 0 if content else min(settings.per_round, settings.runs - len(journal.runs))
        proposals = self._propose(plans, hoped, number, room) if room > 0 else []
        row = {
            "round": number,
            "value": mean,
            "optimistic": best,
            "gain_bound": gain,
            "ratio": mean_ratio(plans, self.wanted, optima),
            "coverage": coverage,
            "noise": noise,
            "seconds": time.process_time() - start,
        }
        add_row(journal, settings, proposals, row)
        if proposals:
            return ""
        return "gain" if content else "budget" if len(journal.runs) >= settings.runs else "exhausted"

    def result(self, ended: str, optima: Sequence[Reached] | None) -> PlannedExploration:
        """Return what was found, with plans that are as good as can be."""
        worths = self._worths(self._believed.known())
        plans = [self.planner.best(w, *pair) for w, pair in zip(worths, self.wanted, strict=True)]
        self.journal.history[-1]["ratio"] = mean_ratio(plans, self.wanted, optima)
        outcome = outcome_of(self.journal, self.settings)
        return PlannedExploration(
            **outcome, plans=plans, ended=ended, belief=self._believed, known=self.known()
        )

    def _fit(self, known: Profile, noise: float) -> None:
        """Fit the belief from the last one on, to what was measured and rows of what was known before."""
        mine = np.isin(self.space.index(known.colocations), [run["id"] for run in self.journal.sound])
        others = np.random.default_rng(self.settings.seed).permutation(np.flatnonzero(~mine))[:MOST_ROWS]
        self.belief = fit_plan_belief(
            self.space,
            known,
            np.sort(np.concatenate([np.flatnonzero(mine), others])),
            self.objective.needs,
            noise=noise,
            simulator=self.simulator,
            seed=self.settings.seed,
            before=self.belief,
        )

    @property
    def _believed(self) -> OracleBelief | TableBelief:
        assert self.belief is not None  # fitted in every round
        return self.belief

    def _worths(self, known: Oracle | Tables) -> list[FloatArray | Worth]:
        """Return the worth of co-locations for each group."""
        return [worth_of(self.objective, group, cluster, known) for group, cluster in self.wanted]

    def _values(self, plans: Sequence[IntArray], worths: Sequence[FloatArray | Worth]) -> list[float]:
        clusters = [cluster for _, cluster in self.wanted]
        return [value(p, c, w) for p, c, w in zip(plans, clusters, worths, strict=True)]

    def _coverage(self, noise: float) -> float:
        """Return the share of what was just measured that lies in the 80 % interval of the belief before."""
        run = [one["id"] for one in self.journal.sound if one["round"] == len(self.journal.history)]
        name = self.objective.needs[0]
        if self.belief is None or not run:
            return float("nan")
        known = self.known()
        chosen = np.isin(self.space.index(known.colocations), run)
        rows, values = known.colocations[chosen], known.quantity(name)[chosen]
        judged = (rows > 0) & np.isfinite(values) & (rows.sum(axis=1, keepdims=True) > 1)
        if not judged.any():
            return float("nan")
        expected, spread = self.belief.log_interval(rows, name)
        missed = np.abs(np.log(np.where(judged, values, 1.0)) - expected)
        return float((missed <= REACH * np.hypot(spread, noise))[judged].mean())

    def _propose(
        self, plans: Sequence[IntArray], hoped: Sequence[IntArray], number: int, room: int
    ) -> list[tuple[int, str]]:
        """Return up to `room` co-locations to measure, the most promising first, and why."""
        rng = np.random.default_rng([self.settings.seed, 1, number])
        kind = self.settings.acquisition
        proposals: list[tuple[int, str]] = []
        if kind == "thompson":
            drawn = self._worths(self._believed.drawn(rng))
            hoped = [self.planner.quick(w, *pair) for w, pair in zip(drawn, self.wanted, strict=True)]
        if kind in ("optimistic", "thompson"):
            proposals = self._scored(self._used([*plans, *hoped]), "plan")[:room]
        if len(proposals) < room:
            spare = draw_mixes(self.space, SPARE, int(rng.integers(1 << 31)))
            if self.newcomer is not None:
                spare = self.newcomer.among(spare, self.space, rng)
            spare = np.unique(spare[self._admitted(spare)], axis=0)
            if kind == "random":
                spare = rng.permutation(spare)
                fresh = [(i, "random") for i in self._open(spare)]
            else:
                fresh = self._scored(dict.fromkeys(map(tuple, spare.tolist()), 1), "uncertainty")
            taken = {i for i, _ in proposals}
            proposals += [one for one in fresh if one[0] not in taken][: room - len(proposals)]
        return proposals

    def _used(self, plans: Sequence[IntArray]) -> dict[tuple[int, ...], int]:
        """Return how often plans use each co-location, by counts."""
        used: dict[tuple[int, ...], int] = {}
        existing = [cluster.existing for _, cluster in self.wanted] * 2
        for placement, there in zip(plans, existing, strict=True):
            rows, often = np.unique(placement + there, axis=0, return_counts=True)
            for row, count in zip(map(tuple, rows.tolist()), often.tolist(), strict=True):
                used[row] = used.get(row, 0) + count
        return used

    def _scored(self, used: Mapping[tuple[int, ...], int], reason: str) -> list[tuple[int, str]]:
        """Return what can be measured by what its uncertainty puts at stake, the largest first."""
        rows = np.array(list(used), dtype=np.int64).reshape(-1, len(self.space.apps))
        often = np.array(list(used.values()), dtype=np.float64)
        beyond = np.zeros(len(rows))
        hopeful, expected = (self._worths(self._believed.known(caution)) for caution in (-1.0, 0.0))
        for up, down in zip(hopeful, expected, strict=True):
            better, now = (_as_worth(w, self.space).of(rows) for w in (up, down))
            beyond += np.abs(better - now)
        stakes = often * beyond
        order = [i for i in np.argsort(-stakes, kind="stable").tolist() if stakes[i] > NOTHING]
        return [(i, reason) for i in self._open(rows[order])]

    def _open(self, rows: IntArray) -> list[int]:
        """Return the ids of rows that may be measured: shared, new, and with the newcomer if there is one."""
        measurable = rows.sum(axis=1) > 1
        if self.newcomer is not None:
            measurable &= rows[:, self.space.apps.index(self.newcomer.app)] > 0
        done = {run["id"] for run in self.journal.runs} | set(self.journal.quarantined)
        return [int(i) for i in self.space.index(rows[measurable]) if int(i) not in done]


def _as_worth(worth: FloatArray | Worth, space: ColocationSpace) -> Worth:
    return TableWorth(space, worth) if isinstance(worth, np.ndarray) else worth
