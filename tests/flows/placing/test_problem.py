"""A problem that cannot be placed is refused before anything is explored, fitted or trained for it."""

from dataclasses import replace

import pytest

from flows.command.main import main
from flows.configuration.sections import GroupSettings
from flows.configuration.settings import Settings
from flows.placing.problem import check_problem, known_space
from flows.stages.chain import check_problems
from metis.errors import InputError
from metis.problem.rules import Rules


def with_group(counts, **words):
    return replace(Settings(), group=GroupSettings(counts=counts), **words)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (with_group({"Redsi": 3}), "unknown application 'Redsi': did you mean 'Redis'"),
        (with_group({"Redis": 3000}), "3000 containers do not fit: 81 nodes of 8 slots have 648 slots free"),
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
