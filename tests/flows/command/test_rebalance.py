"""`metis rebalance`: one document for scripts, a frontier, reasons, and one line for a mistake."""

import json

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
    code, out, _ = command("move_cost=10")
    assert code == 0
    assert "next move" in out
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
        (["cluster.types=[{name:a,count:3,slots:3}]"], "cluster.types has 3: give a row for each node"),
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
