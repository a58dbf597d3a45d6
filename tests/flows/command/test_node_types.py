"""Node types, resources and rules of nodes from the command line: settings, and problem folders."""

import json
import re
from types import SimpleNamespace

import pytest

from flows.command.main import main
from flows.configuration.objects import make_cluster
from flows.placing.decisions import before_placing
from metis.measure.testbed import load_embedded
from metis.problem.folders import read_problem, write_problem
from metis.problem.rules import KINDS
from tests.flows.conftest import settings_of

TYPES = (
    "cluster.types=[{name:small,count:3,slots:2,capacity:{cpu:2,memory:4Gi}},"
    "{name:large,count:2,slots:4,capacity:{cpu:8,memory:32Gi},labels:[ssd]}]"
)
REQUESTS = "apps.requests={app-1:{cpu:500m,memory:1Gi},app-2:{cpu:1,memory:2Gi},app-3:{cpu:2,memory:8Gi}}"
GROUP = "group.counts={app-1:4,app-2:3,app-3:2}"
SYNTHETIC = ("testbed=synthetic", "apps.count=3", "simulator=testbed")
NODES_CSV = "type,count,slots,cpu,memory,labels,zone\nsmall,3,2,2,4Gi,,a|b\nlarge,2,4,8,32Gi,ssd|new,b\n"
APPS_CSV = "app,count,cpu,memory\napp-1,4,500m,1Gi\napp-2,3,1,2Gi\napp-3,2,2,8Gi\n"
RULES = "spread: {app-2: {zone: 2}}\neligible: {app-3: [ssd]}\n"


@pytest.fixture
def problem(tmp_path):
    folder = tmp_path / "problem"
    folder.mkdir()
    for name, text in (("nodes.csv", NODES_CSV), ("apps.csv", APPS_CSV), ("rules.yaml", RULES)):
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def placed(capsys, *words):
    assert main(["place", *SYNTHETIC, *words, "output=json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_places_on_types_as_settings_and_as_a_folder_state_them(tmp_path, problem, tracking, capsys):
    by_settings = placed(capsys, "scheduler=columns", TYPES, REQUESTS, GROUP, tracking)
    assert by_settings["bound_kind"] == "proven"
    assert by_settings["types"]["large"]["nodes"] == 2
    assert by_settings["placement"]["large-1"]["app-3"] == 1  # too large for the small ones
    used = sum(one["used"]["memory"] for one in by_settings["types"].values())
    assert used == (4 * 1 + 3 * 2 + 2 * 8) * 2**30
    assert set(by_settings["worth_of_one_more"]["node"]) == {"small", "large"}

    plan = tmp_path / "plan.csv"
    by_folder = placed(capsys, "scheduler=columns", f"problem={problem}", f"out={plan}", tracking)
    assert by_folder["value"] <= by_settings["value"] + 1e-9
    assert by_folder["domains"]["zone"]["a"] + by_folder["domains"]["zone"]["b"] == 9
    assert plan.read_text().splitlines()[0] == "node,app,count"

    greedy = placed(capsys, "scheduler=greedy+local_search", f"problem={problem}", tracking)
    assert greedy["value"] <= by_folder["bound"] + 1e-9

    assert main(["place", f"problem={problem}", tracking]) == 2  # by load, whose packing keeps no such rules
    assert "rules.eligible: packing by load keeps" in capsys.readouterr().err
    compared = [
        "compare",
        *SYNTHETIC,
        TYPES,
        REQUESTS,
        GROUP,
        "schedulers=[optimum,columns,greedy]",
        tracking,
    ]
    assert main([*compared, "output=json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bound_kind"] == "proven"
    assert found["schedulers"]["columns"]["ratio"]["min"] >= 0.999
    assert found["schedulers"]["optimum"]["ratio"]["min"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((TYPES, GROUP), "apps.requests.app-1: cpu is missing"),
        ((TYPES, REQUESTS, GROUP, "scheduler=medea"), "keeps no node types"),
        ((REQUESTS, GROUP), "apps.requests: needs cluster.types"),
        (("problem={problem}", "group.size=3"), "group.size: has no effect with problem="),
        (
            ("problem={problem}", "seconds=3"),
            "seconds: has no effect with testbed= and apps.count= and simulator= and scheduler=: that",
        ),
        (("cluster.types=[{name:a,count:1,slots:900}]",), "slots"),
        (
            (TYPES, REQUESTS, GROUP, "cluster.nodes=7"),
            "cluster.nodes=7: follows from cluster.types, which have 5",
        ),
        (
            (TYPES, REQUESTS, GROUP, "cluster.slots=3"),
            "cluster.slots=3: follows from cluster.types, which have 4",
        ),
        (("cluster.types=[{name:a,count:1,capacity:{cpu:lots}}]",), "cluster.types.a.capacity.cpu: 'lots'"),
        (("rules.eligible={app-1:[gpu]}",), "'gpu' is no node type, label or node"),
        (("rules.spread={app-1:{zone:2}}",), "have no fault domain 'zone'"),
        (("rules.soft=[{at_most:{app-1:2}}]",), "give each entry a penalty, or a share"),
    ],
)
def test_bad_input_is_one_line(words, says, problem, tracking, capsys):
    words = [word.format(problem=problem) if "{problem}" in word else word for word in words]
    scheduler = [] if any("scheduler" in word for word in words) else ["scheduler=columns"]
    assert main(["place", *SYNTHETIC, *scheduler, *words, tracking]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert says in lines[-1]


def test_the_template_is_compared_on_a_testbed_by_its_names_as_the_page_says(tmp_path, capsys, tracking):
    folder = tmp_path / "mine"
    assert main(["init", f"problem={folder}"]) == 0
    text = (folder / "apps.csv").read_text(encoding="utf-8")
    for i, app in enumerate(("web", "search", "batch"), 1):
        text = text.replace(f"\n{app},", f"\napp-{i},")
    (folder / "apps.csv").write_text(text, encoding="utf-8")
    capsys.readouterr()
    words = (f"problem={folder}", "schedulers=[greedy,spread]", "output=json", tracking)
    assert main(["compare", *SYNTHETIC, *words]) == 0
    assert set(json.loads(capsys.readouterr().out)["schedulers"]) == {"greedy", "spread"}


def test_the_template_of_a_problem_can_be_read(tmp_path, capsys, tracking):
    folder = tmp_path / "mine"
    assert main(["init", f"problem={folder}"]) == 0
    assert "written" in capsys.readouterr().out
    found = read_problem(folder)
    assert found.types == ("small", "large")
    assert found.dimensions == ("slots", "cpu", "memory")
    assert found.domains["zone"][:2] == ("a", "b")
    assert main(["place", f"problem={folder}", "seconds=0.1", tracking]) == 0  # by load, as the page has it
    rules = folder / "rules.yaml"
    text = rules.read_text(encoding="utf-8")
    rules.write_text(re.sub(r"^# (?=at_most|only|most|elig|spread|soft| +-)", "", text, flags=re.M), "utf-8")
    every = read_problem(folder).rules
    assert [name for name in KINDS if not getattr(every, name)] == ["never_together"]
    assert every.spread == {"web": {"zone": 0.5}}
    assert [rule.penalty or rule.share for rule in every.soft] == [0.1, 0.05]
    capsys.readouterr()
    assert main(["init", f"problem={folder}"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["init", f"problem={folder}/other", "cluster.nodes=3"]) == 2
    assert "has no effect with problem=" in capsys.readouterr().err


def test_a_problem_of_types_and_rules_is_written_and_read_again(tmp_path, problem):
    stated = read_problem(problem)
    write_problem(tmp_path / "again", stated)
    again = read_problem(tmp_path / "again")
    for name in ("apps", "nodes", "types", "labels", "domains", "rules", "dimensions"):
        assert getattr(again, name) == getattr(stated, name), name
    assert again.type_of.tolist() == stated.type_of.tolist()
    assert again.capacity.tolist() == stated.capacity.tolist()


MEASURED_CSV = """type,app-1,app-2,rps_app-1,rps_app-2
small,1,0,100,
small,0,1,,100
small,1,1,50,50
small,2,0,50,
small,0,2,,50
large,1,0,200,
large,0,1,,100
large,1,1,100,50
large,2,0,100,
large,0,2,,50
"""


def test_a_profile_with_types_places_by_type_and_says_what_was_not_measured(
    tmp_path, problem, tracking, capsys
):
    (tmp_path / "typed.csv").write_text(MEASURED_CSV, encoding="utf-8")
    (problem / "rules.yaml").unlink()
    (problem / "nodes.csv").write_text("type,count,slots\nsmall,3,2\nlarge,2,2\nodd,1,2\n", encoding="utf-8")
    (problem / "apps.csv").write_text("app,count\napp-1,2\napp-2,3\n", encoding="utf-8")
    words = [f"problem={problem}", "profile=file", f"profile.path={tmp_path}/typed.csv", "simulator=table"]
    words += ["scheduler=columns", tracking]
    assert main(["place", *words, "output=json"]) == 0
    found = json.loads(capsys.readouterr().out)
    fast = found["placement"]["large-1"], found["placement"]["large-2"]
    assert fast == ({"app-1": 1}, {"app-1": 1})  # that does twice as much there
    assert found["rps"] == pytest.approx(1.0)
    measured = {name: one["measured"] for name, one in found["types"].items()}
    assert measured == {"small": 1.0, "large": 1.0, "odd": 0.0}
    assert found["type_doubt"] == 0.1

    assert main(["explain", *words]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "type odd was not measured: predicted by what others do, 9.5% worse" in shown
    alike = [*words[1:], "cluster.nodes=2", "cluster.slots=2", "group.counts={app-1:1,app-2:1}"]
    assert main(["place", *alike]) == 0
    said = capsys.readouterr().err
    assert "the profile distinguishes types of nodes (small, large), the settings do not" in said
    compared = ["compare", *words[:4], "schedulers=[columns,greedy]", tracking, "output=json"]
    assert main(compared) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bound_kind"] == "proven"
    assert found["schedulers"]["columns"]["ratio"]["min"] == pytest.approx(1.0)


def test_that_settings_do_not_distinguish_measured_types_stands_in_all_that_is_shown(
    tmp_path, tracking, capsys
):
    """One sentence: on the page of a run, in its table and its JSON, and where only moves are planned."""
    (tmp_path / "typed.csv").write_text(MEASURED_CSV, encoding="utf-8")
    (tmp_path / "running.csv").write_text("node,app-1,app-2\n0,1,1\n1,0,1\n", encoding="utf-8")
    words = [tracking, "tracking.orchestrate=false", f"profile.path={tmp_path}/typed.csv", "simulator=table"]
    words += ["cluster.nodes=2", "cluster.slots=2"]
    group = ["group.counts={app-1:1,app-2:1}", "schedulers=[greedy,spread]"]
    note = (
        "the profile distinguishes types of nodes (small, large), the settings do not: each node counts as "
        "one of a type that was not measured; give cluster.types"
    )
    page = tmp_path / "page.html"
    assert main(["run", *words, *group, f"report={page}", "output=json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == [note]
    assert f"{note[0].upper()}{note[1:]}." in page.read_text(encoding="utf-8")
    assert main(["compare", *words, *group]) == 0
    assert note in " ".join(capsys.readouterr().out.split())
    assert main(["run", *words, "stages=[rebalance]", f"existing={tmp_path}/running.csv", "moves=1"]) == 0
    assert note in capsys.readouterr().err

    typed = "cluster.types=[{name:small,count:1,slots:2},{name:large,count:1,slots:2}]"
    compared = ["compare", *words[:-2], typed, group[0], "schedulers=[greedy,spread]", "output=json"]
    assert main(compared) == 0
    assert "notes" not in json.loads(capsys.readouterr().out)


SPACE = load_embedded(slots=3).space
TWO_TYPES = "cluster.types=[{name:a,count:2,slots:3},{name:b,count:1,slots:3}]"


@pytest.fixture
def running(full_profile, tmp_path, tracking):
    """Words for two types of nodes, on which what a file of these three names and one more holds runs."""

    def words(*names):
        rows = zip(names, ("2,1", "1,0", "0,1"), strict=True)
        path = tmp_path / "running.csv"
        path.write_text(
            "node,Redis,MMS\n" + "".join(f"{name},{held}\n" for name, held in rows), encoding="utf-8"
        )
        profile = ["profile=file", f"profile.path={full_profile}", "simulator=table", "cluster.slots=3"]
        return [*profile, f"existing={path}", tracking, "group.counts={Redis:1}", "scheduler=columns"]

    return words


def test_rows_without_the_names_of_nodes_are_taken_in_order_and_said_to_be(running, capsys):
    given = running("n0", "n1", "n2")
    assert main(["place", *given, TWO_TYPES, "output=json"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("existing")]
    assert len(said) == 1
    assert said[0].endswith(
        "running.csv: names none of the nodes of cluster.types: its rows are taken in their order, "
        "n0 as a-1, n1 as a-2, n2 as b-1; to name them, give `nodes` in place of `count`"
    )
    settings = settings_of(*given, TWO_TYPES)
    assert make_cluster(settings, SPACE).existing.sum(axis=1).tolist() == [3, 1, 1]


@pytest.mark.parametrize("names", [("b-1", "a-1", "a-2"), ("0", "1", "2")])
def test_rows_by_name_or_number_need_no_word(running, capsys, names):
    given = running(*names)
    assert main(["place", *given, TWO_TYPES, "output=json"]) == 0
    assert "existing" not in capsys.readouterr().err
    held = make_cluster(settings_of(*given, TWO_TYPES), SPACE).existing.sum(axis=1).tolist()
    assert held == ([1, 1, 3] if names[0] == "b-1" else [3, 1, 1])


@pytest.mark.parametrize(
    ("names", "types", "unknown"),
    [
        (("a-1", "n1", "b-1"), TWO_TYPES, "n1"),
        (("n0", "n1", "n2"), "cluster.types=[{name:a,nodes:[x,y],slots:3},{name:b,count:1,slots:3}]", "n0"),
    ],
)
def test_names_of_which_some_fit_or_that_were_given_are_refused(running, capsys, names, types, unknown):
    assert main(["place", *running(*names), types]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"running.csv: no node {unknown!r} is stated; use " in said


def test_what_ran_is_kept_by_the_names_in_whose_order_it_is(running):
    settings = settings_of(*running("b-1", "a-1", "a-2"), TWO_TYPES)
    known = SimpleNamespace(space=SPACE)
    before = before_placing(settings, known)
    assert before["nodes"] == ["a-1", "a-2", "b-1"]
    assert before["existing"].sum(axis=1).tolist() == [1, 1, 3]
