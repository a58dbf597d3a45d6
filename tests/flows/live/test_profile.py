"""Stage profile: what is measured is what was asked for, on the embedded testbed and on a (played) Swarm."""

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cluster.images.build import Image, write_images
from cluster.load.sittings import open_sittings
from cluster.provision.inventory import Inventory
from flows.configuration.compose import compose_plain
from flows.configuration.objects import make_testbed, measure_profile
from flows.configuration.settings import validated
from flows.engine.work import Work
from flows.live import profile as live_profile
from flows.stages.profile import noise_line
from metis.errors import InputError, SurroundingsError
from metis.measure.profile import describe_profile, never_measured
from metis.measure.profile_files import load_profile
from tests.cluster.world import APPS, HOSTS, World, swarm_in

TWO = "cluster.slots=2"


def measured(*words):
    return measure_profile(validated(compose_plain([TWO, *words])))


def test_every_choice_is_open_to_the_embedded_testbed(tmp_path):
    assert len(measured("profile.choose=all")) == 35
    assert len(measured("profile.choose=pairs", "cluster.slots=8")) == 35
    assert len(measured("profile.share=0.5")) == 18
    found = measured("profile.choose=given", "profile.colocations=[[1,1,0,0,0,0,0]]")
    assert found.colocations.sum(axis=1).tolist() == [1, 1, 2]
    file = tmp_path / "list.csv"
    file.write_text("Redis,MMS\n2,0\n1,1\n")
    assert len(measured("profile.choose=given", f"profile.colocations={file}")) == 4


def test_a_profile_is_continued(tmp_path):
    first = measured("profile.choose=pairs", "cluster.slots=1")
    first.save(tmp_path / "wrong.npz")
    with pytest.raises(InputError, match=r"wrong\.npz: measured .* on 1 slots"):
        measured(f"profile.onto={tmp_path / 'wrong.npz'}", "cluster.slots=null")
    part = measured("profile.share=0.3", "profile.seed=1")
    part.save(tmp_path / "part.npz")
    whole = measured("profile.choose=all", "profile.seed=2", f"profile.onto={tmp_path / 'part.npz'}")
    assert len(whole) == 35
    at = np.isin(whole.space.index(whole.colocations), part.space.index(part.colocations))
    np.testing.assert_array_equal(whole.rps[at], part.rps)
    whole.save(tmp_path / "whole.npz")
    again = measured("profile.choose=all", "profile.seed=3", f"profile.onto={tmp_path / 'whole.npz'}")
    np.testing.assert_array_equal(again.rps, whole.rps)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["profile.choose=given", "profile.colocations=[[1,1]]"], "give a count for each"),
        (["profile.choose=given", "profile.colocations=[[3,0,0,0,0,0,0]]"], "0 to 2 containers"),
        (["profile.choose=given", "profile.colocations=[]"], "at least one"),
    ],
)
def test_lists_that_cannot_be_are_refused(words, message):
    with pytest.raises(InputError, match=message):
        measured(*words)


def test_verbs_that_cannot_reach_hosts_say_what_can():
    settings = validated(compose_plain(["cluster=lab"]))
    with pytest.raises(InputError, match=r"stages=\[profile\]"):
        make_testbed(settings)


@pytest.fixture
def played(tmp_path, monkeypatch):
    """A function of (world, settings of profile) that does the stage on a world instead of hosts."""
    for name in ("setup", "build", "output"):
        (tmp_path / name).mkdir()
    Inventory("lab", "test", HOSTS, "known_hosts", facts={"w1": {"cores": 4, "engine": "20"}}).save(
        tmp_path / "setup" / "inventory.json"
    )
    images = [Image(app, f"metis/{app}:1", f"sha256:{app}") for app in APPS]
    write_images(tmp_path / "build" / "images.json", images)
    reports = []

    def do(world, rerun=(), **profile):
        @contextmanager
        def on_world(settings, inputs, state, session="profile"):
            world.inventory = Inventory.load(inputs["setup"] / "inventory.json")
            yield replace(swarm_in(world), sittings=open_sittings(state, "hosts"))

        monkeypatch.setattr(live_profile, "live_testbed", on_world)
        settings = validated(
            {
                "cluster": {"kind": "lab", "slots": 2, "nodes": 2},
                "testbed": {"kind": "swarm"},
                "apps": {"names": list(APPS)},
                "images": {"arguments": {"MODEL_URL": "https://user:secret@example.org"}},
                "profile": {"choose": "all", **profile},
                "explore": {"pause": 0.0},
            }
        )
        inputs = {name: tmp_path / name for name in ("setup", "build")}
        work = Work(
            settings,
            tmp_path / "output",
            tmp_path / "scratch",
            inputs,
            None,
            progress=reported,
            again=bool(rerun),
        )
        return live_profile.profile_live(work)

    def reported(text, done, total, known=""):
        reports.append((done, total, known))

    do.reports, do.folder = reports, tmp_path
    return do


def test_a_profile_records_where_it_comes_from(played):
    with pytest.raises(SurroundingsError, match="1 of 5 co-locations"):
        played(World(broken={(0, 2): 10**9}), repeats=2)
    profile = load_profile(played.folder / "scratch" / "partial.npz")
    provenance = json.loads(json.dumps(profile.provenance))
    assert provenance["alone_rps"] == {"cache": 200.0, "web": 50.0}
    assert provenance["failed"] == {"2 web": "2 web: no room"}
    assert provenance["hosts"][1] == {"name": "w1", "role": "worker", "cores": 4, "engine": "20"}
    assert provenance["images"]["web"] == {"tag": "metis/web:1", "id": "sha256:web"}
    assert provenance["load"]["duration"] == 300
    assert provenance["runs"] == 4 * 2 + 3
    assert "secret" not in json.dumps(provenance)
    assert "10.0.0" not in json.dumps(provenance)  # hosts by name, not by address
    assert "notes" not in provenance
    described = describe_profile(profile)
    assert described["spread"] == pytest.approx(0.0)
    rows = pd.read_csv(played.folder / "output" / "runs.csv")
    assert len(rows) == 11
    assert rows.loc[~rows["sound"], "why"].tolist() == ["2 web: no room"] * 3
    both = rows[(rows["cache"] == 1) & (rows["web"] == 1)]
    assert both["raw rps web"].tolist() == [37.5, 37.5]
    assert both["rps web"].tolist() == [0.75, 0.75]


def test_what_an_earlier_command_left_is_said(played, capfd):
    with pytest.raises(SurroundingsError):
        played(World(dies={3: "c"}))
    assert "hosts do not respond; trying again in 0 s" in capfd.readouterr().err
    played(World())
    assert "2 runs of an earlier command are kept, 3 are left" in capfd.readouterr().err


def test_progress_counts_runs_and_leaves_the_time_left_to_the_console(played):
    """Both estimated it: `about 3 min left, ..., about 7:20 left`."""
    with pytest.raises(SurroundingsError):
        played(World(broken={(0, 2): 10**9}))
    assert played.reports[0] == (0, 5, "")
    assert [done for done, _, _ in played.reports] == sorted(done for done, _, _ in played.reports)
    assert not any("left" in known for _, _, known in played.reports)
    assert played.reports[-1][:2] == (5, 5)
    assert "1 failed" in played.reports[-1][2]


def test_a_profile_that_was_stopped_goes_on_and_a_rerun_begins_anew(played):
    world = World(dies={3: "c"})
    with pytest.raises(SurroundingsError, match="kept: 2 measurement"):
        played(world, rerun=["profile"])
    second = World()
    played(second, rerun=["profile"])  # the command that failed, given again
    assert len(second.loads) == 3
    third = World()
    played(third)
    assert not third.loads
    fourth = World()
    played(fourth, rerun=["profile"])
    assert len({held for _, held in fourth.loads}) == 5


@pytest.mark.parametrize("rerun", [(), ("profile",)])
def test_missing_co_locations_are_a_failure_and_the_same_command_measures_exactly_these(played, rerun, capfd):
    """A port was taken on three of five: all reasons are said, and the next run makes the three alone."""
    missing = [(2, 0), (1, 1), (0, 2)]
    with pytest.raises(SurroundingsError) as failed:
        played(World(broken=dict.fromkeys(missing, 10**9)), rerun=rerun)
    assert "3 of 5 co-locations could not be measured: " in str(failed.value)
    assert "(and 2 more); the same command measures exactly these again" in str(failed.value)
    said = capfd.readouterr().err
    for words in ("2 cache", "1 cache + 1 web", "2 web"):
        assert f"  not measured: {words}: no room\n" in said
    world = World(broken={(1, 1): 2})  # and with all its patience: two failures more are borne
    profile = played(world, rerun=rerun)
    shared = [held for _, held in world.loads if sum(held) > 1]
    assert sorted(shared) == sorted(missing)
    assert len(profile) == 5
    assert profile.provenance["failed"] == {}


def test_what_was_given_up_before_a_kill_is_measured_again_with_what_is_missing(played):
    class Killed(BaseException):
        pass

    class Stopping(World):
        def load(self, client, targets):
            if len(self.loads) == 3:
                raise Killed
            return super().load(client, targets)

    # whatever the order, one load is left after the one that is given up
    with pytest.raises(Killed):
        played(Stopping(broken={(1, 1): 10**9}))
    world = World()
    assert len(played(world)) == 5
    assert len(world.loads) == 2


def test_a_partial_profile_is_kept_for_those_who_go_on_with_it(played):
    with pytest.raises(
        SurroundingsError, match=r"profile=file profile.path=\S+partial.npz goes on"
    ) as failed:
        played(World(broken={(0, 1): 10**9}))
    assert "web does not run alone" in str(failed.value) or "1 web: no room" in str(failed.value)
    partial = load_profile(played.folder / "scratch" / "partial.npz")
    assert never_measured(partial) == ("web",)
    assert never_measured(played(World())) == ()


def test_a_noisy_profile_says_so_and_a_quiet_one_does_not():
    quiet = {"spread": 0.04, "spread_most": 0.2, "spread_most_in": "2 web"}
    assert noise_line(quiet) == ""
    assert noise_line({}) == ""
    line = noise_line({**quiet, "spread_most": 1.26})
    assert line.startswith("noisy: repeated runs differ by 4% of their RPS in the median, by 126% in 2 web; ")


def test_nothing_measured_is_an_error_that_says_why(played):
    with pytest.raises(SurroundingsError, match=r"nothing could be measured: 1 web: .*no room"):
        played(World(broken=dict.fromkeys([(1, 0), (0, 1)], 10**9)))


def test_on_a_swarm_too_a_profile_is_continued(played):
    first = played(World(), choose="given", colocations=[[1, 1]])
    first.save(played.folder / "first.npz")
    world = World(speed=7.0)
    (played.folder / "scratch").rename(played.folder / "older")
    whole = played(world, onto=str(played.folder / "first.npz"))
    assert len(whole) == 5
    assert (1, 1) not in {held for _, held in world.loads}
    none = World()
    whole.save(played.folder / "whole.npz")
    (played.folder / "scratch").rename(played.folder / "old")
    again = played(none, onto=str(played.folder / "whole.npz"))
    assert not none.loads
    np.testing.assert_array_equal(again.rps, load_profile(played.folder / "whole.npz").rps)


def test_what_a_user_reads_names_no_machine_path(played):
    profile = played(World(), choose="given", colocations=[[1, 1]])
    assert str(Path.cwd()) not in json.dumps(profile.provenance)
