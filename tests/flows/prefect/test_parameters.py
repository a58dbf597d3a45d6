"""Parameters of deployments as overrides, and what the schema of a deployment admits."""

import re

import pytest
from pydantic import TypeAdapter, ValidationError

from flows.prefect.parameters import Overrides, Step, base_words, composed, override_pattern, words_of
from flows.prefect.variables import BASE
from metis.errors import InputError


def test_parameters_become_the_words_of_a_command():
    words = words_of(["seed=3"], ["profile", "simulator"], ["baselines/greedy"], "evaluate", "small")
    assert words == [
        "size=small",
        "seed=3",
        "stages=['profile','simulator']",
        "rerun=['baselines/greedy']",
        "until=evaluate",
    ]
    assert words_of([], None, (), None, None) == []
    chosen = composed(words)
    assert (chosen.cluster.nodes, chosen.seed, chosen.until) == (27, 3, "evaluate")
    assert (chosen.stages, chosen.rerun) == (("profile", "simulator"), ("baselines/greedy",))


def test_words_of_the_process_come_first(monkeypatch):
    monkeypatch.setenv(BASE, "size=small 'out=a b'")
    assert base_words() == ["size=small", "out=a b"]
    assert composed(["cluster.nodes=5"]).cluster.nodes == 5
    assert composed([]).cluster.nodes == 27


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("seed=3", True),
        ("+experiment=quick", True),
        ("simulator=forest", True),
        ("objective.level=0.9", True),
        ("rules.at_most.Redis=2", True),
        ("cluster.nods=3", False),
        ("colour=red", False),
        ("seed", False),
    ],
)
def test_the_schema_knows_the_settings(word, known):
    assert bool(re.search(override_pattern(), word)) is known


def test_values_out_of_range_are_refused_by_composing():
    with pytest.raises(ValidationError, match=r"cluster\.nodes 0"):
        TypeAdapter(Overrides).validate_python(["cluster.nodes=0"])
    with pytest.raises(InputError, match=r"cluster\.nodes 0"):
        composed(["cluster.nodes=0"])


@pytest.mark.parametrize("step", ["profile", "highlevel", "baselines/greedy+local_search"])
def test_steps_may_name_a_part(step):
    assert TypeAdapter(Step).validate_python(step) == step


@pytest.mark.parametrize("step", ["nostage", "baselines/'", "profiles"])
def test_other_steps_are_refused(step):
    with pytest.raises(ValidationError):
        TypeAdapter(Step).validate_python(step)
