"""Stages read what they declare and nothing else, and their keys are made of that."""

from dataclasses import replace

import pytest

from flows.configuration.settings import Settings
from flows.engine.declaration import Declared, Stage, UndeclaredSettingError, flattened
from flows.stages.chain import CHAIN, STAGES, all_steps
from tests.flows.conftest import settings_of

STAGE = Stage(
    name="sample",
    about="A sample.",
    run=lambda work: None,
    settings=("cluster.nodes", "groups", "existing", "report"),
    unkeyed=("groups.count", "runner.jobs"),
    inputs=("profile",),
    modules=("metis.problem.groups",),
)
DIGESTS = {"profile": "a"}


def key_of(stage=STAGE, digests=DIGESTS, **changed):
    return stage.step(replace(Settings(), **changed)).key(digests)


def test_declared_settings_are_read_as_they_are():
    chosen = Settings()
    seen = STAGE.step(chosen).settings()
    assert seen.cluster.nodes == chosen.cluster.nodes
    assert seen.groups == chosen.groups  # a whole section
    assert seen.groups.seed == chosen.groups.seed
    assert seen.runner.jobs == chosen.runner.jobs  # read, although it does not count


@pytest.mark.parametrize("name", ["seed", "cluster.slots", "optimum", "optimum.gap", "tracking.path"])
def test_another_setting_is_refused_with_the_stage_that_reads_it(name):
    seen = STAGE.step(Settings()).settings()
    section, _, key = name.partition(".")
    with pytest.raises(UndeclaredSettingError) as refused:
        getattr(getattr(seen, section), key)
    assert str(refused.value).startswith("stage sample reads '")
    assert section in str(refused.value)
    assert "add it to its settings" in str(refused.value)


def test_a_property_needs_what_it_reads_to_be_declared():
    chosen = settings_of("cluster=lab", "cluster.slots=2")
    assert Declared(chosen, ("cluster.kind",), "test").cluster.live
    with pytest.raises(UndeclaredSettingError, match=r"test reads 'cluster\.kind'"):
        _ = Declared(chosen, ("cluster.nodes",), "test").cluster.live


def test_declared_settings_cannot_be_changed():
    with pytest.raises(TypeError, match="cannot be changed"):
        STAGE.step(Settings()).settings().seed = 3


def test_a_key_changes_with_a_declared_setting_an_input_and_the_source():
    cluster = replace(Settings().cluster, nodes=5)
    assert key_of(cluster=cluster) != key_of()
    assert key_of(digests={"profile": "b"}) != key_of()
    assert key_of(replace(STAGE, modules=("metis.problem.rules",))) != key_of()
    assert key_of(replace(STAGE, name="another")) != key_of()
    derived = {"truth": lambda settings: settings.seed}
    assert key_of(replace(STAGE, derived=derived)) != key_of()
    assert key_of(replace(STAGE, derived=derived), seed=1) != key_of(replace(STAGE, derived=derived))


def test_a_key_does_not_change_with_what_has_no_say():
    same = key_of()
    assert key_of(seed=9) == same  # undeclared
    assert key_of(report="page.html") == same  # written
    assert key_of(groups=replace(Settings().groups, count=3)) == same  # unkeyed
    assert key_of(runner=replace(Settings().runner, jobs=7)) == same
    assert key_of(groups=replace(Settings().groups, seed=3)) != same


def test_a_file_counts_by_its_content(tmp_path):
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text("a\n1\n")
    second.write_text("a\n1\n")
    assert key_of(existing=str(first)) == key_of(existing=str(second)) != key_of()
    before = key_of(existing=str(first))
    first.write_text("a\n2\n")
    assert key_of(existing=str(first)) != before


def test_nested_values_by_dotted_name():
    assert flattened({"a": {"b": 1, "c": {}}, "d": [1]}) == {"a.b": 1, "a.c": {}, "d": [1]}


@pytest.mark.parametrize("stage", CHAIN, ids=lambda stage: stage.name)
def test_every_stage_says_what_it_does_and_names_modules_that_exist(stage):
    assert stage.about.endswith(".")
    assert stage.doing
    assert stage is STAGES[stage.name]
    for words in ([], ["profile=explore"], LIVE):
        chosen = settings_of(*words)
        for step in stage.steps(chosen) or [stage.step(chosen, PARTS.get(stage.name, ""))]:
            assert step.key(dict.fromkeys(step.inputs, ""))  # which reads the source of every module
            assert {name.partition("/")[0] for name in (*step.inputs, *step.after)} <= set(STAGES)


PARTS = {"subscheduler": "value", "highlevel": "metis", "baselines": "greedy"}
LIVE = ["cluster=lab", "testbed=swarm", "apps.names=[Redis,MMS]"]


def test_inputs_stand_before_what_reads_them():
    for words in (["profile=explore"], LIVE):
        seen = set()
        for step in all_steps(settings_of(*words)):
            assert {*step.inputs, *step.after} <= seen, step.name
            seen.add(step.name)
