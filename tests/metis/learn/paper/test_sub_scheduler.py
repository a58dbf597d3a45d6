"""Sub-schedulers: they learn, are kept with what they were trained for, and refused elsewhere."""

from dataclasses import replace

import numpy as np
import pytest

from metis.errors import InputError
from metis.learn.paper.high_level import GroupSettings, PaperScheduler
from metis.learn.paper.reinforce import ReinforceSettings
from metis.learn.paper.sub_scheduler import (
    SubSchedulers,
    SubSchedulerSettings,
    train_model,
    train_sub_schedulers,
)
from metis.problem.cluster import Cluster
from metis.problem.objectives import Latency, MeanRps, SloShare
from metis.problem.scheduler import TimedScheduler
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from tests.metis.learn.paper.hostile import SPACE, hostile_tables


def test_sub_schedulers_learn_for_groups_never_seen(sub_schedulers):
    schedulers, curves = sub_schedulers
    assert [len(curve) for curve in curves] == [150]
    scheduler = PaperScheduler(schedulers, GroupSettings(steps=1))
    cluster, tables = Cluster(SPACE, 3), hostile_tables()
    values = []
    for group in ([4, 4], [2, 6], [8, 3], [1, 1], [3, 8]):
        worth = MeanRps().bind(np.array(group), cluster, tables)
        decision = TimedScheduler("paper", scheduler).place(np.array(group), cluster, worth)
        values.append(worth[SPACE.index(decision.placement)].sum())
    assert np.mean(values) >= 0.9  # the optimum of each is 1; round-robin gets 0.5 to 0.6


def test_weights_are_refused_for_anything_else(sub_schedulers, tmp_path):
    schedulers, _ = sub_schedulers
    file, tables = tmp_path / "weights.npz", hostile_tables()
    schedulers.save(file, MeanRps(), tables)
    loaded = SubSchedulers.load(file, MeanRps(), tables)
    assert loaded.shape == schedulers.shape
    assert all(map(np.array_equal, loaded.weights, schedulers.weights))
    with pytest.raises(InputError, match=r"objective rps, not slo0\.95"):
        SubSchedulers.load(file, SloShare(0.95), tables)
    with pytest.raises(InputError, match="worth"):
        SubSchedulers.load(file, MeanRps(), Tables(SPACE, {"rps": tables.rps * 0.9}))
    wider = ColocationSpace(("A", "B"), 5)
    with pytest.raises(InputError, match="slots 4, not 5"):
        SubSchedulers.load(file, MeanRps(), hostile_tables(wider))
    cluster = Cluster(wider, 3)
    with pytest.raises(InputError, match="slots=4"):
        PaperScheduler(loaded)(np.array([1, 1]), cluster, np.ones(wider.size))


def test_ranges_are_trained_apart_or_chained(tmp_path):
    learn = ReinforceSettings(episodes=4, hidden=4)
    chosen = SubSchedulerSettings(nodes=3, ranges=2, steps=3, learn=learn)
    seen = []
    made, _ = train_sub_schedulers(
        MeanRps(), hostile_tables(), chosen, 5, checkpoints=tmp_path, progress=lambda row: seen.append(row)
    )
    assert made.ranges == [(1, 6), (7, 12)]
    assert [(row["model"], row["step"]) for row in seen] == [(m, s) for m in (0, 1) for s in (1, 2, 3)]
    alone, _ = train_model(MeanRps(), hostile_tables(), chosen, 5, 1)
    assert all(np.array_equal(one, both[1]) for one, both in zip(alone, made.weights, strict=True))
    seen.clear()
    again, _ = train_sub_schedulers(
        MeanRps(), hostile_tables(), chosen, 5, checkpoints=tmp_path, progress=lambda row: seen.append(row)
    )
    assert seen == []  # both were finished: taken from their checkpoints
    assert all(map(np.array_equal, again.weights, made.weights))
    chained, _ = train_sub_schedulers(MeanRps(), hostile_tables(), replace(chosen, chained=True), 5)
    np.testing.assert_array_equal(chained.weights[0][0], made.weights[0][0])
    moved, fresh = (np.abs(w[0][1] - w[0][0]).max() for w in (chained.weights, made.weights))
    assert moved <= 3 * 1.1 * learn.learning_rate < fresh  # Adam moves a weight by about its rate a step


def test_groups_without_a_measured_latency_are_drawn_again():
    speed = np.where(SPACE.counts > 0, 1.0, 0.0)
    speed[:, 1] = np.nan
    chosen = SubSchedulerSettings(nodes=3, ranges=12, steps=12, learn=ReinforceSettings(episodes=2, hidden=4))
    tables = Tables(SPACE, {"rps": hostile_tables().rps, "speed": speed})
    _, curve = train_model(Latency(), tables, chosen, 0, 0)  # groups of one container: half would be B
    assert all(row["value"] == pytest.approx(1.0) for row in curve)
    with pytest.raises(InputError, match="no latency was measured"):
        train_model(Latency(), Tables(SPACE, {"rps": tables.rps, "speed": speed * np.nan}), chosen, 0, 0)
