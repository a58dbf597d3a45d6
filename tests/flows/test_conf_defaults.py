"""What `conf/` composes for our own learners is what their settings classes say, seeds aside."""

from dataclasses import asdict

import pytest

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
from metis.learn.value.dealer_learner import DealerSettings
from metis.learn.value.scheduler import ValueScheduler
from metis.learn.value.settings import ValueSettings


@pytest.mark.parametrize(
    ("section", "settings"),
    [
        ("value", ValueSettings),
        ("dealer", DealerSettings),
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


def test_conf_agrees_with_the_decoder():
    composed = validated(compose_plain([])).decode.model_dump()
    defaults = {name: getattr(ValueScheduler, name) for name in composed}
    assert composed == defaults
