"""The settings classes of schedulers and learners: pydantic makes them, every key has a meaning."""

import pytest
from pydantic import TypeAdapter, ValidationError

from baselines.constraints import ConstraintsSettings
from baselines.divide_conquer import DivideConquerSettings
from baselines.local_search import LocalSearchSettings
from baselines.medea import MedeaSettings
from baselines.optimum import OptimumSettings
from baselines.paragon import ParagonSettings
from baselines.vanilla_rl import VanillaRlSettings
from metis.learn.paper.high_level import HighLevelSettings
from metis.learn.paper.sub_scheduler import SubSchedulerSettings
from metis.learn.value.settings import DealerSettings, DecodeSettings, ValueSettings
from metis.settings import meanings

KINDS = [
    ConstraintsSettings,
    DealerSettings,
    DecodeSettings,
    DivideConquerSettings,
    HighLevelSettings,
    LocalSearchSettings,
    MedeaSettings,
    OptimumSettings,
    ParagonSettings,
    SubSchedulerSettings,
    ValueSettings,
    VanillaRlSettings,
]
LEARNERS = [DivideConquerSettings, HighLevelSettings, SubSchedulerSettings, VanillaRlSettings]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_given_is_the_defaults_there_and_back(kind):
    adapter = TypeAdapter(kind)
    assert adapter.validate_python({}) == kind()
    assert adapter.validate_json(adapter.dump_json(kind())) == kind()


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_has_a_meaning_and_no_other_is_accepted(kind):
    assert not [name for name, meaning in meanings(kind).items() if not meaning]
    with pytest.raises(ValidationError, match="nope"):
        TypeAdapter(kind).validate_python({"nope": 1})


@pytest.mark.parametrize("kind", LEARNERS)
def test_one_key_of_the_learning_leaves_the_other_defaults_as_they_are(kind):
    learn = TypeAdapter(kind).validate_python({"learn": {"hidden": 7}}).learn
    assert {**vars(learn), "hidden": 128} == vars(kind().learn)
    assert not [name for name, meaning in meanings(type(learn)).items() if not meaning]


def test_weights_of_medea_come_from_lists():
    chosen = TypeAdapter(MedeaSettings).validate_python({"weights": [["Redis", "MMS", 3]]})
    assert chosen.weights == (("Redis", "MMS", 3.0),)
