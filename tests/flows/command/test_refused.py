"""Settings that are accepted have an effect for the verb; others are refused in one line."""

from importlib import import_module

import pytest

from flows.command.main import VERBS
from flows.command.request import EVERY, read_by, refuse_without_effect, request_of
from flows.configuration.settings import Settings, known_keys
from flows.stages.chain import STAGES
from metis.errors import InputError


def verb_of(name):
    return import_module(f"flows.command.verbs.{name.replace('-', '_')}").VERB


@pytest.mark.parametrize(
    ("verb", "word"),
    [
        ("place", "schedulers=[greedy]"),
        ("place", "report=x.html"),
        ("place", "watch.looks=3"),
        ("place", "stages=[profile]"),
        ("export", "value.steps=3"),
        ("export", "explore.budget=5"),
        ("place", "explore.budget=5"),
        ("constraints", "value.steps=3"),
        ("import-profile", "cluster.nodes=3"),
        ("explore", "simulator.trees=3"),
        ("gc", "group.size=3"),
        ("ui", "group.size=3"),
    ],
)
def test_a_setting_without_effect_is_refused(verb, word):
    key = word.partition("=")[0]
    with pytest.raises(InputError, match=rf"^{key}: has no effect for `metis {verb}`$"):
        refuse_without_effect(verb, verb_of(verb), [word], Settings())


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (
            "place",
            ["out=plan.json", "existing=e.csv", "group.size=3", "simulator=forest", "+experiment=quick"],
        ),
        ("place", ["medea.formulation=container", "value.steps=3", "rules.at_most={ISR:2}", "objective=slo"]),
        ("place", ["output=json", "seed=3", "tracking.path=x", "cluster=lab", "size=small"]),
        ("compare", ["schedulers=[greedy]", "groups.count=3", "testbed.noise=0"]),
        ("explain", ["placement=plan.json", "constraints.threshold=0.1"]),
        ("explore", ["explore.budget=5", "out=mine.npz", "testbed.path=p.npz"]),
        ("export", ["placement=plan.json", "format=csv", "out=x", "launch.cpus=1"]),
        ("run", ["watch.looks=3", "report=x.html"]),
    ],
)
def test_what_a_verb_reads_is_accepted(verb, words):
    refuse_without_effect(verb, verb_of(verb), words, Settings())


@pytest.mark.parametrize("verb", ["place", "run"])
def test_hydras_own_settings_are_those_of_a_sweep(verb):
    with pytest.raises(InputError, match=r"hydra\.run\.dir: has no effect but in a sweep"):
        request_of(verb, verb_of(verb), ["hydra.run.dir=x"])


@pytest.mark.parametrize("verb", VERBS)
def test_everything_that_a_verbs_stages_read_is_accepted(verb):
    found = verb_of(verb)
    reads = read_by(found, Settings())
    if reads == EVERY:
        return
    words = [f"{key}=x" for key in known_keys() if any(key == r or key.startswith(f"{r}.") for r in reads)]
    refuse_without_effect(verb, found, words, Settings())
    for name in found.stages:
        stage = STAGES[name]
        parts = stage.parts(Settings()) if stage.parts else ("",)
        for part in parts:
            step = stage.step(Settings(), part)
            for key in (*step.declared, *step.unkeyed):
                refuse_without_effect(verb, found, [f"{key}=x"], Settings())
