"""Waves of moves on a backend in memory: killed anywhere they go on or back, and fail into a legal state."""

import json
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.backend import Occupancy
from cluster.deployment import placement_of
from cluster.load.generator import LoadResult
from cluster.moves import DONE, UNDO, Mover, Wave
from cluster.steps import read_step, steps_of
from metis.errors import InputError, SurroundingsError
from metis.operate.waves import WaveOrder, as_named_waves
from metis.problem import cluster as problems
from metis.problem.space import ColocationSpace
from tests.cluster.test_deployment import APPS, NODES, SLOTS, Cluster, deploy

SPACE = ColocationSpace(APPS, SLOTS)
EACH = dict.fromkeys(NODES, SLOTS)
NO_RULES = WaveOrder(problems.Cluster(SPACE, 1))


class Killed(BaseException):
    """The process ends here, whatever it was doing."""


@dataclass
class Swarm(Cluster):
    """The backend in memory, of which nodes die and whose next actions may be the last."""

    dead: set = field(default_factory=set)
    actions: int = 10_000  # starts and removals until the process is killed
    loaded: list = field(default_factory=list)  # names under load now

    def start(self, specs):
        for spec in specs:
            if spec.node_name in self.dead:
                raise SurroundingsError(f"{spec.where}: no suitable node")
            self._act()
            super().start([spec])
        return [self.container(spec) for spec in specs]

    def stop(self, containers):
        for one in containers:
            self._act()
            assert one.name not in self.loaded, "removed under load"
            super().stop([one])

    def _act(self):
        if not self.actions:
            raise Killed
        self.actions -= 1

    def responding(self, containers, seconds):
        return {one.name for one in containers if one.name in self.up and one.node not in self.dead}

    def unavailable(self, host):
        return f"{host.name}: does not respond" if host.name in self.dead else ""

    def occupancy(self):
        return {name: Occupancy("down" if name in self.dead else "ready") for name in NODES}

    def placement(self):
        return placement_of(self.standing(), NODES, APPS).tolist()

    def load(self, containers):
        """100 requests each; all fail on a node that is dead."""
        self.loaded = [one.name for one in containers]
        found = {
            one.name: LoadResult(10.0, 0.1, 0.2, 100, 100 if one.node in self.dead else 0, 1.0, "timeout")
            for one in containers
        }
        self.loaded = []
        return found


def mover(swarm, wave, saved=None, **limits):
    def save():
        if saved is not None:
            saved[:] = [json.dumps([[one.document for one in wave.steps], wave.phase])]

    given_limits = {"most_failures": 0.5, "bound": 0.01} | limits
    return Mover(swarm, "deploy", swarm.load, swarm.load, save=save, check=lambda specs: None, **given_limits)


def read(saved):
    steps, phase = json.loads(saved[0])
    return Wave(tuple(map(read_step, steps)), phase)


def waves_of(swarm, after, unavailable=0):
    before = placement_of(swarm.standing(), NODES, APPS)
    order = NO_RULES.order(before, np.array(after), unavailable)
    return before, order, as_named_waves(order, APPS, NODES)


def at(placement):
    swarm = Swarm()
    deploy(swarm, np.array(placement))
    return swarm


def planned(swarm, after, unavailable=3):
    _, order, waves = waves_of(swarm, after, unavailable)
    assert order.complete
    return steps_of(swarm, "deploy", swarm.standing(), waves, EACH, unavailable=unavailable)


def is_fresh(swarm):
    """Whether every container runs as it would be started now, its Redis included."""
    for node in NODES:
        here = sorted((one for one in swarm.standing() if one.node == node), key=lambda one: one.slot)
        held = [(one.slot, one.app) for one in here]
        if [swarm.container(one) for one in swarm.specs(node, held, "deploy", "deployed")] != here:
            return False
    return True


def _undone(swarm, wave, killed):
    """Undo a wave, killed once more while it is undone."""
    saved = []
    swarm.actions = killed // 2
    try:
        mover(swarm, wave, saved).undo(wave)
    except Killed:
        swarm.actions = 10_000
        wave = read(saved)
        assert wave.phase == UNDO
        mover(swarm, wave).undo(wave)


rows = st.lists(st.integers(0, SLOTS), min_size=3, max_size=3).filter(lambda row: sum(row) <= SLOTS)
full = st.lists(rows, min_size=3, max_size=3)


@given(before=full, order=st.permutations(range(9)), killed=st.integers(0, 12), back=st.booleans())
@settings(max_examples=60, deadline=None)
def test_killed_anywhere_a_wave_goes_on_or_back(before, order, killed, back):
    """The same containers elsewhere: every wave is killed after some actions, then made or undone."""
    flat = [
        (app, node) for node, row in enumerate(before) for app, count in enumerate(row) for _ in range(count)
    ]
    after = np.zeros((3, 3), dtype=int)
    spots = [node for node in range(3) for _ in range(SLOTS)]
    for (app, _), spot in zip(flat, [spots[i] for i in order], strict=False):
        after[spot, app] += 1
    swarm = at(before)
    _, plan, waves = waves_of(swarm, after, 3)
    steps = steps_of(swarm, "deploy", swarm.standing(), waves, EACH, unavailable=9)
    for made in steps:
        stood, saved, wave = swarm.placement(), [], Wave(made)
        swarm.actions = killed
        try:
            mover(swarm, wave, saved).make(wave)
        except Killed:
            swarm.loaded = []
            wave = read(saved) if saved else Wave(made)
            swarm.actions = 10_000
            if back:
                _undone(swarm, wave, killed)
                assert swarm.placement() == stood
                assert is_fresh(swarm)
                return
            mover(swarm, wave).make(wave)
        swarm.actions = 10_000
        assert wave.phase == DONE
    assert swarm.placement() == after.tolist() or not plan.complete
    assert is_fresh(swarm)
    for made in reversed(steps):  # and all of it is taken back
        wave = Wave(tuple(one.back for one in reversed(made)))
        mover(swarm, wave).make(wave)
    assert swarm.placement() == before
    assert is_fresh(swarm)


def test_new_copies_run_before_old_ones_are_removed():
    swarm = at([[0, 2, 0], [0, 0, 1], [0, 0, 0]])
    (steps,) = planned(swarm, [[0, 1, 0], [0, 0, 1], [0, 1, 0]])
    assert [(one.app, one.old, one.new) for one in steps] == [("MMS", ("worker-1", 1), ("worker-3", 0))]
    wave = Wave(steps)
    swarm.actions = 1
    with pytest.raises(Killed):
        mover(swarm, wave).make(wave)
    assert swarm.placement() == [[0, 2, 0], [0, 0, 1], [0, 1, 0]]
    assert wave.phase == "remove"


def test_a_reader_whose_redis_moves_is_started_anew_beside_itself():
    swarm = at([[1, 1, 0], [0, 1, 0], [0, 0, 0]])
    (steps,) = planned(swarm, [[0, 1, 0], [1, 1, 0], [0, 0, 0]], 0)
    assert [(one.app, one.old, one.new, one.stop_first) for one in steps] == [
        ("Redis", ("worker-1", 0), ("worker-2", 1), False),
        ("MMS", ("worker-1", 1), ("worker-1", 2), False),
        ("MMS", ("worker-2", 0), ("worker-2", 2), False),
    ]
    wave = Wave(steps)
    mover(swarm, wave).make(wave)
    assert is_fresh(swarm)


def test_where_no_slot_is_free_a_reader_is_stopped_first_if_it_may_be_down():
    swarm = at([[1, 1, 1], [0, 0, 1], [0, 0, 0]])
    with pytest.raises(InputError, match=r"MMS on worker-1 reads from the Redis .* rebalance.unavailable=1"):
        planned(swarm, [[0, 1, 1], [1, 0, 1], [0, 0, 0]], 0)
    (steps,) = planned(swarm, [[0, 1, 1], [1, 0, 1], [0, 0, 0]], 1)
    assert (steps[1].old, steps[1].new, steps[1].stop_first) == (("worker-1", 1), ("worker-1", 1), True)
    wave = Wave(steps)
    mover(swarm, wave).make(wave)
    assert is_fresh(swarm)
    back = Wave(tuple(one.back for one in reversed(steps)))
    mover(swarm, back).make(back)
    assert swarm.placement() == [[1, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert is_fresh(swarm)


def test_a_reader_is_started_anew_within_the_slots_of_its_own_node():
    """A third slot is there on the largest node, not on worker-1."""
    swarm = at([[1, 1, 0], [0, 0, 1], [0, 0, 0]])
    _, _, waves = waves_of(swarm, [[0, 1, 0], [1, 0, 1], [0, 0, 0]])
    slots = EACH | {"worker-1": 2}
    with pytest.raises(
        InputError, match="MMS on worker-1 reads from the Redis that moves, and no slot is free"
    ):
        steps_of(swarm, "deploy", swarm.standing(), waves, slots)
    ((_, anew),) = steps_of(swarm, "deploy", swarm.standing(), waves, slots, unavailable=1)
    assert (anew.old, anew.new) == (("worker-1", 1), ("worker-1", 1))


def test_a_copy_that_fails_under_load_is_undone():
    swarm = at([[0, 2, 0], [0, 0, 1], [0, 0, 0]])
    (steps,) = planned(swarm, [[0, 1, 0], [0, 0, 1], [0, 1, 0]])
    wave, heard = Wave(steps), swarm.load

    def failing(containers):
        found = heard(containers)
        return {n: replace(one, failures=60) if "worker-3" in n else one for n, one in found.items()}

    swarm.load = failing
    moving = mover(swarm, wave)
    with pytest.raises(
        SurroundingsError, match=r"MMS on worker-3 \(slot 0\), under load: 60 of 100 requests"
    ):
        moving.make(wave)
    assert moving.undo(wave) == []
    assert wave.phase == UNDO
    assert swarm.placement() == [[0, 2, 0], [0, 0, 1], [0, 0, 0]]


def test_more_failed_requests_than_admitted_end_a_wave():
    swarm = at([[0, 2, 0], [0, 0, 1], [0, 0, 0]])
    (steps,) = planned(swarm, [[0, 1, 0], [0, 0, 1], [0, 1, 0]])
    wave = Wave(steps)
    moving = mover(swarm, wave)
    moving.load = lambda containers: {
        n: replace(one, failures=3) for n, one in swarm.load(containers).items()
    }
    moving.traffic = moving.load
    with pytest.raises(
        SurroundingsError,
        match=r"\d+ of \d+ requests failed meanwhile \(timeout\), rebalance.failures",
    ):
        moving.make(wave)


def test_where_the_new_node_dies_the_old_copy_stays():
    swarm = at([[0, 2, 0], [0, 0, 1], [0, 0, 0]])
    (steps,) = planned(swarm, [[0, 1, 0], [0, 0, 1], [0, 1, 0]])
    wave = Wave(steps)
    swarm.actions = 1
    with pytest.raises(Killed):
        mover(swarm, wave).make(wave)
    swarm.actions, swarm.dead = 100, {"worker-3"}
    moving = mover(swarm, wave)
    assert moving.gone() == "worker-3: does not respond"
    assert moving.undo(wave) == []
    assert swarm.placement() == [[0, 2, 0], [0, 0, 1], [0, 0, 0]]


def test_where_the_old_node_dies_the_new_copy_stays():
    swarm = at([[0, 2, 0], [0, 0, 1], [0, 0, 0]])
    (steps,) = planned(swarm, [[0, 1, 0], [0, 0, 1], [0, 1, 0]])
    wave = Wave(steps)
    swarm.actions = 1
    with pytest.raises(Killed):
        mover(swarm, wave).make(wave)
    swarm.actions, swarm.dead = 100, {"worker-1"}
    assert mover(swarm, wave).undo(wave) == ["MMS stays on worker-3, for worker-1 is gone"]
    assert swarm.placement() == [[0, 1, 0], [0, 0, 1], [0, 1, 0]]
