"""Settings that are accepted have an effect for the verb; others are refused in one line."""

import re
import shlex
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

import flows
from flows.command.commands import VERBS
from flows.command.request import EVERY, read_by, refuse_without_effect, request_of
from flows.configuration.sections import (
    ClusterSettings,
    DemandSettings,
    GroupSettings,
    GroupsSettings,
    ProfileSettings,
)
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
        ("constraints", "value.steps=3"),
        ("import-profile", "cluster.nodes=3"),
        ("explore", "placement=plan.json"),
        ("undeploy", "deploy.at_once=2"),
        ("undeploy", "placement=plan.json"),
        ("gc", "group.size=3"),
        ("ui", "group.size=3"),
        ("run", "out=plan.json"),
        ("run", "why=node-7"),
        ("status", "gc.delete=true"),
        ("serve", "format=csv"),
    ],
)
def test_a_setting_without_effect_is_refused(verb, word):
    key = word.partition("=")[0]
    with pytest.raises(InputError, match=rf"^{key}: has no effect for `metis {verb}`$"):
        refuse_without_effect(verb, verb_of(verb), [word], Settings())


@pytest.mark.parametrize("verb", ["place", "explain", "trial"])
def test_a_verb_that_places_one_group_refuses_a_number_of_them(verb):
    with pytest.raises(
        InputError, match=rf"^groups\.count: has no effect for `metis {verb}`, which places one"
    ):
        refuse_without_effect(verb, verb_of(verb), ["groups.count=3"], Settings())


@pytest.mark.parametrize(
    ("verb", "settings"),
    [
        ("place", Settings(groups=GroupsSettings(count=1))),
        ("place", Settings(groups=GroupsSettings(count=3, skewed=True))),
        ("place", Settings(demand=DemandSettings(kind="run"))),
        ("trial", Settings(cluster=ClusterSettings(kind="lab", slots=3))),
        ("trial", Settings(group=GroupSettings(counts=(1, 2)))),
        ("compare", Settings()),
    ],
)
def test_a_number_of_groups_is_accepted_where_it_is_read(verb, settings):
    refuse_without_effect(verb, verb_of(verb), ["groups.count=3"], settings)


def test_an_experiment_may_hold_a_number_of_groups():
    refuse_without_effect("place", verb_of("place"), ["experiment=quick"], Settings())


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (
            "place",
            ["out=plan.json", "existing=e.csv", "group.size=3", "simulator=forest", "+experiment=quick"],
        ),
        ("place", ["value.steps=3", "decode.order=given", "rules.at_most={ISR:2}", "objective=slo"]),
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


def reading(*schedulers):
    return replace(Settings(), scheduler=schedulers[0], schedulers=schedulers)


@pytest.mark.parametrize(
    ("verb", "schedulers", "word", "which"),
    [
        ("place", ("greedy",), "medea.draws=3", "scheduler=greedy"),
        ("place", ("greedy",), "value.steps=3", "scheduler=greedy"),
        ("place", ("greedy",), "local_search.restarts=3", "scheduler=greedy"),
        ("place", ("metis",), "paper.steps=3", "scheduler=metis"),
        ("explain", ("paragon",), "medea.draws=3", "scheduler=paragon"),
        ("compare", ("optimum", "greedy"), "medea.draws=3", "optimum, greedy"),
    ],
)
def test_a_setting_of_a_scheduler_that_does_not_place_is_refused(verb, schedulers, word, which):
    key = word.partition("=")[0]
    with pytest.raises(InputError, match=rf"^{key}: has no effect for `metis {verb}` with {which}$"):
        refuse_without_effect(verb, verb_of(verb), [word], reading(*schedulers))


@pytest.mark.parametrize(
    ("verb", "schedulers", "word"),
    [
        ("place", ("medea",), "medea.draws=3"),
        ("place", ("medea",), "constraints.threshold=0.2"),
        ("place", ("greedy+local_search",), "local_search.restarts=3"),
        ("place", ("metis-paper",), "paper.steps=3"),
        ("place", ("greedy",), "optimum.gap=0.1"),  # the bound beside every result
        ("compare", ("greedy", "medea"), "medea.draws=3"),
    ],
)
def test_a_setting_of_a_scheduler_that_places_is_accepted(verb, schedulers, word):
    refuse_without_effect(verb, verb_of(verb), [word], reading(*schedulers))


SITE_VERBS = (
    "place",
    "compare",
    "explore",
    "explain",
    "constraints",
    "deploy",
    "undeploy",
    "watch",
    "export",
    "rebalance",
    "cluster",
    "lab",
)


@pytest.mark.parametrize("verb", SITE_VERBS)
def test_the_words_of_a_site_fit_every_verb_that_works_on_it(verb):
    """The words that docs/real-cluster.md keeps in a list of the shell."""
    page = (Path(flows.__file__).parents[1] / "docs" / "real-cluster.md").read_text(encoding="utf-8")
    words = shlex.split(re.search(r"^SITE=\((.*?)\)$", page, re.MULTILINE | re.DOTALL)[1])
    assert len(words) > 7
    assert {"place", "explore", "deploy", "undeploy", "export"} <= set(SITE_VERBS)
    refuse_without_effect(verb, verb_of(verb), words, Settings())
    refuse_without_effect(verb, verb_of(verb), ["testbed.noise=0", "rules.at_most={ISR:2}"], Settings())
    exploring = replace(Settings(), profile=ProfileSettings(kind="explore"))
    refuse_without_effect(verb, verb_of(verb), ["explore.budget=60"], exploring)


@pytest.mark.parametrize("verb", ["place", "run"])
def test_hydras_own_settings_are_those_of_a_sweep(verb):
    with pytest.raises(InputError, match=r"hydra\.run\.dir: has no effect but in a sweep"):
        request_of(verb, verb_of(verb), ["hydra.run.dir=x"])


@pytest.mark.parametrize("verb", VERBS)
def test_everything_that_a_verbs_stages_read_is_accepted(verb):
    found = verb_of(verb)
    for scheduler in ("metis", "medea", "greedy+local_search", "metis-paper"):
        # of more than one group the number is refused where one is placed
        settings = replace(reading(scheduler), groups=GroupsSettings(count=1))
        reads = read_by(found, settings)
        if reads == EVERY:
            return
        words = [
            f"{key}=x" for key in known_keys() if any(key == r or key.startswith(f"{r}.") for r in reads)
        ]
        refuse_without_effect(verb, found, words, settings)
        for name in found.stages:
            stage = STAGES[name]
            for part in stage.parts(settings) if stage.parts else ("",):
                step = stage.step(settings, part)
                words = [f"{key}=x" for key in (*step.declared, *step.unkeyed)]
                refuse_without_effect(verb, found, words, settings)


@pytest.mark.parametrize(
    ("word", "readers"),
    [
        ("subscheduler=all_paper", "metis-paper"),
        ("highlevel=all_paper", "metis-paper or vanilla_rl or divide_conquer"),
    ],
)
def test_a_variant_that_no_scheduler_reads_is_refused(word, readers):
    run = verb_of("run")
    with pytest.raises(InputError, match=f"{word}: no scheduler of this run reads it; add {readers}"):
        request_of("run", run, [word])
    assert request_of("run", run, [word, "schedulers=[metis-paper]"]).settings.schedulers == ("metis-paper",)
