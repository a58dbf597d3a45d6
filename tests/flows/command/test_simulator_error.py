"""What verbs say of the simulator's own error, where only part of the co-locations was measured."""

import pytest

from flows.command.comparison import comparison_document, error_lines
from flows.command.placed import place
from flows.command.verbs.place import _views
from flows.report.intervals import drawn_columns
from flows.stages.evaluate import read_results
from metis.measure.profile_files import load_profile

WORDS = [
    "simulator=ensemble",
    "simulator.held_out=0",
    "schedulers=[optimum,greedy,spread]",
    "scheduler=greedy",
]


@pytest.fixture(scope="module")
def partial(memo_of, full_profile, tmp_path_factory):
    """Open a memo of the small chain on every third co-location and the stand-alone ones."""
    whole = load_profile(full_profile)
    rows = [i for i, row in enumerate(whole.colocations) if row.sum() == 1 or i % 3 == 0]
    path = tmp_path_factory.mktemp("partial") / "partial.npz"
    whole.rows(rows).save(path)
    return lambda *words: memo_of(f"profile.path={path}", *WORDS, *words)


def test_place_shows_its_error_and_its_gain(partial):
    placed = place(partial())
    found = placed.document
    assert 0 < found["simulator_error"] < 0.3
    gain = found["predicted_gain"]
    assert gain["scheduler"] == "spread"
    assert gain["within_simulator_error"] == (abs(gain["mean"]) <= gain["half_width"])
    assert "simulator's error" in _views(placed)[0].values
    # of spread itself there is no gain, and that is within any error
    own = place(partial("scheduler=spread"))
    assert own.gain == (pytest.approx(0), pytest.approx(0))
    assert "within the simulator's error" in _views(own)[0].values["gain over spread"]


@pytest.mark.filterwarnings("error")
def test_a_gain_over_what_may_be_worth_nothing_is_not_known(partial):
    """It was `+33.3% ± nan%` below two warnings of numpy's."""
    placed = place(partial("objective=slo_100", "scheduler=optimum", "group.size=18"))
    assert placed.error > 0
    assert placed.gain is None
    assert "gain over spread" not in _views(placed)[0].values


def test_caution_lowers_what_is_predicted_and_not_what_could_be_true(partial):
    mean, careful = (place(partial(f"simulator.caution={caution}")) for caution in (0, 2))
    assert careful.judged.value < mean.judged.value
    assert place(partial()).judged.value == mean.judged.value  # null is 0 of a fit to a profile


def test_a_comparison_says_what_is_within_the_error(partial):
    memo = partial()
    results = read_results(memo.obtain("evaluate").folder)
    assert len(drawn_columns(results)) == 24
    document = comparison_document(results)["schedulers"]
    lead = document["greedy"]["to_the_next"]
    assert lead["predicted"].keys() == {"mean", "half_width", "within_simulator_error"}
    assert document["greedy"]["predicted_value"]["half_width"] > 0
    (line,) = error_lines(results)
    assert line.text.startswith("Of greedy the simulator predicts")
    runs = memo.store._client.search_runs([memo.store.experiment], "tags.`metis.stage` = 'scheduler'")
    assert not any(name.startswith("drawn_") for run in runs for name in run.data.metrics)


def test_what_was_measured_in_full_has_no_error(memo_of):
    placed = place(memo_of("scheduler=greedy"))
    assert placed.error is None
    assert "simulator_error" not in placed.document
