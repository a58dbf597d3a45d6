"""The lock of a cluster on its manager: its holder is named, and a dead holder's lock is taken over."""

import subprocess
import sys
from dataclasses import replace

import pytest

from cluster.provision.inventory import Inventory
from cluster.swarm import lock
from cluster.swarm.lock import ALL, OWNER, SEEN, Holder, held
from cluster.swarm.membership import prepare
from metis.errors import SurroundingsError
from tests.cluster.swarm.played import Played
from tests.cluster.swarm.test_membership import HOSTS
from tests.waiting import wait_until


@pytest.fixture
def swarm():
    made = Played(Inventory("hosts", "alpha", HOSTS, "known"))
    prepare(made)
    return made


def taken_by(swarm, **changes):
    """Another machine's process takes the lock."""
    now = swarm_time(0)
    other = Holder("ann@laptop (profile, process 7.1)", "laptop/boot", 7, now, now)
    swarm.labels("m").update(replace(other, **changes).labels())


def swarm_time(seconds):
    return f"2026-01-01T00:{seconds // 60:02d}:{seconds % 60:02d}Z"


def waiting(swarm, said, patience=600.0, until=None):
    """Hold the lock in the world of the played clock; what waits for it calls `until` at each pause."""

    def sleep(seconds):
        swarm.now += seconds
        if until:
            until(swarm.now)

    return held(swarm, "deploy", said.append, patience, sleep=sleep, clock=lambda: swarm.now)


def test_who_has_it_and_since_when_is_on_the_manager_and_gone_afterwards(swarm):
    swarm.now = 3661.0
    with held(swarm, "deploy", pytest.fail, 0.0):
        labels = swarm.labels("m")
        assert "(deploy, process " in labels[OWNER]
        assert labels[SEEN].startswith("2026-01-01T01:01:01")
        assert labels["metis.cluster"] == "alpha"
    assert not set(ALL) & set(swarm.labels("m"))


def test_waiting_is_said_at_once_and_ends_with_the_other(swarm):
    taken_by(swarm)
    said = []

    def until(now):
        assert len(said) == 1 + now // 60.01
        if now < 70:
            swarm.labels("m")[SEEN] = swarm_time(int(now))
        else:
            for name in ALL:
                swarm.labels("m").pop(name, None)

    with waiting(swarm, said, until=until):
        assert "deploy" in swarm.labels("m")[OWNER]
    assert said[0] == (
        "cluster alpha: in use by ann@laptop (profile, process 7.1) since 00:00 (the manager's clock); "
        "waiting, at most 600 s more"
    )


def test_waiting_ends_where_patience_does_and_leaves_the_lock_with_its_owner(swarm):
    taken_by(swarm)
    with (
        pytest.raises(SurroundingsError, match=r"in use by ann@laptop .*connect.lock_wait more than 0 s"),
        waiting(swarm, [], patience=0.0),
    ):
        pytest.fail("it is taken")
    assert swarm.labels("m")[OWNER].startswith("ann@laptop")


def test_one_that_shows_no_life_is_taken_over(swarm):
    taken_by(swarm)
    said = []
    with waiting(swarm, said):
        pass
    assert "waiting" in said[0]
    assert said[-1] == (
        "the lock of ann@laptop (profile, process 7.1) is taken over: no sign of life for 92 s"
    )


def test_that_of_a_process_of_this_machine_that_was_killed_is_taken_over_at_once(swarm):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    taken_by(swarm, machine=lock.machine(), process=process.pid)
    said = []
    with waiting(swarm, said):
        pass
    assert said == ["the lock of ann@laptop (profile, process 7.1) is taken over: its process ended"]


def test_of_two_that_take_it_at_once_one_waits(swarm):
    """Between the look and the update another takes it: the Swarm refuses the older version."""
    engine = type(swarm.engine(HOSTS[0]))
    get, raced = engine._node, []

    def racing(self, node_id):
        node = get(self, node_id)
        if not raced and node_id == "id-m":
            raced.append(node_id)
            taken_by(swarm)
            swarm.nodes[node_id]["Version"]["Index"] += 1
        return node

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_node", racing)
        with pytest.raises(SurroundingsError, match="ann@laptop"), waiting(swarm, [], patience=0.0):
            pytest.fail("it is taken")


def test_signs_of_life_are_given_and_a_loss_is_said(swarm, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.01)
    said = []
    with held(swarm, "deploy", said.append, 0.0):
        swarm.now = 50.0
        wait_until(lambda: swarm.labels("m")[SEEN].startswith("2026-01-01T00:00:50"), "a sign of life")
        taken_by(swarm)
        wait_until(lambda: bool(said), "the loss is said")
    assert "another took over the lock" in said[0]
    assert swarm.labels("m")[OWNER].startswith("ann@laptop")


def test_without_a_swarm_there_is_nothing_to_lock():
    with held(Played(Inventory("hosts", "alpha", HOSTS, "known")), "deploy", pytest.fail, 0.0):
        pass
