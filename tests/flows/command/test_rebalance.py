"""`metis rebalance`: one document for scripts, a frontier, reasons, and one line for a mistake."""

import json
import re

import pytest

from flows.command.main import main

APPS = "Redis,MMS,Checksum,YCSB-A,YCSB-B,SceneDetect,ISR"
RUNNING = f"""node,{APPS}
w-1,2,1,0,0,0,0,0
w-2,0,0,2,1,0,0,0
w-3,0,0,0,0,2,1,0
w-4,0,0,0,0,0,0,2
w-5,0,0,0,0,0,0,0
"""


@pytest.fixture
def command(store, full_profile, tmp_path, capfd):
    """Run `metis rebalance` on five nodes of three slots; exit code, standard output and error."""
    (tmp_path / "running.csv").write_text(RUNNING)

    def run(*words):
        given = {word.partition("=")[0] for word in words}
        shared = [
            f"existing={tmp_path / 'running.csv'}",
            "cluster.nodes=5",
            "cluster.slots=3",
            "simulator=table",
        ]
        shared += ["profile=file", f"profile.path={full_profile}", f"tracking.path={store.root}"]
        code = main(["rebalance", *[one for one in shared if one.partition("=")[0] not in given], *words])
        return (code, *capfd.readouterr())

    return run


def test_one_document_for_one_number_of_moves(command, tmp_path):
    code, out, _ = command("moves=2", "output=json", f"out={tmp_path / 'plan.json'}", "why=w-4")
    document = json.loads(out)
    assert code == 0
    assert document["moves"] <= 2
    assert document["bound"] >= document["value"] >= document["before"]["value"]
    assert document["gap"] <= 2e-4 + 1e-9
    assert {"price", "rps", "placement"} <= set(document)
    assert sum(len(wave) for wave in document["waves"]) == document["moves"] + document["detours"]
    assert {move["from"] for wave in document["waves"] for move in wave} <= {"w-1", "w-2", "w-3", "w-4"}
    assert document["why"]["node"] == "w-4"
    written = json.loads((tmp_path / "plan.json").read_text())
    assert written["placement"] == document["placement"]
    # what is written is what runs then: one more move of nothing
    code, out, _ = command(f"existing={tmp_path / 'plan.json'}", "moves=0", "output=json")
    assert json.loads(out)["value"] == pytest.approx(document["value"])


def test_several_numbers_of_moves_and_an_arriving_group(command):
    words = ("group.counts={Redis:1}", "moves=[0,3]", "output=json", "why_not=ISR-1")
    code, out, _ = command(*words)
    document = json.loads(out)
    assert code == 0
    assert [point["limit"] for point in document["frontier"]] == [0, 3]
    assert document["frontier"][0]["moves"] == 0
    assert document["frontier"][0]["waves"] == [[{"app": "Redis", "from": None, "to": "w-5"}]] or (
        document["frontier"][0]["waves"][0][0]["from"] is None
    )
    assert set(document["knee"]) == {"moves", "why"}


def test_a_table_for_a_person(command):
    code, out, _ = command()
    assert code == 0
    assert "proposed: moves=" in out
    values = re.findall(r"^│ +(\d+) │ (\d\.\d+) ", out, re.MULTILINE)
    assert len({moves for moves, _ in values}) == len(values) > 1
    code, out, _ = command("move_cost=10")
    assert code == 0
    assert "price of a move" in out
    assert "no move that may be made gains its cost" in out
    code, out, _ = command("moves=0")
    assert (code, "moves=0: nothing is moved" in out, "no move that may be made gains" in out) == (
        0,
        True,
        False,
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["moves=-1"], "moves"),
        (["moves=[3,-1]"], "moves"),
        (["move_cost=-1"], "move_cost"),
        (["existing=null"], "existing: give what runs"),
        (
            ["cluster.types=[{name:a,count:3,slots:3}]", "cluster.nodes=3"],
            "cluster.types has 3: give a row for each node",
        ),
        (["moves=1", "why=w-9"], "why=w-9: there is no such node"),
        (["moves=1", "why=w-1", "why_not=Redis-1"], "give one of them"),
        (
            ["moves=1", "group.counts={Redis:99}"],
            "99 containers of group.counts arrive with the moves and do not fit",
        ),
        (["moves=1", "scheduler=greedy"], "has no effect for `metis rebalance`"),
    ],
)
def test_a_mistake_is_one_line(command, words, says):
    code, out, err = command(*words)
    lines = [line for line in err.splitlines() if line.startswith("metis")]
    assert code == 2
    assert len(lines) == 1
    assert says in lines[0]
    assert "Traceback" not in err
    print(lines, out)


EIGHT = f"node,{APPS}\n" + "".join(
    f"w{n},{row},0,0\n"
    for n, row in enumerate(("2,1,0,0,0", "0,0,2,1,0", "1,1,1,0,0", *["0,0,0,1,0"] * 5), 1)
)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["group.counts={Redis:11}"], "11 containers of group.counts arrive with the moves and"),
        (["group.size=11"], "11 containers of group.size=11 arrive with the moves and"),
        (
            ["group.counts={Redis:11}", "cluster.types=[{name:a,count:8,slots:3}]"],
            "11 containers of group.counts arrive with the moves and",
        ),
    ],
)
def test_what_does_not_fit_beside_what_runs_is_counted(command, tmp_path, words, says):
    (tmp_path / "eight.csv").write_text(EIGHT)
    own = [f"existing={tmp_path / 'eight.csv'}", *words]
    code, _, err = command("moves=1", *own, "cluster.nodes=8")
    assert code == 2
    assert err.strip().splitlines()[-1] == (
        f"metis: {says} do not fit: 8 nodes of 3 slots have 10 slots free beside the 14 containers that run"
    )


def test_a_cluster_of_fewer_slots_than_applications_is_rebalanced(command, tmp_path):
    """Nothing arrives, and so nothing but what runs has to fit."""
    (tmp_path / "two.csv").write_text(f"node,{APPS}\na-1,2,1,0,0,0,0,0\na-2,0,0,1,0,0,1,0\n")
    types = "cluster.types=[{name:a,count:2,slots:3}]"
    code, out, err = command(
        "moves=1", f"existing={tmp_path / 'two.csv'}", types, "cluster.nodes=2", "output=json"
    )
    assert (code, sum(map(len, json.loads(out)["placement"].values())) > 0) == (0, True), err


def test_resources_count_what_runs_before_anything_is_made(command, tmp_path):
    (tmp_path / "eight.csv").write_text(EIGHT)
    requests = "{" + ",".join(f"{app}:{{cpu:{3 if app == 'ISR' else 1}}}" for app in APPS.split(",")) + "}"
    code, _, err = command(
        *("moves=1", f"existing={tmp_path / 'eight.csv'}", "group.counts={ISR:4}", "cluster.nodes=8"),
        *("cluster.types=[{name:a,count:8,slots:3,capacity:{cpu:3}}]", f"apps.requests={requests}"),
    )
    assert code == 2
    says = "metis: cpu: the containers ask for 12, the nodes have 24, of which what runs takes 14"
    assert err.strip().splitlines()[-1] == says


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("moves=[]", "moves []: give a number, several such as [5,10,20], or null for a frontier"),
        (
            "out=plan.csv",
            "out 'plan.csv': a plan with its waves is JSON; use a name that ends in .json",
        ),
    ],
)
def test_no_moves_and_no_json_are_refused_in_one_line(command, word, said):
    code, out, err = command(word)
    assert (code, out) == (2, "")
    assert err.strip().splitlines()[-1].endswith(said)
