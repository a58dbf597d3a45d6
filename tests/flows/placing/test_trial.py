"""The placements of a trial, what is predicted of them, and what it finds."""

import pytest

from flows.configuration.objects import make_cluster
from flows.placing.tables import known_in
from flows.placing.trial import contenders, contest_of, predictions, rehearsal, trial_steps
from metis.errors import InputError
from metis.operate.trial_journal import TrialJournal
from metis.problem.evaluation import evaluate
from tests.flows.conftest import settings_of

TRIED = ("schedulers=[greedy+local_search,greedy,spread]", "group.counts={Redis:3,MMS:3,ISR:3}")


def inputs_of(memo):
    return {name: memo.obtain(name).folder for name in ("simulator", *trial_steps(memo.settings))}


def test_a_trial_needs_two_schedulers():
    with pytest.raises(
        InputError, match=r"schedulers \[metis,metis\]: metis stands twice, a trial needs two at least"
    ):
        contenders(settings_of("schedulers=[metis,metis]"))
    assert contenders(settings_of("schedulers=[metis,spread,metis]")) == ("metis", "spread")


def test_those_that_place_alike_share_a_placement_and_what_is_predicted_is_the_evaluation(memo_of):
    memo = memo_of(*TRIED)
    inputs = inputs_of(memo)
    known = known_in(inputs["simulator"])
    contest = contest_of(inputs, memo.settings, known.tables.space)
    names = [name for group in contest.schedulers for name in group]
    assert sorted(names) == sorted(memo.settings.schedulers)
    assert len(contest.placements) == len(contest.schedulers) >= 2
    nodes = tuple(f"node-{i}" for i in range(1, 7))
    journal = TrialJournal(None, known.tables.space.apps, nodes, contest.schedulers, contest.placements)
    found = predictions(memo.settings, known, journal)
    cluster = make_cluster(memo.settings, known.tables.space)
    for one, placement in zip(found, contest.placements, strict=True):
        judged = evaluate(placement, cluster, known.tables, known.tables.rps.sum(axis=1))
        assert one.mean == pytest.approx(judged.rps)
        assert len(one.drawn) == 0  # a table knows nothing of its errors
    other = TrialJournal(None, ("a", "b"), nodes, contest.schedulers, contest.placements)
    assert predictions(memo.settings, known, other) == []


def test_where_all_place_alike_there_is_nothing_to_try(memo_of):
    memo = memo_of("schedulers=[greedy,spread]", "group.counts={Redis:1}")
    inputs = inputs_of(memo)
    said = r"nothing to try: greedy, spread all place alike \(1 Redis\)"
    with pytest.raises(InputError, match=said):
        contest_of(inputs, memo.settings, known_in(inputs["simulator"]).tables.space)


def test_without_a_cluster_and_without_a_truth_nothing_is_tried(memo_of):
    memo = memo_of(*TRIED)
    known = known_in(memo.obtain("simulator").folder)
    cluster = make_cluster(memo.settings, known.tables.space)
    with pytest.raises(InputError, match="a trial without a live cluster is rehearsed on a testbed"):
        rehearsal(memo.settings, cluster, (), 0)
