"""The arithmetic of measuring on a cluster, whose launches and loads are those of a known world."""

import numpy as np
import pytest

from cluster.load.sittings import PAUSE, Sittings, open_sittings
from metis.errors import InputError, SurroundingsError
from metis.measure.journal import Patience
from metis.measure.profile_files import load_profile
from metis.measure.series import measure_list
from metis.measure.testbed import UnmeasuredError
from tests.cluster.world import RAW, World, measured, swarm_in


def test_rps_is_that_of_one_container_divided_by_that_alone():
    world = World(speed=3.0)
    testbed = swarm_in(world)
    profile = testbed.measure(np.array([[1, 1], [2, 0]]), seed=0)
    np.testing.assert_allclose(profile.rps, [[0.75, 0.75], [0.75, np.nan]])
    np.testing.assert_allclose(profile.requests, [[100, 100], [200, np.nan]])
    np.testing.assert_allclose(profile.p50, [[0.01, 0.01], [0.01, np.nan]])
    note = profile.provenance["notes"][int(testbed.space.index([1, 1]))]
    assert note["raw"] == [200 * 3 * 0.75, 50 * 3 * 0.75]
    assert (note["worker"], note["client"]) == ("w1", "c")
    assert testbed.alone_rps() == {"cache": 600.0, "web": 150.0}
    assert not world.running_
    assert [held for _, held in world.loads[:2]] == [(1, 0), (0, 1)]  # alone first


def test_alone_it_is_one_whatever_was_measured():
    profile = swarm_in(World(speed=1.7)).measure(np.array([[1, 0], [0, 1]]), seed=0)
    np.testing.assert_array_equal(profile.rps, [[1.0, np.nan], [np.nan, 1.0]][::-1])


def test_what_drifts_is_divided_by_what_stood_alone_near_it():
    steady, drifting = World(), World(drift=0.98)
    often = swarm_in(drifting, every=3, alone=2)
    seldom = swarm_in(World(drift=0.98), every=1000)
    rows = np.repeat([[1, 1]], 30, axis=0)
    truth = swarm_in(steady).measure(rows[:1], seed=0).rps

    def worst(testbed):
        return max(np.abs(testbed.measure(row[None], seed=0).rps / truth - 1).max() for row in rows)

    assert worst(often) < 0.25 < 0.4 < worst(seldom)


def test_rounds_turn_round_and_settling_uses_what_came_after():
    """Two rounds in a machine that slows down evenly: the median of both sides takes most of it out."""
    _, journal = measured(World(drift=0.99), repeats=2)
    pair = [run for run in journal.sound if run["id"] == int(journal.space.index([1, 1]))]
    found = np.mean([run["rps"] for run in pair])
    assert found == pytest.approx(0.75, rel=0.003)  # divided by what stood alone before it, 3 % off
    assert journal.profile().spread is not None
    alone = [run for run in journal.sound if journal.space.totals[run["id"]] == 1]
    assert all(np.nanmax(run["rps"]) == 1.0 for run in alone)


def test_all_co_locations_are_measured_in_rounds_and_raw_values_kept():
    world = World()
    testbed, journal = measured(world, repeats=3)
    assert len(journal.runs) == 15 == len(world.loads)
    profile = journal.profile()
    shared = profile.colocations.sum(axis=1) == 2
    np.testing.assert_allclose(profile.rps[shared][profile.present[shared]], 0.75)
    assert profile.spread is not None
    np.testing.assert_allclose(profile.spread[profile.present], 0, atol=1e-12)
    assert profile.provenance["alone_rps"] == RAW == testbed.alone_rps()


def test_one_that_fails_once_is_tried_again():
    world = World(broken={(1, 1): 2})
    _, journal = measured(world)
    assert not journal.quarantined
    assert [run["sound"] for run in journal.runs if run["id"] == int(journal.space.index([1, 1]))] == [
        False,
        False,
        True,
    ]


def test_one_that_goes_on_failing_is_left_out_with_the_reason_and_the_rest_goes_on():
    _, journal = measured(World(broken={(1, 1): 10**9}), at_once=2)
    assert journal.named_quarantine() == {"1 cache + 1 web": "1 cache + 1 web: no room"}
    assert len(journal.profile()) == 4
    assert sum(run["id"] == int(journal.space.index([1, 1])) for run in journal.runs) == 3


def test_what_does_not_run_alone_takes_only_its_own_co_locations_with_it():
    world = World(broken={(0, 1): 10**9})
    _, journal = measured(world)
    assert sorted(map(tuple, journal.profile().colocations)) == [(1, 0), (2, 0)]
    assert "web does not run alone" in journal.named_quarantine()["1 cache + 1 web"]
    # tries alone, then no more: nothing is launched in vain for what would be divided by it
    assert all(held[1] == 0 for _, held in world.loads)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"failures": 60}, r"60 of 100 requests failed \(mostly: oops\)"),
        ({"trouble": ["web on w1 passed its memory limit"]}, "passed its memory limit"),
    ],
)
def test_a_run_that_tells_of_a_fault_is_refused(change, reason):
    testbed = swarm_in(World(**change))
    with pytest.raises(UnmeasuredError, match=reason) as refused:
        testbed.measure(np.array([[1, 0]]), seed=0)
    assert refused.value.measured is None
    assert list(refused.value.failed) == [int(testbed.space.index([1, 0]))]


def test_late_responses_are_neither_failures_nor_a_fault():
    profile = swarm_in(World(late=90)).measure(np.array([[1, 1]]), seed=0)
    np.testing.assert_allclose(profile.failures, [[0, 0]])
    np.testing.assert_allclose(profile.requests, [[100, 100]])


def test_what_is_always_late_alone_is_nothing_to_compare_with():
    with pytest.raises(UnmeasuredError, match="alone, all of 100 responses are late"):
        swarm_in(World(speed=0.0, late=100)).measure(np.array([[1, 0]]), seed=0)


def test_rps_far_above_those_alone_are_a_mistake():
    with pytest.raises(UnmeasuredError, match=r"cache in slot 0 .*reached .* alone it reached 200"):
        swarm_in(World(drift=100.0), every=1000).measure(np.array([[1, 1]]), seed=0)


def test_some_failures_do_not_cost_the_others():
    world = World(broken={(2, 0): 1})
    testbed = swarm_in(world, at_once=2)
    with pytest.raises(UnmeasuredError, match="no room") as refused:
        testbed.measure(np.array([[1, 1], [2, 0]]), seed=0)
    assert refused.value.measured is not None
    np.testing.assert_array_equal(refused.value.measured.colocations, [[1, 1]])


def test_what_is_measured_lost_back_and_failed_is_said(monkeypatch):
    monkeypatch.setattr("cluster.testbed.LOOK_AGAIN", 0.0)
    said, begun = [], []
    world = World(dies={1: "w1"}, broken={(1, 1): 1})
    testbed = swarm_in(world, report=said.append, begin=begun.append)
    testbed.measure(np.array([[1, 0]]), seed=0)
    assert begun == ["1 cache on w1", "1 cache on w2"]
    assert said == ["w1 is lost, its runs go to others: w1 does not respond"]
    testbed.measure(np.array([[1, 0]]), seed=0)
    assert len(said) == 1  # still lost, and said once
    world.down.clear()
    with pytest.raises(UnmeasuredError):
        testbed.measure(np.array([[1, 1]]), seed=0)
    assert said[1:] == ["w1 is back", "failed: 1 cache + 1 web: no room"]


def test_a_node_that_is_left_out_takes_no_part_until_it_is_open_again(monkeypatch):
    world = World()
    testbed = swarm_in(world)
    testbed.leave_out("w1", "w1: drained")
    testbed.measure(np.array([[1, 0]]), seed=0)
    assert [node for node, _ in world.loads] == ["w2"]
    monkeypatch.setattr("cluster.testbed.LOOK_AGAIN", 0.0)
    testbed.measure(np.array([[1, 0]]), seed=0)
    assert world.loads[-1][0] == "w1"


def test_workers_take_turns_side_by_side():
    world = World()
    swarm_in(world, at_once=2).measure(np.array([[1, 1], [2, 0], [0, 2]]), seed=0)
    assert {node for node, _ in world.loads} == {"w1", "w2"}


def test_a_worker_that_dies_is_replaced_by_another():
    world = World(dies={4: "w1"})
    _, journal = measured(world)
    assert all(run["sound"] for run in journal.runs)
    assert len(journal.profile()) == 5
    assert [node for node, _ in world.loads] == ["w1"] * 4 + ["w2"] * 2


@pytest.mark.parametrize("host", ["m", "c"])
def test_without_manager_or_client_measuring_stops_and_keeps_what_it_has(tmp_path, host):
    path = tmp_path / "p.npz"
    world = World(dies={4: host}, down=set())
    if host == "m":
        world.broken = {(1, 1): 10**9, (2, 0): 10**9, (0, 2): 10**9}
        world.dies = {2: "m"}
    with pytest.raises(SurroundingsError, match=rf"{host} does not respond; kept: \d measurement"):
        measured(world, path)
    assert len(load_profile(path)) == len(world.loads) - (host == "c")
    again = World()
    _, journal = measured(again, path)
    assert len(journal.profile()) == 5
    assert len(again.loads) == 5 - (len(world.loads) - (host == "c"))  # nothing is measured twice


def test_a_host_that_comes_back_costs_only_a_pause():
    world = World(dies={3: "c"})
    pauses = []

    def wait(seconds):
        pauses.append(seconds)
        world.down.clear()

    testbed = swarm_in(world)
    journal = measure_list(testbed, testbed.space.counts[1:], patience=Patience(seconds=5.0), wait=wait)
    assert pauses == [5.0]
    assert len(journal.profile()) == 5
    assert all(run["sound"] for run in journal.runs)


def test_a_worker_that_comes_back_takes_part_again(monkeypatch):
    world = World(dies={1: "w1"})
    testbed = swarm_in(world)
    testbed.measure(np.array([[1, 0]]), seed=0)
    world.down.clear()
    testbed.measure(np.array([[1, 0]]), seed=0)
    assert [node for node, _ in world.loads] == ["w1", "w2", "w2"]
    monkeypatch.setattr("cluster.testbed.LOOK_AGAIN", 0.0)
    testbed.measure(np.array([[1, 0]]), seed=0)
    assert world.loads[-1][0] == "w1"


def test_stopped_at_any_moment_it_goes_on_without_redoing_one(tmp_path):
    class Killed(BaseException):
        pass

    class Stopping(World):
        def load(self, client, targets):
            if len(self.loads) == 4:
                raise Killed
            return super().load(client, targets)

    path = tmp_path / "p.npz"
    first, second = Stopping(), World(speed=5.0)
    with pytest.raises(Killed):
        measured(first, path, repeats=2)
    _, journal = measured(second, path, repeats=2)
    assert len(first.loads) + len(second.loads) == 10
    assert len(journal.sound) == 10


def test_another_sitting_is_divided_by_its_own(tmp_path):
    """A machine that is twice as fast next day: nothing measured then is held against the day before."""
    file = tmp_path / "alone.json"
    before = swarm_in(World(), file)
    before.measure(np.array([[1, 1]]), seed=0)
    same = swarm_in(World(), file)
    same.measure(np.array([[1, 1]]), seed=0)
    assert same.sittings.number == 0
    assert len(same.sittings.runs) == 2  # they are fresh: not measured again
    later = open_sittings(file, "hosts", now=same.sittings.last + PAUSE + 1)
    world = World(speed=2.0)
    after = swarm_in(world, sittings=later)
    np.testing.assert_allclose(after.measure(np.array([[1, 1]]), seed=0).rps, 0.75)
    assert after.alone_rps() == {"cache": 400.0, "web": 100.0}
    assert open_sittings(file, "other hosts").number == 2
    assert sorted(held for _, held in world.loads) == [(0, 1), (1, 0), (1, 1)]


def test_a_unit_is_the_median_of_the_nearest():
    found = Sittings(runs=[{"sitting": 0, "app": "a", "at": float(t), "rps": 10.0 + t} for t in range(10)])
    assert found.unit("a", 0.0, 0) == pytest.approx(np.median([10, 11, 12, 13]))
    assert found.unit("a", 100.0, 0) == pytest.approx(np.median([16, 17, 18, 19]))
    assert np.isnan(found.unit("b", 0.0, 0))
    assert np.isnan(found.unit("a", 0.0, 1))


def test_a_damaged_record_is_named(tmp_path):
    file = tmp_path / "alone.json"
    file.write_text("[]")
    with pytest.raises(InputError, match=r"alone\.json"):
        open_sittings(file, "hosts")


def test_nobody_knows_the_truth():
    with pytest.raises(InputError, match="testbed=swarm"):
        swarm_in(World()).truth()


def test_a_disturbed_run_is_reported_at_once_repeated_and_stored_with_its_circumstances(tmp_path):
    world, lines = World(taken=[0.4, 0.0, 0.05]), []
    testbed = swarm_in(world, report=lines.append)
    journal = measure_list(testbed, np.array([[1, 0]]), path=tmp_path / "p.npz")
    assert lines == ["disturbed: 1 cache on w1: others took 40% of the node's processor time"]
    assert [(run["sound"], run.get("weight")) for run in journal.runs] == [(False, 0.0), (True, None)]
    assert [run["note"]["circumstances"]["taken"] for run in journal.runs] == [pytest.approx(0.4), 0.0]
    assert load_profile(tmp_path / "p.npz").weight is None  # what counts was not disturbed


def test_what_cannot_be_read_fails_no_measurement():
    profile = swarm_in(World(unread=True)).measure(np.array([[1, 0]]), seed=0)
    (note,) = profile.provenance["notes"].values()
    assert "/proc/pressure" in note["circumstances"]["missing"]
    assert "disturbed" not in note
