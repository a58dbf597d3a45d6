"""Passive learning: hand-solved cases, what must hold of all, and a day of a cluster."""

import re

import numpy as np
import pytest

from metis.errors import InputError
from metis.measure.counters import ContainerName, Counters, increments, last_hours, read_counters, readings_of
from metis.measure.day import DailyLoad, simulate_day
from metis.measure.passive import learn
from metis.measure.readings import Readings, work_seconds
from metis.measure.sensitivity import chances, features, parts_of
from metis.measure.testbed import load_embedded


def test_work_of_a_queue_by_hand():
    """Half busy, a request waits as long as it is worked on (M/M/1); at the limit work is 1 / RPS."""
    assert work_seconds(np.array(0.2), np.array(5.0)) == pytest.approx(0.1)
    assert work_seconds(np.array(1e9), np.array(5.0)) == pytest.approx(0.2)
    assert work_seconds(np.array(0.1), np.array(0.0)) == pytest.approx(0.1)


def test_a_counter_that_fell_began_anew():
    np.testing.assert_array_equal(increments(np.array([5.0, 8.0, 2.0, 2.0])), [3, 2, 0])


def test_chances_of_neighbours_by_hand():
    """Two of one application at 0.5, one of another at 0.2: by the binomial distribution."""
    beside = np.array([2, 1])
    found = chances(beside, parts_of(beside), np.array([[0.5, 0.2]]))[0]
    np.testing.assert_allclose(found, [0.25 * 0.8, 0.25 * 0.2, 0.5 * 0.8, 0.5 * 0.2, 0.25 * 0.8, 0.25 * 0.2])
    assert found.sum() == pytest.approx(1)


def test_features_by_hand():
    """Counts, presence, pairs: two of the first make one pair of their kind and two with the second."""
    assert features(np.array([[2, 1]]), True).tolist() == [[2, 1, 1, 1, 1, 2, 0]]
    assert features(np.array([[2, 1]]), False).tolist() == [[2, 1, 1, 1, 3]]


def one_pair(slowed=0.5, blocks=48):
    """`web` takes 0.1 s alone; beside `db` that is busy for a share u of the time, its speed is a mean."""
    u = np.linspace(0.05, 0.8, blocks)
    speed = 10 * ((1 - u) + slowed * u)
    seconds = np.stack([1 / speed, np.full(blocks, 0.2)], axis=1)
    rate = np.stack([np.full(blocks, 1e-6), u / 0.2], axis=1)  # web itself works next to never
    time = np.arange(blocks) * 1800.0
    counts = np.ones((blocks, 2), dtype=np.int64)
    return Readings(("web", "db"), np.zeros(blocks, int), time, counts, rate, seconds, 1800.0, ("alpha",))


def test_full_load_of_a_pair_is_read_off_its_slope():
    """Half as fast while db works: 0.5 under full load, though db was never busier than 0.8 of the time."""
    learnt = learn(one_pair())
    web, db = (one.estimates[0] for one in learnt.sensitivities)
    assert learnt.sensitivities[0].seconds == pytest.approx(0.1, rel=0.01)
    assert np.exp(web.rps) == pytest.approx(0.5, rel=0.02)
    assert web.relief[1] == pytest.approx(np.log(2), rel=0.03)
    assert np.isnan(web.relief[0])
    assert db.rps == pytest.approx(0, abs=1.96 * db.spread + 0.02)
    hurt = learnt.hurt()
    assert [(one.app, one.aggressor) for one in hurt] == [(0, 1)]
    assert hurt[0].relieved == pytest.approx(1, abs=0.03)
    assert learnt.hurt(np.array([[1, 0]])) == []  # it runs there no more
    row = learnt.profile.colocations.tolist().index([1, 1])
    assert learnt.profile.rps[row, 0] == pytest.approx(0.5, rel=0.02)
    assert 0 < learnt.profile.weights[row] < 1
    np.testing.assert_array_equal(learnt.profile.alone("rps"), [1, 1])


def test_load_that_never_varies_shows_little():
    """Of readings at one load alone nothing can be distinguished: the standard error says so."""
    varied = one_pair()
    still = varied.rate.copy()
    still[:, 1] = 2.0
    steady = Readings(
        varied.apps, varied.node, varied.time, varied.counts, still, np.full((48, 2), 0.2), 1800.0, ("alpha",)
    )
    known, unknown = learn(varied), learn(steady)
    assert unknown.sensitivities[0].estimates[0].spread > 5 * known.sensitivities[0].estimates[0].spread
    assert unknown.hurt() == []


def test_blocks_are_means_and_do_not_mix_what_a_node_holds():
    readings = one_pair(blocks=4)
    moved = readings.counts.copy()
    moved[3] = [1, 0]
    mixed = Readings(
        readings.apps, readings.node, np.arange(4) * 300.0, moved, readings.rate, readings.seconds, 300.0
    )
    blocks = mixed.blocks()
    assert blocks.samples.tolist() == [1, 3]
    assert blocks.counts.tolist() == [[1, 0], [1, 1]]
    assert blocks.rate[1, 1] == pytest.approx(readings.rate[:3, 1].mean())
    assert mixed.last().tolist() == [[1, 0]]


def test_a_day_of_many_nodes_teaches_what_full_load_would_be():
    """A day of 40 nodes, noise 0.05: 4 % of the true RPS under full load, and only true aggressors."""
    testbed = load_embedded(slots=8)
    space, truth = testbed.space, testbed.truth().rps
    rng = np.random.default_rng(0)
    placement = rng.multinomial(5, np.full(7, 1 / 7), size=40)
    day = simulate_day(space, truth, placement, DailyLoad(), seed=0)
    assert (day.busy[day.counts > 0] < 0.999).mean() > 0.8  # most of the time there is capacity to spare
    learnt = learn(day, 8)
    errors, inside = [], []
    for one in learnt.sensitivities:
        for made in one.estimates:
            errors.append(made.rps - np.log(truth[space.index(made.counts), one.app]))
            inside.append(abs(errors[-1]) < 1.96 * made.spread)
    assert np.sqrt(np.mean(np.square(errors))) < 0.05
    assert np.mean(inside) > 0.85
    unit = np.eye(7, dtype=np.int64)
    named = [one for one in learnt.hurt(placement) if one.aggressor is not None]
    right = 0
    for one in named:
        others = np.flatnonzero(one.counts - unit[one.app])
        right += others[truth[space.index(one.counts - unit[others]), one.app].argmax()] == one.aggressor
    assert len(named) > 10
    assert right >= 0.95 * len(named)


COUNTED = """time,node,app,slot,requests,seconds,work
0,alpha,web,1,0,0,0
300,alpha,web,1,300,60,30
600,alpha,web,1,150,30,15
0,alpha,db,1,0,0,0
300,alpha,db,1,0,0,0
600,alpha,db,1,30,12,6
"""


def test_counters_of_a_table_become_readings(tmp_path):
    path = tmp_path / "day.csv"
    path.write_text(COUNTED)
    found = readings_of(read_counters(path), 300.0, ("web", "db"))
    assert found.counts.tolist() == [[1, 1], [1, 1]]
    np.testing.assert_allclose(found.rate, [[1, 0], [0.5, 0.1]])  # web began anew
    np.testing.assert_allclose(found.seconds, [[0.1, np.nan], [0.1, 0.2]])
    assert found.nodes == ("alpha",)


def test_the_last_hours_of_a_file_end_with_its_last_sample():
    time = np.arange(4) * 1800.0
    still = Counters(time, time, time / 10, time / 20)
    gone = Counters(time[:1], time[:1], time[:1])
    counters = {ContainerName("n", "web", ""): still, ContainerName("n", "db", ""): gone}
    ((name, found),) = last_hours(counters, 0.5).items()
    assert (name.app, found.time.tolist()) == ("web", [3600.0, 5400.0])
    assert found.work.tolist() == [180.0, 270.0]
    assert last_hours(counters, 1.5).keys() == counters.keys()


def test_hours_are_those_that_samples_cover():
    """Half hours that had begun were counted as whole ones."""
    time = 1_000.0 + np.arange(120) * 300.0
    served = np.cumsum(1 + np.arange(120) % 7)
    counters = {
        ContainerName("n", app, ""): Counters(time, served * 30.0, served * 3.0) for app in ("a", "b")
    }
    learnt = learn(readings_of(counters, 300.0))
    assert learnt.profile.provenance["hours"] == pytest.approx(119 * 300 / 3600, abs=0.01)


def test_an_interval_in_which_a_neighbour_was_not_sampled_is_left_out():
    time = np.arange(4) * 300.0
    web = Counters(time, time, time / 10, time / 10)
    gap = np.array([0.0, 300.0, 900.0])
    found = readings_of(
        {ContainerName("n", "web", ""): web, ContainerName("n", "db", ""): Counters(gap, gap, gap)}, 300
    )
    assert found.time.tolist() == [0.0]
    assert found.counts.tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("requests", "served"), "the column 'served' is no column"),
        (lambda text: text.replace(",seconds,work", ",work,slots"), "the column 'slots' is no column"),
        (lambda text: re.sub(",[^,]*$", "", text, flags=re.M).replace("seconds", "work"), "lacks the column"),
        (lambda text: text.replace("300,alpha,db", "0,alpha,db"), "db on alpha has two samples at time 0"),
        (lambda text: text.replace("30,12,6", "x,12,6"), "line 7, column requests"),
        (lambda text: text.replace("30,12,6", "-1,12,6"), "give a number of 0 or more"),
    ],
)
def test_tables_of_counters_that_make_no_sense(tmp_path, change, message):
    path = tmp_path / "day.csv"
    path.write_text(change(COUNTED))
    with pytest.raises(InputError, match=message):
        readings_of(read_counters(path), 300.0)


def test_clocks_that_differ_and_what_else_is_refused():
    def of(begin, samples=3):
        time = begin + np.arange(samples) * 300.0
        return Counters(time, time - begin, (time - begin) / 10)

    three = {ContainerName(node, "web", ""): of(begin) for node, begin in (("a", 0), ("b", 0), ("c", 7200))}
    with pytest.raises(InputError, match=r"samples of c lie 6600 s after those of the others: its clock"):
        readings_of(three, 300.0)
    with pytest.raises(InputError, match="no container in service"):
        readings_of({}, 300.0)
    with pytest.raises(InputError, match=r"web on a is not among apps.names"):
        readings_of({ContainerName("a", "web", ""): of(0)}, 300.0, ("db",))
    with pytest.raises(InputError, match="one sample of each container shows no rate"):
        readings_of({ContainerName("a", "web", ""): of(0, 1)}, 300.0)
    with pytest.raises(InputError, match="web: 1 half hours in which it served requests"):
        learn(readings_of({ContainerName("a", "web", ""): of(0)}, 300.0))
    with pytest.raises(InputError, match=r"a node holds 2 containers, cluster.slots is 1"):
        learn(one_pair(), slots=1)
