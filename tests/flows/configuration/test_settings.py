"""Defaults stand in code; every file under conf/ composes, validates and changes something."""

from dataclasses import FrozenInstanceError, fields
from functools import cache
from pathlib import Path

import pytest
import yaml

import conf
from flows.configuration.compose import compose_plain
from flows.configuration.settings import Settings, defaults, known_keys, plain, validated
from flows.stages.chain import all_steps
from metis.errors import InputError
from metis.problem.objectives import OBJECTIVES, SloShare
from tests.flows.conftest import settings_of

CONF = Path(conf.__file__).parent
FILES = sorted(path.relative_to(CONF) for path in CONF.glob("*/*.yaml"))
EXPERIMENTS = [path.stem for path in FILES if path.parent.name == "experiment"]
# where a file is needed, any name will do: composing reads none
NEEDED = {
    "profile/file.yaml": ["profile.path=a b.npz"],
    "testbed/file.yaml": ["testbed.path=a b.npz"],
    "testbed/swarm.yaml": ["cluster=lab"],
    "testbed/synthetic.yaml": ["apps.count=3"],
    "cluster/hosts.yaml": ["cluster.inventory=hosts.yaml", "apps.names=[Redis,MMS]"],
}
# the others set their own section alone: Hydra composes one of each group at once, a quarter of a second
ALONE = [
    path for path in FILES if path.as_posix() in NEEDED or "@package" in (CONF / path).read_text("utf-8")
]
# defaults under a name of their own, for sweeps over a parameter
SAME = (["free_10", "free_nodes"], ["slo", "slo_095"], ["random_20", "testbed"])


def word_of(path):
    return f"{path.parent.as_posix()}={path.stem}"


@cache
def beside_others():
    """The composed section of each file that sets no other, by file."""
    waiting = {}
    for path in FILES:
        if path not in ALONE:
            waiting.setdefault(path.parent.name, []).append(path)
    found = {}
    while waiting:
        chosen = {group: paths.pop() for group, paths in waiting.items()}
        composed = compose_plain([word_of(path) for path in chosen.values()])
        found |= {path: composed[group] for group, path in chosen.items()}
        waiting = {group: paths for group, paths in waiting.items() if paths}
    return found


def composed_of(path):
    """What one file under conf/ makes of the defaults, as plain values."""
    if path in ALONE:
        return compose_plain([word_of(path), *NEEDED.get(path.as_posix(), ())])
    return {**compose_plain([]), path.parent.name: beside_others()[path]}


@pytest.mark.parametrize("name", ["objective/slo_095", "profile/mixes", "watch/metrics"])
def test_a_file_that_sets_its_own_section_composes_alone_as_beside_others(name):
    path = Path(f"{name}.yaml")
    assert path in beside_others()
    assert composed_of(path) == compose_plain([word_of(path)])


def test_without_overrides_the_settings_are_those_of_the_code():
    """What the default option of a group says otherwise would be a second default of the same key."""
    assert settings_of() == Settings()
    assert validated(plain(Settings())) == Settings()
    assert set(defaults()) == {one.name for one in fields(Settings)}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_option_composes_validates_and_plans(path):
    chosen = validated(composed_of(path))
    names = [step.name for step in all_steps(chosen)]
    # other stages may come between, but these keep their order; `optimum` is not offered where nodes differ
    reference = "baselines/columns" if chosen.by_oracle else "baselines/optimum"
    profiled = () if chosen.simulator.kind == "testbed" else ("profile",)
    spine = ("setup", *profiled, "simulator", reference, "evaluate", "report")
    assert [name for name in names if name in (*spine, "profile")] == list(spine)
    assert chosen.objective.name


@pytest.mark.parametrize("group", sorted({path.parent.name for path in FILES}))
def test_the_options_of_a_group_differ(group):
    """A file says only what a variant changes: no two of a group compose to the same."""
    options = [path for path in FILES if path.parent.name == group]
    composed = {}
    for path in options:
        composed.setdefault(str(plain(validated(composed_of(path)))), []).append(path.stem)
    alike = [names for names in composed.values() if len(names) > 1]
    assert all(names in SAME for names in alike), alike


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_parameters_of_an_objective_have_their_defaults_in_its_class_alone(kind):
    assert yaml.safe_load((CONF / "objective" / f"{kind}.yaml").read_text(encoding="utf-8")) == {"kind": kind}
    assert settings_of(f"objective={kind}").objective == OBJECTIVES[kind]()


def test_parameters_of_an_objective_are_set_with_or_without_a_plus():
    for word in ("objective.level=0.8", "+objective.level=0.8"):
        assert settings_of("objective=slo", word).objective == SloShare(0.8)
    with pytest.raises(InputError, match=r"objective\.levle: slo has no .*did you mean objective\.level\?"):
        settings_of("objective=slo", "objective.levle=0.8")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_says_how_it_is_run_and_names_only_settings(name):
    text = (CONF / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    assert f"experiment={name}" in "\n".join(text.splitlines()[:6])
    given = yaml.safe_load(text) or {}
    assert set(given) <= {one.name for one in fields(Settings)} | {"defaults", "hydra"}


def test_groups_that_set_several_sections_come_after_those_they_override():
    """What `cluster=lab` says of profile, apps or groups must not be undone by these groups' defaults."""
    listed = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    names = [next(iter(entry)) for entry in listed if isinstance(entry, dict)]
    assert names[-3:] == ["cluster", "size", "experiment"]
    lab = settings_of("cluster=lab")
    assert (lab.profile.choose, lab.group.size, lab.groups.count) == ("all", 4, 1)
    assert lab.cluster.nodes == lab.cluster.workers == 2


def test_the_seed_reaches_every_part_that_draws():
    one, other = (compose_plain([f"seed={seed}"]) for seed in (1, 2))
    for section in ("profile", "simulator", "groups"):
        assert (one[section]["seed"], other[section]["seed"]) == (1, 2)
    assert compose_plain(["seed=1", "groups.seed=9"])["groups"]["seed"] == 9


def test_settings_do_not_change_after_composing():
    with pytest.raises(FrozenInstanceError):
        settings_of().seed = 4


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("group.sze", "group.size"),
        ("cluster.node", "cluster.nodes"),
        ("schedulrs", "schedulers"),
    ],
)
def test_an_unknown_key_comes_with_the_nearest(given, near):
    for words in ([f"{given}=3"], [f"+{given}=3"]):
        with pytest.raises(InputError, match=rf"^{given}: there is no such setting; did you mean {near}\?"):
            settings_of(*words)


def test_an_unknown_section_comes_with_the_nearest():
    with pytest.raises(InputError, match=r"^simulater\.trees: .* did you mean simulator\.trees\?"):
        settings_of("simulater.trees=3")
    with pytest.raises(InputError, match=r"^simulater: there is no such setting; did you mean simulator\?"):
        settings_of("+simulater.trees=3")


def test_an_unknown_key_of_a_mapping_is_refused():
    with pytest.raises(InputError, match="nope: there is no such setting"):
        validated({"nope": 1})
    assert "cluster.nodes" in known_keys()


def test_a_run_explores_by_default():
    """The paper's random fifth is a comparison: it leaves every scheduler at 94 to 98 % of the optimum."""
    settings = settings_of()
    assert settings.profile.kind == "explore"
    assert settings.explore.budget <= 150
    assert settings.simulator.kind == "ensemble"
    assert settings.sample.share == 0.2


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("moves=-1", "^moves -1: give at least 0"),
        ("schedulers=[]", r"^schedulers \[\]: give at least 1 of them"),
        (
            "cluster.types=[{nme:a,count:2}]",
            r"^cluster\.types\.0\.nme: there is no such setting; did you mean",
        ),
        ("moves=[5,-3]", "^moves.1 -3: give at least 0"),
        ("moves=few", "^moves 'few': give a whole number"),
        ("move_cost=-1", "^move_cost -1: give at least 0"),
        ("move_cost={Redis: -1}", r"^move_cost\.Redis -1: give at least 0"),
        ("rebalance.startup=-1", r"^rebalance\.startup -1: give at least 0"),
        ("rebalance.startup={MMS: x}", r"^rebalance\.startup\.MMS 'x': give a number"),
    ],
)
def test_a_value_of_several_kinds_is_refused_as_what_it_was_meant(word, says):
    with pytest.raises(InputError, match=says):
        settings_of(word)
