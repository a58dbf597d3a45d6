"""The rounds of a trial in memory: journal, budget, disturbance, failures, going on after a kill."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from metis.errors import InputError, SurroundingsError
from metis.operate.settings import TrialSettings
from metis.operate.trial import turns
from metis.operate.trial_journal import Load, TrialJournal, read_journal
from metis.operate.trial_rounds import AGAIN, ROUNDS, SECONDS, SEPARATED, Rounds

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
        if self.made >= self.loads:
            raise Killed
        self.made += 1
        self.now += 1.0
        if self.made in self.fails:
            raise SurroundingsError("a on n1 does not respond")
        factor = 1 + self.wobble * (self.made % 3)
        served = []
        for node, row in zip(NODES, self.runs, strict=True):
            apps = [app for app, count in zip(APPS, row, strict=True) for _ in range(count)]
            rates = RATES[tuple(row.tolist())]
            served += [(node, slot, app, rates[APPS.index(app)] * factor) for slot, app in enumerate(apps)]
        spoilt = self.load if self.made in self.spoilt else Load(())
        return replace(spoilt, containers=tuple(served))


def journal(path=None):
    return TrialJournal(path, APPS, NODES, (("metis",), ("spread", "greedy")), (APART, MIXED), dict(UNITS))


def rounds_of(site, kept=None, lines=None, **chosen):
    say = (lambda line: None) if lines is None else lines.append
    settings = TrialSettings(**{"rounds": 4, **chosen})
    return Rounds(site, kept or journal(), settings, say, clock=lambda: site.now)


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
