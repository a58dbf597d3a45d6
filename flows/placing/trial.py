"""The placements of a trial: by which schedulers, which of them are alike, and what is predicted of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from baselines.registry import learns
from flows.configuration.objects import knows_truth, make_cluster, make_oracle, make_testbed, one_group
from flows.configuration.settings import Settings
from flows.placing.given import chosen_placement
from flows.placing.problem import known_space
from flows.placing.tables import tables_of
from metis.errors import InputError
from metis.measure.intervals import LEVEL, interval
from metis.operate.rehearsal import Rehearsal
from metis.operate.trial import alike, differences, look_level
from metis.operate.trial_journal import TrialJournal
from metis.operate.trial_prediction import COVERED, Predicted, coverage, predict, with_units
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray, describe_colocation
from metis.problem.oracle import Oracle
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.simulate.model_oracle import ModelOracle
from metis.simulate.simulator import FittedSimulator
from metis.wording import amount

FEWEST = 2
SAME = {"mean": 0.0, "half_width": 0.0, "tie": True}  # of those that place as the first one does


def contenders(settings: Settings) -> tuple[str, ...]:
    """Return the schedulers of a trial, each once, in order; the others are held against the first.

    Raises:
        InputError: there are fewer than two, or something else than whole groups is to be placed.
    """
    for key in ("existing", "problem"):
        if getattr(settings, key):
            raise InputError(f"{key}: a trial places a group on nodes that are empty; it has no effect there")
    if not settings.trial.alone and not settings.cluster.live:
        refuse_units(settings)
    names = tuple(dict.fromkeys(settings.schedulers))
    if len(names) < FEWEST:
        twice = f"{names[0]} stands twice, " if len(settings.schedulers) > 1 else ""
        raise InputError(
            f"schedulers [{','.join(settings.schedulers)}]: {twice}a trial needs two at least, such as "
            f"schedulers=[{names[0]},{'spread' if names[0] != 'spread' else 'metis'}]"
        )
    return names


def refuse_units(settings: Settings) -> None:
    """Refuse to load applications alone after rounds where what they serve alone is given.

    Raises:
        InputError: `trial.units` asks for it; says how the trial measures it.
    """
    if settings.trial.units:
        raise InputError(
            f"trial.units={settings.trial.units}: stand-alone RPS are given here, and none is measured; "
            "give trial.alone=true too"
        )


def of_first_group(settings: Settings) -> Settings:
    """Return the settings of a rehearsed trial with its group alone: the first of those drawn or in a file.

    A live cluster is explored for all groups of a run, as a testbed is with `demand=run`: there they stay.
    Skewed shares are drawn for all groups before the first, which would be another one.
    """
    groups = settings.groups
    stays = settings.cluster.live or settings.demand.kind == "run" or settings.group.counts is not None
    if stays or settings.problem:
        return settings
    if groups.path is None:
        return settings if groups.skewed else replace(settings, groups=replace(groups, count=1))
    first = str(groups.rows or 0).partition(":")[0] or "0"
    return replace(settings, groups=replace(groups, rows=first))


def check_units(settings: Settings) -> None:
    """Refuse to load more applications alone after a round than are placed, before anything is made.

    Raises:
        InputError: `trial.units` asks for it; says how many there are.
    """
    space, asked = known_space(settings), settings.trial.units or 0
    if space is None or not asked:
        return
    placed = int(np.count_nonzero(one_group(settings, space.apps)))
    if asked > placed:
        raise InputError(
            f"trial.units={asked}: loads so many applications alone after a round, and the group has "
            f"{amount(placed, 'application')}; give at most {placed}"
        )


def trial_steps(settings: Settings) -> tuple[str, ...]:
    """Return the names of the steps that place, one per scheduler of the trial."""
    names = dict.fromkeys(settings.schedulers)
    return tuple(f"{'highlevel' if learns(name) else 'baselines'}/{name}" for name in names)


@dataclass(frozen=True)
class Contest:
    """What is tried against what.

    Attributes:
        schedulers: by placement, the names of those that made it.
        placements: int [nodes, apps] each, distinct.
    """

    schedulers: tuple[tuple[str, ...], ...]
    placements: tuple[IntArray, ...]

    @property
    def shared(self) -> list[str]:
        """Those that place alike, and so share measurements, in words; empty where all differ."""
        return [
            f"{' and '.join(names)} place alike, and share measurements"
            for names in self.schedulers
            if len(names) > 1
        ]


def contest_of(inputs: Mapping[str, Path], settings: Settings, space: ColocationSpace) -> Contest:
    """Return the distinct placements of the first group by the schedulers of a trial.

    Args:
        inputs: output folders of the steps that place.
        settings: of the run.
        space: whose applications are the columns.

    Raises:
        InputError: fewer than two schedulers, or all place alike.
    """
    names = contenders(settings)
    placements = [chosen_placement(inputs, name, space) for name in names]
    same = alike(placements, nodes_alike=not settings.stated)
    if len(same) == 1:
        held = ", ".join(_words(placements[0], space.apps))
        raise InputError(f"nothing to try: {', '.join(names)} all place alike ({held})")
    return Contest(
        tuple(tuple(names[i] for i in group) for group in same),
        tuple(placements[group[0]] for group in same),
    )


def _words(placement: IntArray, apps: tuple[str, ...], most: int = 4) -> list[str]:
    rows = [describe_colocation(row, apps) for row in placement if row.any()]
    return rows if len(rows) <= most else [*rows[:most], f"and {amount(len(rows) - most, 'node')} more"]


def rehearsal(settings: Settings, cluster: Cluster, nodes: tuple[str, ...], done: int) -> Rehearsal:
    """Return the testbed of the settings as a place to try placements.

    Args:
        settings: of the run.
        cluster: whose nodes are placed on.
        nodes: their names.
        done: loads that were made before.

    Raises:
        InputError: the testbed knows no truth, or other applications.
    """
    if not (knows_truth(settings) or settings.simulator.kind == "testbed"):
        raise InputError(
            "a trial without a live cluster is rehearsed on a testbed that knows the truth: give "
            "testbed=embedded, testbed=file testbed.path=FILE, or cluster=lab or cluster=hosts"
        )
    truth: Tables | Oracle = (
        make_oracle(settings) if settings.wide else make_testbed(settings).truth(("rps",))
    )
    if truth.space != cluster.space:
        raise InputError(
            f"testbed: measures {', '.join(truth.space.apps)} on {truth.space.slots} slots, "
            f"the profile {', '.join(cluster.space.apps)} on {cluster.space.slots}; both must be alike"
        )
    seconds = settings.load.warm_up + settings.load.duration
    noise, seed = settings.testbed.noise, settings.trial.seed
    return Rehearsal(cluster, truth, nodes, noise, seed, done, seconds=seconds)


def predictions(
    settings: Settings, simulator: FittedSimulator | Oracle, journal: TrialJournal
) -> list[Predicted]:
    """Return what the simulator predicts of each placement; nothing where it knows other applications.

    Draws have its own error, and that of the stand-alone RPS which the trial measured; see `predict`.
    """
    known = tables_of(simulator)
    space = known.space
    if sorted(space.apps) != sorted(journal.apps):
        return []
    columns = [journal.apps.index(app) for app in space.apps]
    back = [space.apps.index(app) for app in journal.apps]
    cluster = _whole(settings, space, len(journal.nodes))
    drawn: list[Tables | Oracle] = []
    if isinstance(simulator, FittedSimulator | ModelOracle):
        drawn += simulator.drawn()
    doubt = simulator.doubts.get("rps") if isinstance(simulator, FittedSimulator) else None
    calibration = doubt.calibration if doubt else (1.0, 1.0)
    held = [placement[:, columns] for placement in journal.placements]
    found = [
        Predicted(one.placement[:, back], one.rates[:, back], one.drawn[..., back])
        for one in predict(held, cluster, known, drawn, calibration)
    ]
    return with_units(found, journal.unit_errors(), settings.trial.seed)


def _whole(settings: Settings, space: ColocationSpace, nodes: int) -> Cluster:
    """Return the cluster with all its nodes, of which a placement may have fewer."""
    cluster = make_cluster(settings, space)
    if cluster.nodes == nodes or cluster.stated is not None:
        return cluster
    return replace(cluster, nodes=nodes, existing=np.zeros((nodes, len(space.apps)), dtype=np.int64))


def document_of(
    journal: TrialJournal, settings: Settings, predicted: Sequence[Predicted], ended: str
) -> dict[str, Any]:
    """Return what a trial found, JSON-able.

    Args:
        journal: of the trial.
        settings: of the run.
        predicted: of each placement; empty where nothing is.
        ended: why it ended; see `metis.operate.trial_rounds.Rounds.run`.
    """
    chosen = settings.trial
    means = journal.means()
    level = look_level(chosen.rounds) if chosen.early else LEVEL
    beside = differences(means, 0, level)
    rows = []
    for p, names in enumerate(journal.schedulers):
        own = [one for one in journal.measured if one.placement == p]
        reached = interval(means[:, p])
        mean, half = reached.document()["mean"], reached.document()["half_width"]
        row: dict[str, Any] = {
            "rps": {"mean": mean, "half_width": half},
            "rounds": reached.groups,
            "difference": beside[p].document() if p else SAME,
            "started": sum(one.started for one in own),
            "disturbed": sum(bool(one.disturbed) for one in own),
            "placement": journal.placements[p].tolist(),
        }
        if predicted:
            row |= _predicted(predicted, p)
        rows += [{"scheduler": name, "as": [one for one in names if one != name]} | row for name in names]
    rows[0] |= {"difference": None} | ({"predicted_difference": None} if predicted else {})
    order = {name: i for i, name in enumerate(dict.fromkeys(settings.schedulers))}
    rates = journal.rates()
    held, of = coverage(predicted, rates, nodes_alike=not settings.stated) if predicted else (0, 0)
    return {
        "beside": journal.schedulers[0][0],
        "schedulers": sorted(rows, key=lambda row: order[row["scheduler"]]),
        "ended": ended,
        "rounds": int(means.shape[0]),
        "level": LEVEL,
        "look_level": level,
        "seconds": journal.seconds,
        "coverage": {"level": COVERED, "held": held, "of": of} if of else None,
        "units": journal.mean_units(),
        "alone": _alone(journal),
        "apps": list(journal.apps),
        "nodes": list(journal.nodes),
        "by_round": [
            {
                journal.schedulers[p][0]: (float(value) if np.isfinite(value) else None)
                for p, value in enumerate(row)
            }
            for row in means
        ],
    }


def _predicted(predicted: Sequence[Predicted], p: int) -> dict[str, Any]:
    one = predicted[p]
    more, half = one.beyond(predicted[0])
    return {
        "predicted": {"mean": one.mean, "half_width": _known(one.half)},
        "predicted_difference": {"mean": more, "half_width": _known(half)},
    }


def _alone(journal: TrialJournal) -> dict[str, Any] | None:
    """Return runs and the error of each application's mean, as a share; None where none was loaded alone."""
    errors = dict(zip(journal.apps, journal.unit_errors().tolist(), strict=True))
    runs = Counter(one.app for one in journal.alone)
    return {app: {"runs": count, "error": errors[app]} for app, count in sorted(runs.items())} or None


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
