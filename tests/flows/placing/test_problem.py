"""A problem that cannot be placed is refused before anything is explored, fitted or trained for it."""

from dataclasses import replace

import pytest

from flows.command.main import main
from flows.configuration.sections import GroupSettings
from flows.configuration.settings import Settings
from flows.placing.problem import check_problem, known_space
from flows.stages.chain import check_problems
from metis.errors import InputError
from metis.measure.profile_files import load_profile
from metis.problem.rules import Rules
from tests.flows.conftest import settings_of


def with_group(counts, **words):
    return replace(Settings(), group=GroupSettings(counts=counts), **words)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (with_group({"Redsi": 3}), "unknown application 'Redsi': did you mean 'Redis'"),
        (with_group({"Redis": 3000}), "3,000 containers do not fit: 81 nodes of 8 slots have 648 slots free"),
        (with_group({"Redis": 3}, rules=Rules(at_most={"Redsi": 1})), "rules name the unknown application"),
        (with_group({"MMS": 82}, rules=Rules(at_most={"MMS": 1})), "leave no room for rules.at_most.MMS=1; "),
    ],
)
def test_what_cannot_be_placed_is_refused_by_the_settings_alone(settings, says):
    with pytest.raises(InputError, match=says):
        check_problem(settings)
    with pytest.raises(InputError, match=says):
        check_problems(settings)


def test_a_run_that_places_nothing_is_not_refused_for_its_group():
    check_problems(replace(with_group({"Redsi": 3}), until="simulator"))


def test_a_profile_that_cannot_be_read_is_left_to_the_stage_that_records_it(tmp_path):
    settings = Settings()
    missing = replace(settings.profile, kind="file", path=str(tmp_path / "none.csv"))
    assert known_space(replace(settings, profile=missing)) is None


TABLE = ("simulator=table", "testbed=synthetic", "apps.count=12", "group.size=9", "cluster.nodes=9")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "all 125,969: explore.budget=150 measures 150 at most; use simulator=ensemble"),
        (("profile=random_01",), "all 125,969: profile.share=0.01 measures 1,260 at most"),
        (("profile=pairs",), "all 125,969: profile.choose=pairs measures 90 at most"),
    ],
)
@pytest.mark.parametrize("verb", ["place", "compare", "run", "constraints"])
def test_a_table_of_what_will_not_all_be_measured_is_refused_before_measuring(
    tmp_path, capfd, verb, words, says
):
    given = [word for word in TABLE if verb != "constraints" or not word.startswith(("group", "cluster"))]
    given += ["scheduler=greedy"] if verb == "place" else []
    assert main([verb, *given, *words, f"tracking.path={tmp_path / 'm'}"]) == 2
    out, err = capfd.readouterr()
    said = [line for line in err.splitlines() if not line.startswith("new tracking store")]
    assert (out, len(said)) == ("", 1)
    assert said[0].startswith(f"metis: simulator=table needs every co-location measured, {says}")


@pytest.mark.parametrize(
    "words",
    [
        ("cluster.slots=2",),  # 35 co-locations, and a budget of 150 runs
        ("cluster.slots=2", "profile=pairs"),
        ("profile=all",),
        ("profile=random_20", "profile.share=1.0"),
        ("profile=random_20", "until=profile"),
    ],
)
def test_a_table_of_what_can_all_be_measured_is_not(words):
    check_problems(settings_of("simulator=table", "group.size=9", *words))


def test_a_table_of_a_profile_that_is_completed_is_not(full_profile, tmp_path):
    part = load_profile(full_profile)
    part.rows(range(100)).save(tmp_path / "part.npz")
    words = ["simulator=table", "cluster.slots=3", "group.size=9", f"profile.onto={tmp_path / 'part.npz'}"]
    check_problems(settings_of(*words, "profile.choose=all"))
    with pytest.raises(InputError, match=r"all 119: profile.choose=pairs measures \d+ at most"):
        check_problems(settings_of(*words, "profile.choose=pairs"))


@pytest.mark.parametrize("verb", ["place", "compare", "explore", "explain"])
def test_the_verbs_explore_nothing_for_a_mistyped_application(tmp_path, capfd, verb):
    assert main([verb, "group.counts={Redsi:3}", f"tracking.path={tmp_path / 'm'}"]) == 2
    out, err = capfd.readouterr()
    said = [line for line in err.splitlines() if not line.startswith("new tracking store")]
    assert (out, len(said)) == ("", 1)
    assert said[0].startswith(
        "metis: group.counts names the unknown application 'Redsi': did you mean 'Redis'"
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["place", "out=plan.txt"], "out 'plan.txt': a placement is read again by its ending; use .json"),
        (["explore", "out=mine"], "out 'mine': a profile is read again by its ending; give a name in .npz"),
        (["import-profile", "a.csv", "out=a.txt"], "out 'a.txt': a profile is read again by its ending"),
        (["place", "group.counts={Redis:x}"], "group.counts.Redis 'x': give a number"),
        (
            ["place", "group.counts=Redis:1"],
            "group.counts=Redis:1: in a shell a word with braces is quoted, as in 'group",
        ),
        (["place", "exprement=quick"], "exprement: there is no such setting; did you mean experiment?"),
    ],
)
def test_a_word_that_cannot_be_meant_is_refused_before_anything_is_done(tmp_path, capfd, words, says):
    assert main([*words, f"tracking.path={tmp_path / 'm'}"]) == 2
    assert says in capfd.readouterr().err
    assert not (tmp_path / "m").exists()
