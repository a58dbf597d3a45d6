"""The rounds of a trial in memory: journal, budget, disturbance, failures, going on after a kill."""

import json
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from metis.errors import InputError, SurroundingsError
from metis.operate.settings import TrialSettings
from metis.operate.trial import turns
from metis.operate.trial_journal import (
    AT_START,
    AloneRun,
    Load,
    Measurement,
    TrialJournal,
    read_journal,
)
from metis.operate.trial_rounds import AGAIN, ROUNDS, SECONDS, SEPARATED, Rounds, in_turn, most_loads

APPS, NODES = ("a", "b"), ("n1", "n2")
MIXED, APART = np.array([[1, 1], [1, 1]]), np.array([[2, 0], [0, 2]])
RATES = {(1, 1): (50.0, 20.0), (2, 0): (80.0, 0.0), (0, 2): (0.0, 32.0)}
UNITS = {"a": 100.0, "b": 40.0}


class Killed(BaseException):
    """The process ends here, whatever it was doing."""


@dataclass
class Site:
    """Serves what `RATES` says, in a second, until it is killed or fails."""

    loads: int = 1000  # until it is killed
    fails: list[int] = field(default_factory=list)  # loads that fail
    load: Load = field(default_factory=lambda: Load(()))
    spoilt: list[int] = field(default_factory=list)  # loads that `load` spoils
    wobble: float = 0.0
    slow_after: float = np.inf  # seconds after which the machine is as fast as `pace`
    pace: float = 1.0
    made: int = 0
    now: float = 0.0
    runs: np.ndarray = field(default_factory=lambda: np.zeros((2, 2), dtype=int))
    deployed: list = field(default_factory=list)

    def deploy(self, placement):
        started = int(np.maximum(placement - self.runs, 0).sum())
        self.runs = placement
        self.deployed.append(placement.tolist())
        return started

    def measure(self):
        self._load()
        factor = (1 + self.wobble * (self.made % 3)) * self._speed()
        served = []
        for node, row in zip(NODES, self.runs, strict=True):
            apps = [app for app, count in zip(APPS, row, strict=True) for _ in range(count)]
            rates = RATES[tuple(row.tolist())]
            served += [(node, slot, app, rates[APPS.index(app)] * factor) for slot, app in enumerate(apps)]
        spoilt = self.load if self.made in self.spoilt else Load(())
        return replace(spoilt, containers=tuple(served))

    def alone(self, app):
        self._load()
        spoilt = self.load if self.made in self.spoilt else Load(())
        return replace(spoilt, containers=((NODES[0], 0, app, UNITS[app] * self._speed()),))

    def _speed(self):
        return self.pace if self.now > self.slow_after else 1.0

    def _load(self):
        if self.made >= self.loads:
            raise Killed
        self.made += 1
        self.now += 1.0
        if self.made in self.fails:
            raise SurroundingsError("a on n1 does not respond")


def journal(path=None, units=UNITS):
    return TrialJournal(path, APPS, NODES, (("metis",), ("spread", "greedy")), (APART, MIXED), dict(units))


def rounds_of(site, kept=None, lines=None, **chosen):
    say = (lambda line: None) if lines is None else lines.append
    settings = TrialSettings(**{"rounds": 4, **chosen})
    return Rounds(site, kept or journal(), settings, say, clock=lambda: site.now, now=lambda: site.now)


def test_every_placement_is_measured_once_a_round_in_the_balanced_order():
    site = Site()
    made = rounds_of(site, early=False, seed=3)
    assert made.run() == ROUNDS
    order = [p for row in turns(2, 4, 3) for p in row]
    assert site.deployed == [made.journal.placements[p].tolist() for p in order]
    assert [(one.round, one.placement) for one in made.journal.measured] == [
        (number, p) for number, row in enumerate(turns(2, 4, 3)) for p in row
    ]
    assert made.journal.means() == pytest.approx(np.array([[0.8, 0.5]] * 4))
    assert made.journal.rates()[0, 1].tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert np.isnan(made.journal.rates()[0, 0, 0, 1])
    assert [one.mean for one in made.intervals()] == pytest.approx([0.0, -0.3])


def test_only_containers_that_differ_are_started():
    made = rounds_of(Site(), early=False)
    made.run()
    assert [one.started for one in made.journal.measured][:2] in ([4, 2], [2, 2])
    assert {one.started for one in made.journal.measured[2:]} <= {0, 2}


def test_it_ends_as_soon_as_the_intervals_have_separated():
    lines = []
    made = rounds_of(Site(wobble=0.01), lines=lines, rounds=20)
    assert made.run() == SEPARATED
    assert 3 <= len(made.journal.means()) < 20
    assert any(line.startswith("after round 3, beside metis: spread = greedy -0.3") for line in lines)


def test_it_ends_when_its_time_is_up_and_keeps_what_was_measured():
    made = rounds_of(Site(), early=False, rounds=20, seconds=5.0)
    assert made.run() == SECONDS
    assert len(made.journal.measured) == 5
    assert np.isnan(made.journal.means()[2]).sum() == 1
    assert made.intervals()[1].groups == 2


@pytest.mark.parametrize("loads", [0, 1, 2, 5])
def test_killed_it_goes_on_and_no_measurement_is_made_twice(tmp_path, loads):
    path = tmp_path / "journal.json"
    with pytest.raises(Killed):
        rounds_of(Site(loads=loads), journal(path), early=False).run()
    kept = read_journal(path) or journal(path)
    assert len(kept.measured) == loads
    site = Site()
    assert rounds_of(site, kept, early=False).run() == ROUNDS
    assert site.made == 8 - loads
    assert read_journal(path).means() == pytest.approx(np.array([[0.8, 0.5]] * 4))


def test_a_journal_is_read_as_it_was_written(tmp_path):
    kept = journal(tmp_path / "journal.json")
    rounds_of(Site(load=Load((), "others", "", {"n1": {"taken": 0.5}}), spoilt=[1, 2]), kept).run()
    found = read_journal(kept.path)
    assert found.measured == kept.measured
    assert found.measured[0].disturbed == "others"
    assert read_journal(tmp_path / "none.json") is None
    kept.path.write_text('{"format": "other"}')
    with pytest.raises(InputError, match="is no journal of a trial"):
        read_journal(kept.path)


def test_a_load_that_fails_is_made_once_more_and_then_ends_the_trial():
    assert rounds_of(Site(fails=[2]), early=False).run() == ROUNDS
    with pytest.raises(
        SurroundingsError, match=r"(metis|spread = greedy), round 1: a on n1 does not respond"
    ):
        rounds_of(Site(fails=[2, 3]), early=False).run()


def test_a_disturbed_load_is_made_again_and_the_second_one_counts():
    disturbed = Load((), disturbed="others took 40%")
    made = rounds_of(Site(load=disturbed, spoilt=[1]), early=False)
    made.run()
    first = made.journal.measured[0]
    assert (first.again, len(first.loads), first.disturbed) == (1, 1, "")
    made = rounds_of(Site(load=disturbed, spoilt=[1, 2]), early=False)
    made.run()
    assert made.journal.measured[0].disturbed == "others took 40%"


def test_where_everything_is_disturbed_loads_are_not_made_again_for_ever():
    site, lines = Site(load=Load((), disturbed="others took 40%"), spoilt=list(range(100))), []
    rounds_of(site, lines=lines, early=False, rounds=6).run()
    assert site.made == 12 + AGAIN
    assert sum("no more is loaded again" in line for line in lines) == 1


def test_a_load_generator_at_its_limit_from_the_start_is_bad_input():
    saturated = Load((), saturated="the load generator was at its limit (99% of a core)")
    site = Site(load=saturated, spoilt=[1, 2])
    with pytest.raises(InputError, match="the load generator was at its limit"):
        rounds_of(site).run()
    made = rounds_of(Site(load=saturated, spoilt=[3, 4]), early=False)
    assert made.run() == ROUNDS  # once is a moment
    assert "generator" in made.journal.measured[2].disturbed


def test_several_loads_of_a_placement_count_by_their_mean():
    made = rounds_of(Site(wobble=0.1), early=False, repeats=3)
    made.run()
    assert made.journal.means()[0] == pytest.approx([0.8 * 1.1, 0.5 * 1.1])


def test_applications_are_loaded_alone_in_turn_each_as_often():
    assert [in_turn("abc", number, 1) for number in range(4)] == [["a"], ["b"], ["c"], ["a"]]
    assert [in_turn("abc", number, 2) for number in range(3)] == [["a", "b"], ["c", "a"], ["b", "c"]]
    assert in_turn("ab", 0, 5) == ["a", "b"]
    assert in_turn("", 3, 1) == in_turn("abc", 3, 0) == []


def test_what_counts_as_one_is_measured_at_the_start_and_after_each_round():
    site, totals = Site(), []
    made = rounds_of(site, journal(units={}), early=False)
    made.progress = lambda done, total: totals.append((done, total))
    assert made.run() == ROUNDS
    order = [(one.round, one.app) for one in made.journal.alone]
    assert order == [(AT_START, "a"), (AT_START, "b"), (0, "a"), (1, "b"), (2, "a"), (3, "b")]
    assert made.journal.means() == pytest.approx(np.array([[0.8, 0.5]] * 4))
    assert site.made == made.journal.loads == most_loads(made.chosen, 2, 2) == 14
    assert totals == [(i, 14) for i in range(14)]
    assert made.journal.seconds == 14.0
    assert made.journal.mean_units() == pytest.approx(UNITS)
    assert made.journal.unit_errors().tolist() == [0.0, 0.0]


def test_given_units_cost_no_load_and_none_is_made_after_rounds_where_that_is_not_asked_for():
    assert (rounds_of(site := Site(), early=False).run(), site.made) == (ROUNDS, 8)
    made = rounds_of(site := Site(), journal(units={}), early=False, units=0)
    assert (made.run(), site.made) == (ROUNDS, 10)
    assert [one.round for one in made.journal.alone] == [AT_START] * 2


def test_shares_stay_right_where_the_machine_becomes_slower_midway():
    site = Site(slow_after=30.0, pace=0.8)
    made = rounds_of(site, journal(units={}), early=False, rounds=20, units=2)
    made.run()
    means = made.journal.means()
    assert means.mean(axis=0) == pytest.approx([0.8, 0.5], rel=0.01)
    assert means[[0, 1, 2, -3, -2, -1]] == pytest.approx(np.array([[0.8, 0.5]] * 6))
    once = rounds_of(Site(slow_after=30.0, pace=0.8), journal(units={}), early=False, rounds=20, units=0)
    once.run()
    assert once.journal.means()[-1] == pytest.approx([0.64, 0.4])


@pytest.mark.parametrize("loads", range(15))
def test_killed_anywhere_no_stand_alone_run_is_made_twice(tmp_path, loads):
    path = tmp_path / "journal.json"
    with pytest.raises(Killed):
        rounds_of(Site(loads=loads), journal(path, units={}), early=False, rounds=5).run()
    kept = read_journal(path) or journal(path, units={})
    assert kept.loads == loads
    site = Site()
    assert rounds_of(site, kept, early=False, rounds=5).run() == ROUNDS
    assert site.made == 17 - loads
    found = read_journal(path)
    assert found.alone == kept.alone
    assert len({(one.round, one.app) for one in found.alone}) == len(found.alone) == 7
    assert found.means() == pytest.approx(np.array([[0.8, 0.5]] * 5))


def test_a_journal_of_before_stand_alone_runs_were_repeated_is_read(tmp_path):
    kept = journal(tmp_path / "journal.json")
    rounds_of(Site(), kept).run()
    document = json.loads(kept.path.read_text())
    del document["alone"]
    kept.path.write_text(json.dumps(document))
    assert read_journal(kept.path).means() == pytest.approx(kept.means())


def test_stand_alone_runs_are_disturbed_and_fail_as_loads_do():
    disturbed = Load((), disturbed="others took 40%")
    made = rounds_of(Site(load=disturbed, spoilt=[1]), journal(units={}), early=False)
    made.run()
    assert (made.journal.alone[0].again, made.journal.alone[0].load.disturbed) == (1, "")
    assert rounds_of(Site(fails=[2]), journal(units={}), early=False).run() == ROUNDS
    with pytest.raises(SurroundingsError, match="b alone: a on n1 does not respond"):
        rounds_of(Site(fails=[2, 3]), journal(units={})).run()
    silent = Site()
    silent.alone = lambda app: Load(((NODES[0], 0, app, 0.0),))
    with pytest.raises(SurroundingsError, match="a alone: it serves nothing"):
        rounds_of(silent, journal(units={})).run()


def with_alone(logs):
    """A journal of stand-alone runs of `a` at seconds 0, 10, 20, ..."""
    kept = journal(units={"b": 40.0})
    for i, log in enumerate(logs):
        kept.enter(AloneRun(i - 1, "a", 10.0 * i, 0.0, Load((("n1", 0, "a", float(np.exp(log))),))))
    return kept


def test_between_two_stand_alone_runs_what_counts_as_one_is_interpolated():
    kept = with_alone([1.0, 3.0])
    assert np.log(kept.units_at([-5.0, 0.0, 2.5, 10.0, 99.0])[:, 0]) == pytest.approx([1, 1, 1.5, 3, 3])
    assert kept.units_at([7.0])[0, 1] == 40.0
    assert kept.mean_units() == pytest.approx({"a": np.exp(2.0), "b": 40.0})
    assert np.isnan(with_alone([]).units_at([0.0])[0, 0])


def test_the_error_of_what_counts_as_one_is_as_stand_alone_runs_differ():
    # two steps of 0.2: a run deviates by 0.2 / sqrt(2), the mean of three by that over sqrt(3)
    assert with_alone([1.0, 1.2, 1.0]).unit_errors() == pytest.approx([0.2 / 6**0.5, 0.0])
    rng, found = np.random.default_rng(0), []
    for _ in range(200):
        found.append(with_alone(0.1 * rng.standard_normal(9)).unit_errors()[0])
    assert np.mean(np.square(found)) == pytest.approx(0.1**2 / 9, rel=0.1)


def test_where_no_stand_alone_run_was_repeated_its_error_is_that_of_other_loads():
    kept = with_alone([np.log(100.0)])
    for number, log in enumerate([0.0, 0.2]):
        served = tuple((node, 0, "a", 80.0 * float(np.exp(log))) for node in NODES)
        kept.enter(Measurement(number, 0, 0.0, 0.0, 0, (Load(served),)))
    assert kept.unit_errors() == pytest.approx([0.2 / 2**0.5, 0.0])
