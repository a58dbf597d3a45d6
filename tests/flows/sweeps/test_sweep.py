"""Sweeps: when a command is one, what is refused before the first job, and a job that fails."""

import math
from dataclasses import replace

import pytest

from flows.configuration.compose import _composed, compose_plain
from flows.configuration.sections import TrackingSettings
from flows.sweeps.job import run_job
from flows.sweeps.sweep import is_sweep, run_sweep
from metis.errors import InputError
from tests.flows.conftest import settings_of


@pytest.mark.parametrize(
    ("words", "sweep"),
    [
        (["-m", "seed=0,1"], True),
        (["seed=0"], False),
        (["experiment=fanout"], True),
        (["+experiment=fanout"], True),
        (["experiment=quick"], False),
        (["experiment=nothing"], False),  # composing says what is wrong
    ],
)
def test_a_sweep_is_asked_for_by_a_flag_or_an_experiment(words, sweep):
    assert is_sweep(words) is sweep


def test_whether_it_is_a_sweep_costs_a_run_no_composing():
    """Reading the files of `conf/` takes a fifth of a second: the run composes of the same ones."""
    words = ["experiment=quick", "seed=3"]
    _composed.cache_clear()
    assert not is_sweep(words)
    compose_plain(words)
    assert _composed.cache_info().misses == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["cluster.nodes=3,0"], "cluster.nodes 0: "),
        (["cluster.nods=3,4"], "did you mean cluster.nodes"),
        (["objective=slo", "objective.levle=0.9,0.95"], "did you mean objective.level"),
        (["seed=range(0,2"], "range"),
    ],
)
def test_a_wrong_job_is_refused_before_the_first_runs(words, says, tmp_path):
    folder = tmp_path / "mlruns"
    with pytest.raises(InputError, match=says) as error:
        run_sweep(["-m", f"tracking.path={folder}", *words])
    assert "\n" not in str(error.value)
    assert not folder.exists()


def test_a_job_that_fails_is_recorded_with_its_reason_and_has_no_ratio(store, capfd):
    own = TrackingSettings(path=str(store.root), orchestrate=False)
    settings = replace(settings_of(), tracking=own, stages=("nostage",))
    with store.parent("a sweep", {}) as parent:
        assert math.isnan(run_job(parent, settings, ["seed=0", "experiment=quick"]))
    (job,) = store.children(parent)
    assert (job.name, job.status, job.folder) == ("seed=0", "FAILED", None)
    assert "'nostage' is not a stage of this chain" in job.error
    assert "metis: seed=0: 'nostage'" in capfd.readouterr().err
