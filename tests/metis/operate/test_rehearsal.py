"""Trials rehearsed on the embedded testbed: intervals hold what is truly so, and equal placements tie."""

import numpy as np
import pytest

from metis.measure.testbed import load_embedded
from metis.operate.rehearsal import Rehearsal
from metis.operate.settings import TrialSettings
from metis.operate.trial_journal import TrialJournal
from metis.operate.trial_rounds import Rounds
from metis.problem.cluster import Cluster
from metis.problem.evaluation import evaluate

TESTBED = load_embedded(slots=3)
NODES = ("node-1", "node-2", "node-3")
SEEDS = 120


@pytest.fixture(scope="module")
def truth():
    """The testbed's noiseless tables."""
    return TESTBED.truth()


def placement_by(rng):
    """Nine containers, three a node, drawn."""
    drawn = rng.integers(0, len(TESTBED.space.apps), 9).reshape(3, 3)
    return np.stack([np.bincount(row, minlength=len(TESTBED.space.apps)) for row in drawn])


def tried(truth, placements, seed, noise=0.05, rounds=5, early=True):
    """The difference of the second placement from the first as a trial ends."""
    cluster = Cluster(TESTBED.space, 3)
    site = Rehearsal(cluster, truth, NODES, noise, seed, shared=0.2)
    apps = TESTBED.space.apps
    journal = TrialJournal(None, apps, NODES, (("a",), ("b",)), placements, dict.fromkeys(apps, 1.0))
    made = Rounds(site, journal, TrialSettings(rounds=rounds, early=early, seed=seed))
    made.run()
    return made.intervals()[1]


def true_difference(truth, placements):
    cluster = Cluster(TESTBED.space, 3)
    worth = np.zeros(TESTBED.space.size)
    first, second = (evaluate(one, cluster, truth, worth).rps for one in placements)
    return second - first


@pytest.mark.parametrize("early", [True, False])
def test_intervals_hold_the_true_difference_and_equal_placements_tie_in_95_of_100_trials(truth, early):
    rng, held, tied = np.random.default_rng(0), 0, 0
    for seed in range(SEEDS):
        one, other = placement_by(rng), placement_by(rng)
        found = tried(truth, (one, other), seed, early=early)
        held += found.holds(true_difference(truth, (one, other)))
        # the same co-locations, on other nodes
        tied += tried(truth, (one, one[[1, 2, 0]]), SEEDS + seed, early=early).holds(0.0)
    assert 0.9 <= held / SEEDS <= (1.0 if early else 0.99)
    assert 0.9 <= tied / SEEDS <= 0.99


def test_a_trial_that_goes_on_draws_what_it_would_have_drawn(truth):
    placement = placement_by(np.random.default_rng(1))
    whole = Rehearsal(Cluster(TESTBED.space, 3), truth, NODES, 0.05, 7)
    assert whole.deploy(placement) == 9
    assert whole.deploy(placement) == 0
    first, second = whole.measure(), whole.measure()
    again = Rehearsal(Cluster(TESTBED.space, 3), truth, NODES, 0.05, 7, done=1)
    again.deploy(placement)
    assert again.measure() == second != first


def test_alone_an_application_serves_what_counts_as_one_but_for_the_noise_of_a_load(truth):
    site = Rehearsal(Cluster(TESTBED.space, 3), truth, NODES, 0.03, 7, shared=0.04)
    logs = [np.log(site.alone("MMS").containers[0][3]) for _ in range(400)]
    assert site.done == 400
    assert np.std(logs) == pytest.approx(0.05, rel=0.1)
    assert np.mean(logs) == pytest.approx(0.0, abs=0.01)


def test_without_noise_the_truth_is_measured(truth):
    placement = placement_by(np.random.default_rng(2))
    site = Rehearsal(Cluster(TESTBED.space, 3), truth, NODES, 0.0, 7)
    site.deploy(placement)
    served = site.measure().containers
    assert [one[:2] for one in served] == [(node, slot) for node in NODES for slot in range(3)]
    judged = evaluate(placement, Cluster(TESTBED.space, 3), truth, np.zeros(TESTBED.space.size))
    assert np.mean([rps for *_, rps in served]) == pytest.approx(judged.rps)
