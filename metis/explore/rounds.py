"""What explorations share: rounds of measuring, fitting and proposing, entered in a journal."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metis.errors import InputError
from metis.explore.settings import ExploreSettings
from metis.measure.journal import Journal, Wait, measure_pending
from metis.measure.profile import Profile
from metis.measure.testbed import Testbed
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray, describe_colocation
from metis.problem.evaluation import value
from metis.problem.groups import check_group
from metis.problem.objectives import Objective
from metis.problem.space import ColocationSpace
from metis.problem.worth import Worth

Progress = Callable[[Mapping[str, Any]], None]
Wanted = Sequence[tuple[IntArray, Cluster]]
Reached = tuple[FloatArray | Worth, float]  # the true worth for a group, and the most it can reach


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


def run_rounds(
    journal: Journal,
    testbed: Testbed,
    settings: ExploreSettings,
    begin: Callable[[], bool],
    one_round: Callable[[], str],
    *,
    path: Path | None,
    progress: Progress | None,
    wait: Wait,
) -> str:
    """Measure what is pending and do the next round, until one ends the exploration; return why it ended.

    Args:
        journal: saved after every measurement and every round.
        testbed: what is measured.
        settings: how to explore.
        begin: makes the starting design pending; returns whether any of it is left to measure.
        one_round: fits, proposes and adds a row to the history; returns why the exploration ends, or nothing.
        path: see `measure_pending`.
        progress: called after every round with its row of the history and `budget`; within a round, after
            every call of the testbed, with `measurements`, `budget` and `pending` only.
        wait: see `measure_pending`.

    Raises:
        InputError: nothing could be measured; names what was tried.
        SurroundingsError: see `measure_pending`.
    """
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
            progress=lambda entered: _midway(entered, settings, progress),
        )
        if not journal.history and not journal.pending and begin():
            journal.save(path)
            continue
        if not journal.sound:
            raise InputError(f"explore: nothing could be measured: {journal.named_quarantine()}")
        ended = one_round()
        journal.save(path)
        if progress:
            progress(journal.history[-1] | {"budget": settings.runs})
        if ended:
            return ended


def _midway(journal: Journal, settings: ExploreSettings, progress: Progress | None) -> None:
    """Report how far a round is: on a live cluster one of them takes minutes."""
    if progress and journal.pending:
        progress(
            {"measurements": len(journal.runs), "budget": settings.runs, "pending": len(journal.pending)}
        )


def begin_with(journal: Journal, design: Sequence[tuple[int, str]], settings: ExploreSettings) -> bool:
    """Make a starting design pending, its first mixes `repeats` times; return whether any is left to measure.

    Args:
        journal: what was measured already is not measured again.
        design: ids of co-locations, and why each is measured.
        settings: how to explore.
    """
    shared = [i for i, _ in design if journal.space.rows(i).sum() > 1]
    made = [run["id"] for run in journal.runs]
    journal.pending = []
    for i, reason in [*design, *((i, "repeat") for i in shared[: settings.repeats])]:
        if i in made:
            made.remove(i)
        elif i not in journal.quarantined:
            journal.pending.append((i, reason))
    return bool(journal.pending) and len(journal.runs) < settings.runs


def add_row(
    journal: Journal, settings: ExploreSettings, proposals: Sequence[tuple[int, str]], row: Mapping[str, Any]
) -> None:
    """Enter a round into the history, and make what it proposes pending.

    Args:
        journal: to enter it into; a row of the same round is replaced.
        settings: how to explore.
        proposals: ids of co-locations, and why each is measured.
        row: what the round came to, `round` among it.
    """
    whole = {
        "round": row["round"],
        "measurements": len(journal.runs),
        "hours": settings.cost(len(journal.runs)),
        **row,
        "proposed": [[words(journal.space, i), reason] for i, reason in proposals],
    }
    journal.history = [*journal.history[: row["round"]], whole]
    journal.pending = list(proposals)


def round_number(journal: Journal) -> tuple[int, bool]:
    """Return the number of the next round, and whether it is the last one done anew.

    That is so of a finished exploration that is taken up again.
    """
    again = bool(journal.history) and journal.history[-1]["measurements"] == len(journal.runs)
    return len(journal.history) - again, again


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
                f"a cluster has {', '.join(cluster.space.apps)} on {cluster.space.slots} slots, the testbed "
                f"{', '.join(space.apps)} on {space.slots}: measure what will be placed"
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


def mean_ratio(plans: Sequence[IntArray], wanted: Wanted, optima: Sequence[Reached] | None) -> float:
    """Return the mean share of the true optimum that plans reach; NaN where the truth is not known."""
    if optima is None:
        return float("nan")
    shares = [
        value(placement, cluster, worth) / best
        for placement, (_, cluster), (worth, best) in zip(plans, wanted, optima, strict=True)
        if best > 0
    ]
    return float(np.mean(shares)) if shares else 1.0


def words(space: ColocationSpace, colocation: int) -> str:
    """Return a co-location by its id, in words."""
    return describe_colocation(space.rows(colocation), space.apps)


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
