"""Stages of a live cluster: what they declare; tests of the lab run them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from flows.engine.declaration import UndeclaredSettingError
from flows.stages.build import STAGE as BUILD
from flows.stages.chain import all_steps, asked_for, chosen_steps
from flows.stages.deploy import STAGE as DEPLOY
from flows.stages.explore import STAGE as EXPLORE
from flows.stages.explore import refuse_unmeasured
from flows.stages.profile import STAGE as PROFILE
from flows.stages.setup import STAGE as SETUP
from flows.stages.watch import STAGE as WATCH
from metis.errors import SurroundingsError
from metis.measure.profile import make_profile
from tests.flows.conftest import settings_of

LAB = ["cluster=lab", "apps.names=[Redis,MMS]"]
MEASURED = [*LAB, "testbed=swarm"]


def key(stage, *words):
    step = stage.step(settings_of(*words))
    return step.key(dict.fromkeys(step.inputs, ""))


def test_setup_and_build_are_done_again_before_each_use_of_hosts():
    live = settings_of(*LAB)
    assert SETUP.always(live)
    assert BUILD.always(live)
    assert not SETUP.always(settings_of())
    assert BUILD.steps(settings_of()) == []  # there are no hosts
    assert [step.name for step in BUILD.steps(live)] == ["build"]
    assert not any(asked_for(step, live) for step in all_steps(live) if step.name in ("setup", "build"))
    named = settings_of(*LAB, "stages=[setup]")
    assert [step.name for step in chosen_steps(named) if asked_for(step, named)] == ["setup"]


def test_build_keeps_the_values_of_build_arguments_out_of_its_record():
    chosen = settings_of(*LAB, "images.arguments={TOKEN:secret}")
    step = BUILD.step(chosen)
    assert not any("secret" in str(value) for value in step.values().values())
    assert key(BUILD, *LAB, "images.arguments={TOKEN:secret}") != key(BUILD, *LAB)


def test_a_live_profile_depends_on_what_is_measured_and_not_on_where():
    same = key(PROFILE, *MEASURED)
    assert key(PROFILE, *MEASURED, "connect.connect_timeout=99") == same
    assert key(PROFILE, *MEASURED, "profile.at_once=2") == same
    assert key(PROFILE, *MEASURED, "cluster.workers=7") == same
    assert key(PROFILE, *MEASURED, "load.users=7") != same
    assert key(PROFILE, *MEASURED, "apps.names=[Redis]") != same
    step = PROFILE.step(settings_of(*MEASURED))
    assert step.inputs == ()
    assert step.after == ("setup", "build")


def test_a_profile_of_the_model_needs_no_hosts_even_where_there_are_some():
    words = ["cluster=lab", "testbed=embedded", "apps=seven"]
    for stage in (PROFILE, EXPLORE):
        step = stage.step(settings_of(*words))
        assert (step.inputs, step.after) == ((), ())
    assert PROFILE.step(settings_of()).inputs == ("setup", "explore")


def test_measuring_a_live_cluster_costs_hours():
    live = settings_of(*MEASURED)
    assert PROFILE.costly(live)
    assert EXPLORE.costly(live)
    assert not PROFILE.costly(settings_of(*MEASURED, "profile=file", "profile.path=p.npz"))
    assert not PROFILE.costly(settings_of())


def test_a_profile_that_is_only_taken_over_needs_no_hosts(memo_of):
    given = settings_of(*MEASURED, "profile=file", "profile.path=p.npz")
    explored = settings_of(*MEASURED, "profile=explore")
    assert PROFILE.step(given).after == ()
    assert PROFILE.step(explored).after == ()
    assert PROFILE.step(explored).inputs == ("explore",)
    assert not PROFILE.costly(explored)
    assert not memo_of(*MEASURED, "profile=explore", "profile.path=null").affordable("simulator")


@pytest.mark.parametrize("stage", [DEPLOY, WATCH], ids=lambda stage: stage.name)
def test_deploy_and_watch_belong_to_the_chain_where_they_are_asked_for(stage):
    assert stage.steps(settings_of(*LAB)) == []
    chosen = settings_of(*LAB, f"stages=[{stage.name}]")
    (step,) = stage.steps(chosen)
    assert step.always
    assert step.after == ("setup", "build")
    assert step.settings().cluster.nodes == chosen.cluster.nodes
    with pytest.raises(UndeclaredSettingError, match=f"stage {stage.name} reads"):
        _ = step.settings().simulator


def test_deploy_of_a_placement_from_elsewhere_places_nothing():
    chosen = settings_of(*LAB, "stages=[deploy]")
    (placed,) = DEPLOY.steps(chosen)
    assert any(name.startswith(("highlevel/", "baselines/")) for name in placed.inputs)
    (given,) = DEPLOY.steps(replace(chosen, placement="plan.json"))
    assert not any(name.startswith(("highlevel/", "baselines/")) for name in given.inputs)


def test_an_exploration_that_lacks_an_application_fails_and_others_say_what_is_missing(capfd):
    def found(counts, quarantined):
        counts = np.array(counts)
        rps = np.where(counts > 0, 1.0, np.nan)
        profile = make_profile(("A", "B"), 2, counts, {"rps": rps}, {})
        return SimpleNamespace(profile=profile, quarantined=quarantined)

    refuse_unmeasured(found([[1, 0], [0, 1]], {"2 B": "2 B: no room"}))
    assert capfd.readouterr().err == "  not measured: 2 B: no room\n"
    with pytest.raises(SurroundingsError, match=r"never measured: B \(1 B: no room\); the same"):
        refuse_unmeasured(found([[1, 0]], {"1 B": "1 B: no room"}))


def test_watch_can_do_without_a_profile():
    assert WATCH.optional == ("profile",)
    assert WATCH.step(settings_of(*LAB, "stages=[watch]")).inputs == ("profile",)
