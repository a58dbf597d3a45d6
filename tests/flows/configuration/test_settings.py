"""Every file under conf/ composes and validates."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest
import yaml

import conf
from flows.configuration.compose import compose_plain
from flows.configuration.settings import Settings, plain, validated
from flows.stages.chain import all_steps
from metis.errors import InputError

CONF = Path(conf.__file__).parent
FILES = sorted(path.relative_to(CONF) for path in CONF.glob("*/*.yaml"))
EXPERIMENTS = [path.stem for path in FILES if path.parent.name == "experiment"]


def test_there_is_something_to_compose():
    assert "quick" in EXPERIMENTS
    assert len(FILES) > 15


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_option_composes_validates_and_plans(path):
    words = [f"{path.parent.as_posix()}={path.stem}"]
    # where a file is needed, any name will do: composing reads none
    words += [f"{path.parent}.path=a b.npz"] if path.stem == "file" else []
    words += ["cluster.inventory=hosts.yaml", "apps.names=[Redis,MMS]"] if path.stem == "hosts" else []
    words += ["cluster=lab"] if path.as_posix() == "testbed/swarm.yaml" else []
    chosen = validated(compose_plain(words))
    names = [step.name for step in all_steps(chosen)]
    # other stages may come between, but these keep their order
    spine = ("setup", "profile", "simulator", "baselines/optimum", "evaluate", "report")
    assert [name for name in names if name in spine] == list(spine)
    assert names[-1] == "report"
    assert chosen.objective.name


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_says_how_it_is_run(name):
    text = (CONF / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    assert f"experiment={name}" in "\n".join(text.splitlines()[:6])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_overrides_only_what_is_there(name):
    """Settings an experiment names must be settings; a typo in it would fail here."""
    given = yaml.safe_load((CONF / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")) or {}
    known = {field.name for field in fields(Settings)}
    for key in given:
        assert key in known or key in {"defaults", "hydra"}, key


def test_the_seed_reaches_every_part_that_draws():
    one, other = (compose_plain([f"seed={seed}"]) for seed in (1, 2))
    for section in ("profile", "simulator", "groups"):
        assert (one[section]["seed"], other[section]["seed"]) == (1, 2)
    assert compose_plain(["seed=1", "groups.seed=9"])["groups"]["seed"] == 9


def test_settings_do_not_change_after_composing():
    chosen = validated(compose_plain([]))
    with pytest.raises(FrozenInstanceError):
        chosen.seed = 4


def test_what_the_files_say_is_what_the_code_defaults_to():
    """A notebook that builds `Settings()` gets what the command gets."""
    composed = plain(validated(compose_plain([])))
    default = plain(Settings())
    for section in (
        "cluster",
        "apps",
        "testbed",
        "objective",
        "rules",
        "group",
        "groups",
        "optimum",
        "tracking",
    ):
        assert composed[section] == default[section], section


def test_a_mapping_is_needed():
    with pytest.raises(InputError, match="nope"):
        validated({"nope": 1})
