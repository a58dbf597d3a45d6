"""Placements tried on a cluster in memory: only what differs is moved, and what ran before runs again."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cluster.backend import Occupancy, Tenant
from cluster.host_counters import HostCounters
from flows.live.running import with_live
from flows.live.session import LiveSession
from flows.live.state import INVENTORY, MOVES, TRIAL
from flows.live.trial import in_place_of
from metis.errors import InputError, SurroundingsError
from metis.operate.settings import TrialSettings
from metis.operate.trial_journal import TrialJournal
from metis.operate.trial_rounds import Rounds
from metis.problem.space import ColocationSpace
from tests.cluster.test_deployment import APPS, NODES
from tests.cluster.test_moves import SPACE, Killed, Swarm, at
from tests.flows.conftest import settings_of

BEFORE = [[0, 1, 0], [0, 0, 0], [1, 0, 1]]
FIRST, SECOND = np.array([[0, 2, 0], [0, 0, 2], [0, 0, 0]]), np.array([[0, 1, 1], [0, 1, 1], [0, 0, 0]])


class Site:
    """A deployment in memory, in place of which placements are tried."""

    def __init__(self, folder, monkeypatch, before=BEFORE):
        words = [
            "cluster=lab",
            f"cluster.state={folder}",
            f"apps.names=[{','.join(APPS)}]",
            "load.most_taken=0.2",
        ]
        self.folder, self.settings = folder, settings_of(*words)
        self.swarm = at(before)
        self.swarm.sweep_jobs = lambda session: None
        self.swarm.counters = lambda host, session: HostCounters()
        monkeypatch.setattr(LiveSession, "source", lambda session, kind: self.load)
        self.session = LiveSession(self.settings, SPACE, (), (), self.swarm)
        self.generator, self.loads, self.stood = 0.1, [], self.places()

    def load(self, containers):
        self.loads.append(self.swarm.placement())
        found = self.swarm.load(containers)
        return {name: replace(one, generator=self.generator, lag=0.01) for name, one in found.items()}

    def places(self):
        return sorted((one.node, one.slot, one.app) for one in self.swarm.standing())

    def journal(self):
        path = self.folder / "journal.json"
        units = dict.fromkeys(APPS, 20.0)
        return TrialJournal(path, APPS, NODES, (("metis",), ("spread",)), (FIRST, SECOND), units)

    def run(self, rounds=2):
        with in_place_of(self.session, lambda words: None) as site:
            made = Rounds(site, self.journal(), TrialSettings(rounds=rounds, early=False))
            made.run()
        return made.journal


@pytest.fixture
def site(tmp_path, monkeypatch):
    return Site(tmp_path, monkeypatch)


def test_placements_are_tried_and_what_ran_before_runs_again_in_its_slots(site):
    journal = site.run()
    assert journal.means() == pytest.approx(np.full((2, 2), 0.5))
    assert sorted(site.loads) == sorted([FIRST.tolist(), SECOND.tolist()] * 2)
    assert site.places() == site.stood
    assert not (site.folder / TRIAL).exists()


def test_between_two_placements_only_what_differs_is_started(site):
    journal = site.run()
    assert {one.started for one in journal.measured[1:]} <= {0, 2}


def test_where_nothing_ran_nothing_runs_afterwards(tmp_path, monkeypatch):
    site = Site(tmp_path, monkeypatch, before=[[0, 0, 0]] * 3)
    site.run()
    assert site.places() == []


@pytest.mark.parametrize("fault", [KeyboardInterrupt, SurroundingsError])
def test_interrupted_or_failed_what_ran_before_runs_again(site, fault):
    load = site.load

    def failing(containers):
        if len(site.loads) > 1:
            raise fault("no more")
        return load(containers)

    site.load = failing
    with pytest.raises(fault):
        site.run()
    assert site.places() == site.stood
    assert not (site.folder / TRIAL).exists()


@pytest.mark.parametrize("actions", range(1, 12, 2))
def test_killed_anywhere_the_next_trial_puts_back_what_ran_before_the_first(site, actions):
    site.swarm.actions = actions
    with pytest.raises(Killed):
        site.run()
    assert (site.folder / TRIAL).is_file()
    site.swarm.actions = 1000
    site.run()
    assert site.places() == site.stood
    assert not (site.folder / TRIAL).exists()


def test_a_run_that_ends_at_its_next_report_puts_back_what_ran_before_first(site):
    def note(words):
        if site.loads:
            raise KeyboardInterrupt

    def try_both():
        with in_place_of(site.session, note) as tried:
            tried.deploy(FIRST)
            tried.measure()
            tried.deploy(SECOND)

    with pytest.raises(KeyboardInterrupt):
        try_both()
    assert site.places() == site.stood
    assert not (site.folder / TRIAL).exists()


def test_what_runs_meanwhile_is_not_taken_for_what_is_deployed(site):
    (site.folder / TRIAL).write_text("{}")
    (site.folder / INVENTORY).write_text("{}")
    with pytest.raises(SurroundingsError, match="existing=live: a trial is under way here, or was killed"):
        with_live(replace(site.settings, existing="live"))


def test_a_trial_is_not_begun_while_moves_are_under_way(site, monkeypatch):
    monkeypatch.setattr(
        "flows.live.trial.under_way", lambda settings: type("R", (), {"made": 0, "steps": [1]})
    )
    with pytest.raises(SurroundingsError, match=r"moves are under way here \(wave 1 of 1\)"):
        site.run()
    assert site.places() == site.stood
    assert not (site.folder / MOVES).exists()


def test_what_could_not_be_put_back_is_not_taken_away(site):
    site.session = replace(site.session, space=ColocationSpace(("MMS", "Checksum", "Other"), 3))
    with pytest.raises(
        InputError, match="Redis on worker-3 runs in deployment 'deploy' and could not be put back"
    ):
        site.run()
    assert site.places() == site.stood


def test_another_deployment_is_left_as_a_stopped_trial_left_it(site):
    (site.folder / TRIAL).write_text(json.dumps({"session": "other", "held": {}}))
    with pytest.raises(InputError, match=r"give deploy\.session=other to go on with it"):
        site.run()
    (site.folder / TRIAL).write_text("[]")
    with pytest.raises(SurroundingsError, match="is no record of a trial"):
        site.run()
    assert site.places() == site.stood


def test_a_placement_without_room_is_refused_before_anything_is_changed(site, monkeypatch):
    full = Occupancy(tenants=tuple(Tenant(f"other-{i}") for i in range(2)))
    monkeypatch.setattr(
        Swarm, "occupancy", lambda swarm: {**dict.fromkeys(NODES, Occupancy()), "worker-2": full}
    )
    said = r"worker-2: is to hold 2 containers, and others .* take 2 of its 3 slots; nothing was changed"
    with in_place_of(site.session, lambda words: None) as tried, pytest.raises(InputError, match=said):
        tried.fits(FIRST)
    assert site.places() == site.stood


def test_a_load_generator_at_its_limit_is_noticed(site):
    site.generator = 0.97
    with in_place_of(site.session, lambda words: None) as tried:
        load = tried.measure()
    assert "the load generator was at its limit (97% of a core" in load.saturated
    assert load.disturbed == ""


def test_stand_alone_rps_are_measured_one_application_on_a_node(site):
    with in_place_of(site.session, lambda words: None) as tried:
        tried.deploy(FIRST)
        for app in APPS:
            ((node, _, name, rps),) = tried.alone(app).containers
            assert (name, rps) == (app, 10.0)
            assert site.loads[-1][NODES.index(node)] == [int(app == one) for one in APPS]
            # on other nodes stays what runs, unloaded
            assert np.sum(site.loads[-1]) > 1
    assert site.places() == site.stood


def test_a_container_alone_runs_where_the_least_must_be_started_and_stopped(site):
    with in_place_of(site.session, lambda words: None) as tried:
        tried.deploy(np.array([[0, 1, 1], [1, 0, 1], [2, 0, 0]]))
        site.swarm.log = []
        assert tried.alone(APPS[0]).containers[0][0] == NODES[1]
        assert tried.alone(APPS[2]).containers[0][0] == NODES[0]
    assert site.places() == site.stood
