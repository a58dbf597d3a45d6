"""The memory of a watch: the same after it was written and read, small, and of one cluster."""

import json
from dataclasses import replace

import numpy as np
import pytest

from metis.errors import InputError
from metis.measure.testbed import load_embedded
from metis.operate.drift import Drift
from metis.operate.memory import LOOKS, Memory, load_memory
from metis.operate.watch import Knowledge
from metis.problem.counts import describe_colocation

NODES = ("a", "b")
HOURS = 3600.0


@pytest.fixture(scope="module")
def profile():
    testbed = load_embedded(slots=2)
    return testbed.measure(testbed.space.counts[1:20], seed=0)


@pytest.fixture
def seen(profile):
    """A memory of one inspection, in which an application drifted in one co-location."""
    apps, fresh = profile.apps, profile.rows([3, 5])
    fresh = replace(fresh, rps=fresh.rps * 0.7)
    a = int(np.flatnonzero(fresh.present[0])[0])

    drifted = Drift(
        describe_colocation(fresh.colocations[0], apps), apps[a], 0.5, 1.0, 0.9, 1.1, recorded=True
    )
    return Memory(Knowledge.of(profile, 0.05).after(fresh, [drifted]))


def test_it_is_read_as_it_was_written(tmp_path, profile, seen):
    path = tmp_path / "watch.json"
    running = np.zeros((2, len(profile.apps)), dtype=np.int64)
    running[0, 1] = 2
    seen.saw(NODES, running, now=0.0)
    running[0, 1], running[1, 1] = 1, 1
    seen.saw(NODES, running, now=HOURS)
    seen.looks = [{"at": str(i)} for i in range(LOOKS + 5)]
    seen.save(path, "lab")
    read, why = load_memory(path, "lab", profile, 0.05)
    assert why == ""
    assert read.known.seen == seen.known.seen
    assert read.known.drifted == seen.known.drifted
    for name in ("colocations", "rps", "p99"):
        assert np.array_equal(getattr(read.known.profile, name), getattr(seen.known.profile, name), True)
    assert (read.running, read.gave) == (seen.running, {("a", profile.apps[1]): HOURS})
    assert [look["at"] for look in read.looks] == [str(i) for i in range(5, LOOKS + 5)]
    lately = read.lately(NODES, now=10 * HOURS, rest=24.0)
    assert lately.sum() == lately[0, 1] == 1
    assert not read.lately(NODES, now=30 * HOURS, rest=24.0).any()


def test_what_was_seen_beside_another_profile_is_left_out(tmp_path, profile, seen):
    path = tmp_path / "watch.json"
    seen.save(path, "lab")
    other = replace(profile, rps=profile.rps * 1.01)
    read, why = load_memory(path, "lab", other, 0.05)
    assert "the profile is another one" in why
    assert read.known.profile is other
    assert "nothing is remembered" in load_memory(tmp_path / "none.json", "lab", profile, 0.05)[1]


def test_the_memory_of_another_cluster_is_not_mixed_in(tmp_path, profile, seen):
    path = tmp_path / "watch.json"
    seen.save(path, "lab")
    with pytest.raises(InputError, match="the memory of cluster 'lab', not of 'two'"):
        load_memory(path, "two", profile, 0.05)


@pytest.mark.parametrize("change", [{"seen": [[9] * 7]}, {"running": 3}, {"measures": {}}, {"format": "x"}])
def test_a_damaged_memory_is_refused(tmp_path, profile, seen, change):
    path = tmp_path / "watch.json"
    seen.save(path, "lab")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match="move it away to begin anew"):
        load_memory(path, "lab", profile, 0.05)
