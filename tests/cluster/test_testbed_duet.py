"""The testbed where a co-location and its stand-alone runs take turns."""

import numpy as np
import pytest

from cluster.testbed import ClusterTestbed
from metis.measure.profile_files import load_profile
from metis.measure.series import measure_list
from tests.cluster.world import APPS, World, swarm_in


@pytest.fixture
def hasty(monkeypatch):
    """Nothing is waited for."""
    monkeypatch.setattr("cluster.testbed.IDLE", 0.0)


def in_turns(world: World, **changes: object) -> ClusterTestbed:
    return swarm_in(world, duet=world.in_turns, **changes)


def test_a_duet_divides_by_the_slices_in_turn_with_it(hasty, tmp_path):
    world = World(drift=0.9)  # a tenth slower after every load
    testbed = in_turns(world)
    journal = measure_list(testbed, testbed.space.counts[1:], path=tmp_path / "p.npz")
    testbed.settle(journal)
    profile = load_profile(tmp_path / "p.npz")
    beside = profile.colocations.sum(axis=1) == 2
    shares = profile.rps[beside]
    # the load itself made the machine slower once, between the mix and what is alone
    np.testing.assert_allclose(shares[np.isfinite(shares)], 0.75 / 0.9)
    np.testing.assert_allclose(profile.width[beside][np.isfinite(shares)], 0.01 / (0.75 / 0.9))
    assert profile.noise == pytest.approx(0.01 / (0.75 / 0.9) / 1.96)
    assert len(world.loads) == 5  # each alone once, and each other once
    note = next(run["note"] for run in journal.runs if "ratio" in run["note"])
    assert (note["cycles"], note["load_seconds"]) == (4, 8.0)
    assert set(testbed.alone_rps()) == set(APPS)


def test_without_room_or_rest_it_measures_one_after_the_other(hasty):
    roomless = in_turns(World(roomless=True)).measure(np.array([[1, 1]]), seed=0)
    np.testing.assert_allclose(roomless.rps, [[0.75, 0.75]])
    lines = []
    restless = in_turns(World(restless=0.3), report=lines.append).measure(np.array([[1, 1]]), seed=0)
    np.testing.assert_allclose(restless.rps, [[0.75, 0.75]])
    assert all("ratio" not in note for note in restless.provenance["notes"].values())
    assert "cache works without requests (30% of a core)" in "\n".join(lines)
