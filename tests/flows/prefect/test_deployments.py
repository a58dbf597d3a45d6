"""Deployments and artifacts, made without a server: names, limits, schedules, links without secrets."""

import pytest

from flows.configuration.sections import ServeSettings, TrackingSettings
from flows.stages.chain import CHAIN
from metis.errors import InputError

# Prefect takes seconds to import: here, and not in each of pytest-xdist's workers where it collects


@pytest.fixture(scope="module")
def deployments():
    from flows.prefect.deployments import deployments

    return deployments


@pytest.fixture(scope="module")
def artifacts():
    from flows.prefect import artifacts

    return artifacts


def test_the_chain_and_every_stage_are_deployed_under_one_name(deployments):
    from flows.prefect.deployments import STAGE_FLOWS

    made = deployments(ServeSettings(name="night", limit=3))
    assert [one.flow_name for one in made] == ["pipeline", *(stage.name for stage in CHAIN)]
    assert {one.name for one in made} == {"night"}
    assert [one.concurrency_limit for one in made] == [3, *[1] * len(CHAIN)]
    assert [one.entrypoint for one in made[1:]] == [
        f"flows.prefect.deployments.{name}" for name in STAGE_FLOWS
    ]
    assert not any(one.schedules for one in made)


def test_only_the_chain_has_the_schedule(deployments):
    whole, *stages = deployments(ServeSettings(cron="0 3 * * *", timezone="Europe/Berlin"))
    assert [one.schedule.cron for one in whole.schedules] == ["0 3 * * *"]
    assert whole.schedules[0].schedule.timezone == "Europe/Berlin"
    assert not any(one.schedules for one in stages)


@pytest.mark.parametrize("wrong", [{"cron": "daily"}, {"cron": "0 3 * * *", "timezone": "Mars/Olympus"}])
def test_a_schedule_that_is_none_is_refused_in_one_line(deployments, wrong):
    with pytest.raises(InputError, match=r"^serve\.cron ") as error:
        deployments(ServeSettings(**wrong))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("tracking", "base"),
    [
        ({}, "http://127.0.0.1:5000"),
        ({"port": 5050}, "http://127.0.0.1:5050"),
        ({"uri": "http://me:secret@host:1/x/"}, "http://host:1/x"),
        ({"uri": "sqlite:///a.db"}, "http://127.0.0.1:5000"),
        ({"uri": "http://host:1", "ui": "https://ui.example"}, "https://ui.example"),
    ],
)
def test_links_lead_to_the_ui_and_hold_no_secret(artifacts, tracking, base):
    assert artifacts.run_link(TrackingSettings(**tracking), "7", "abc") == f"{base}/#/experiments/7/runs/abc"


def test_progress_of_a_long_step_becomes_one_artifact_that_is_updated(artifacts, monkeypatch):
    clock, shown, said = [0.0], [], []
    monkeypatch.setattr(artifacts.time, "monotonic", lambda: clock[0])

    def create(share, key, description):
        shown.append(description)
        return key

    monkeypatch.setattr(artifacts, "create_progress_artifact", create)
    monkeypatch.setattr(
        artifacts, "update_progress_artifact", lambda key, share, description: shown.append((key, share))
    )
    report = artifacts.StepProgress("subscheduler/value", lambda *words: said.append(words))
    report("updates", 1, 4)
    assert not shown  # a step of less than two seconds is not worth one
    clock[0] = 5.0
    report("updates", 2, 4)
    assert shown == ["subscheduler/value: updates, 2 of 4"]
    clock[0] = 8.0
    report("updates", 3, 4)
    assert shown[1:] == [("progress-subscheduler-value", 75.0)]
    assert len(said) == 3


def test_a_ui_that_is_away_fails_no_step(artifacts, monkeypatch):
    def away(*_, **__):
        raise ConnectionError("no server")

    monkeypatch.setattr(artifacts, "create_progress_artifact", away)
    monkeypatch.setattr(artifacts.time, "monotonic", lambda: 1e9)
    said = []
    report = artifacts.StepProgress("profile", lambda *words: said.append(words))
    report._last = 0.0
    report("measured", 1, 2)
    report("measured", 2, 2)
    assert len(said) == 2
