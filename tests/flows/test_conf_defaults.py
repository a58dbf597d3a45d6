"""What `conf/` composes for our own learners is what their settings classes say, seeds aside."""

from dataclasses import asdict

import pytest

from baselines.constraints import ConstraintsSettings
from baselines.divide_conquer import DivideConquerSettings
from baselines.local_search import LocalSearchSettings
from baselines.medea import MedeaSettings
from baselines.optimum import OptimumSettings
from baselines.paragon import ParagonSettings
from baselines.vanilla_rl import VanillaRlSettings
from cluster.settings import (
    BuildSettings,
    ConnectSettings,
    DeploySettings,
    Ec2Settings,
    LaunchSettings,
    LoadSettings,
    WatchSettings,
)
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from metis.explore.settings import ExploreSettings
from metis.learn.paper.high_level import HighLevelSettings
from metis.learn.paper.sub_scheduler import SubSchedulerSettings
from metis.learn.value.settings import DealerSettings, DecodeSettings, ValueSettings


@pytest.mark.parametrize(
    ("section", "settings"),
    [
        ("optimum", OptimumSettings),
        ("local_search", LocalSearchSettings),
        ("constraints", ConstraintsSettings),
        ("medea", MedeaSettings),
        ("paragon", ParagonSettings),
        ("value", ValueSettings),
        ("dealer", DealerSettings),
        ("decode", DecodeSettings),
        ("paper", SubSchedulerSettings),
        ("highlevel", HighLevelSettings),
        ("vanilla_rl", VanillaRlSettings),
        ("divide_conquer", DivideConquerSettings),
        ("explore", ExploreSettings),
        ("connect", ConnectSettings),
        ("images", BuildSettings),
        ("launch", LaunchSettings),
        ("load", LoadSettings),
        ("ec2", Ec2Settings),
        ("deploy", DeploySettings),
        ("watch", WatchSettings),
    ],
)
def test_conf_agrees_with_the_settings_class(section, settings):
    composed = validated(compose_plain([]))
    assert asdict(getattr(composed, section).made()) == asdict(settings())
