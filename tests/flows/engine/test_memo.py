"""The memo: what is finished is found, the rest is made, once, whoever else needs it."""

import shutil
import signal
from dataclasses import replace

import pytest

from flows.configuration.sections import TrackingSettings
from flows.engine import memo as memos
from flows.engine.memo import InterruptedStepError, StepError
from flows.engine.store import Store
from metis.errors import InputError, SurroundingsError
from tests.flows.engine.steps import DOUBLE, DRAW, draw, memo_of, slow_draw
from tests.forked import Forked
from tests.waiting import wait_until


@pytest.fixture
def own(tmp_path, empty_database):
    """A new tracking store."""
    folder = tmp_path / "mlruns"
    folder.mkdir()
    shutil.copy(empty_database, folder)
    return Store(TrackingSettings(path=str(folder)))


def number_in(record):
    return int((record.folder / "double.json").read_text())


def test_what_is_missing_is_made_once_with_what_it_reads(own):
    memo = memo_of(own, DRAW, DOUBLE, seed=4)
    assert memo.find("double") is None
    assert number_in(memo.obtain("double")) == 8
    assert memo.done == ["draw", "double"]
    assert memo.obtain("double") is memo.obtain("double")

    later = memo_of(own, DRAW, DOUBLE, seed=4)
    assert later.find("double") == memo.records["double"]
    assert later.obtain("double") == memo.records["double"]
    assert later.done == []
    other = memo_of(own, DRAW, DOUBLE, seed=5)
    assert number_in(other.obtain("double")) == 10
    assert other.done == ["draw", "double"]


def test_again_redoes_a_step_and_nothing_after_it_where_the_output_is_the_same(own):
    memo_of(own, DRAW, DOUBLE, seed=4).obtain("double")
    memo = memo_of(own, DRAW, DOUBLE, seed=4)
    before = memo.find("draw")
    again = replace(memo_of(own, DRAW, DOUBLE, seed=4), again=("draw",))
    again.obtain("double")
    assert again.done == ["draw"]  # other seconds, the same number
    assert again.records["draw"].run_id != before.run_id
    assert again.records["draw"].digest == before.digest


def test_an_output_that_differs_redoes_what_reads_it(own):
    memo_of(own, DRAW, DOUBLE, seed=4).obtain("double")

    def shifted(work):
        work.write_json("number.json", work.settings.seed + 1)

    again = replace(memo_of(own, replace(DRAW, run=shifted), DOUBLE, seed=4), again=("draw",))
    assert number_in(again.obtain("double")) == 10
    assert again.done == ["draw", "double"]


def test_a_step_that_is_certain_to_fail_is_refused_before_what_it_reads_is_made(own):
    def check(settings):
        if settings.seed == 4:
            raise InputError("seed 4: give another one")

    refused = replace(DOUBLE, check=check)
    memo = memo_of(own, DRAW, refused, seed=4)
    with pytest.raises(InputError, match=r"^seed 4: give another one$"):
        memo.obtain("double")
    assert memo.done == []
    assert number_in(memo_of(own, DRAW, refused, seed=5).obtain("double")) == 10


def test_an_input_that_a_step_can_do_without_does_not_refuse_it(own):
    def check(settings):
        raise InputError("never")

    costly = replace(DRAW, check=check, costly=lambda settings: True)
    memo = memo_of(own, costly, replace(DOUBLE, optional=("draw",), run=lambda work: work.write_json("a", 1)))
    memo.obtain("double")
    assert memo.done == ["double"]


def test_a_run_knows_its_inputs_its_seconds_and_who_asked(own):
    memo = memo_of(own, DRAW, DOUBLE, seed=1)
    memo.command = "metis place tracking.uri=http://me:secret@host"
    record = memo.obtain("double")
    run = own._client.get_run(record.run_id)
    assert memo.records["draw"].run_id in run.data.tags["metis.inputs"]
    assert run.data.tags["metis.command"] == "metis place tracking.uri=http://me:***@host"
    assert record.cpu_seconds == pytest.approx(run.data.metrics["cpu_seconds"])


def test_an_unknown_stage_is_refused_with_those_there_are(own):
    with pytest.raises(InputError, match="'drow' is not a stage: use draw, double"):
        memo_of(own, DRAW, DOUBLE).step("drow")


def test_a_failure_is_one_line_with_its_step_and_the_exit_code_of_its_reason(own):
    def fails(error):
        def run(work):
            raise error

        return replace(DRAW, run=run)

    for error, says, code in (
        (InputError("give another"), "draw: give another", 2),
        (SurroundingsError("no host"), "draw: no host", 1),
        (ValueError("odd\nlines"), "draw: ValueError: odd lines (`metis status` names the log)", 1),
        (OSError(28, "No space left on device"), f"draw: {own.root}: No space left on device", 1),
    ):
        memo = memo_of(own, fails(error), DOUBLE)
        with pytest.raises(StepError) as failed:
            memo.obtain("double")
        assert (str(failed.value), failed.value.exit_code, failed.value.step) == (says, code, "draw")
        assert memo.done == []
        assert failed.value.goes_on is (code == 1)  # else the same command fails alike
    assert memo_of(own, DRAW, DOUBLE).find("draw") is None


def test_steps_that_others_can_do_without_are_left_out_where_they_are_costly(own):
    hours = replace(DRAW, costly=lambda settings: settings.seed == 7)
    optional = replace(
        DOUBLE, optional=("draw",), run=lambda work: work.write_json("inputs.json", sorted(work.inputs))
    )
    memo = memo_of(own, hours, optional, seed=7)
    assert not memo.affordable("draw")
    assert not memo.affordable("double")
    assert (memo.obtain("double").folder / "inputs.json").read_text() == "[]"
    assert memo.done == ["double"]

    memo_of(own, DRAW, seed=7).obtain("draw")
    memo = memo_of(own, hours, optional, seed=7)
    assert memo.affordable("draw")  # it is finished
    assert "draw" in (memo.obtain("double").folder / "inputs.json").read_text()
    cheap = memo_of(own, hours, optional, seed=8)
    assert cheap.affordable("draw")
    cheap.obtain("double")
    assert cheap.done == ["draw", "double"]


def test_steps_that_are_always_done_are_done_where_another_needs_them(own):
    always = replace(DRAW, always=lambda settings: True)
    follows = replace(DOUBLE, inputs=(), after=lambda settings: ("draw",))
    first = memo_of(own, always, follows)
    first.obtain("double")
    assert first.done == ["draw", "double"]
    later = memo_of(own, always, follows)
    later.obtain("double")
    assert later.done == []  # what follows is finished, so that it is not needed
    assert later.find("draw") is None


def test_an_interrupted_step_ends_at_its_next_report(own):
    reached = []

    def run(work):
        for done in range(3):
            work.progress("numbers", done, 3)
            reached.append(done)
            memo.interrupted.set()  # as Ctrl-C does, from the main thread
        draw(work)

    memo = memo_of(own, replace(DRAW, run=run))
    with pytest.raises(InterruptedStepError):
        memo.obtain("draw")
    assert reached == [0]
    runs = own._client.search_runs([own.experiment], "tags.`metis.step` = 'draw'")
    assert [(run.info.status, run.data.tags["metis.error"]) for run in runs] == [("KILLED", "interrupted")]
    assert memo_of(own, DRAW).find("draw") is None


def another_process(folder):
    """A process that is drawing the number, slowly."""
    process = Forked(folder, lambda: slowly(folder))
    wait_until((folder / "begun").exists, "it did not begin", process, 0.02)
    return process


def slowly(folder):
    """Draw the number as slowly as `folder/go` takes to appear."""
    store = Store(TrackingSettings(path=str(folder / "mlruns")))
    memo_of(store, slow_draw(folder)).obtain("draw")


def test_two_processes_that_need_a_step_make_it_once(own, tmp_path, monkeypatch):
    said = []

    def say(line):
        said.append(line)
        (tmp_path / "go").touch()  # the other one ends only when this one has said that it waits

    process = another_process(tmp_path)
    monkeypatch.setattr(memos, "say", say)
    memo = memo_of(own, slow_draw(tmp_path))
    memo.obtain("draw")
    assert said == ["draw: being drawn by another run, waiting"]
    assert memo.done == []
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert "draw: " in err
    assert len(own._client.search_runs([own.experiment], "tags.`metis.step` = 'draw'")) == 1


def test_a_process_that_was_killed_holds_up_nobody(own, tmp_path):
    process = another_process(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (tmp_path / "go").touch()
    memo = memo_of(own, slow_draw(tmp_path))
    memo.obtain("draw")
    assert memo.done == ["draw"]
    assert not list(own.root.glob(".stage-*"))
