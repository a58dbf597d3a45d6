"""`metis import` and `metis place problem=`: a problem folder from the data to the rows of a plan."""

import json
import math

import pytest

from flows.command.main import main

DATA = {
    "app_resources": "a1,1|2,1|1,10,0,0,0\na2,2|1,1|1,10,0,0,0\n",
    "machine_resources": "m1,8,8,100,1,1,1\nm2,8,8,100,1,1,1\n",
    "instance_deploy": "i1,a1,m1\ni2,a1,\ni3,a2,m1\n",
    "app_interference": "a1,a1,1\n",
}


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for kind, text in DATA.items():
        (folder / f"scheduling_{kind}_2018.csv").write_text(text, encoding="utf-8")
    return folder


def test_from_the_data_to_a_plan(tmp_path, data, tracking, capsys):
    problem, plan = tmp_path / "problem", tmp_path / "plan.csv"
    assert main(["import", "tianchi", str(data), f"out={problem}", "output=json", tracking]) == 0
    assert json.loads(capsys.readouterr().out)["containers"] == 3
    assert (problem / "initial.csv").read_text().splitlines() == ["node,app,count", "m1,a1,1", "m1,a2,1"]
    words = ["place", f"problem={problem}", "seconds=0.2", f"out={plan}", "output=json", tracking]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bound_kind"] == "proven"
    one_node = (
        1 + 10 * math.expm1(5 / 8 - 0.5) / 2
    )  # all three: half of the CPU at one time, 5 of 8 at the other
    assert document["bound"] - 1e-6 <= document["cost"] == pytest.approx(one_node)
    assert document["nodes_used"] == 1
    rows = [line.split(",") for line in plan.read_text().splitlines()]
    assert rows[0] == ["node", "app", "count"]
    assert [row[1:] for row in rows[1:]] == [["a1", "2"], ["a2", "1"]]
    assert main(["place", f"problem={problem}", "seconds=0.1", tracking]) == 0
    assert "above the bound" in capsys.readouterr().out


def test_from_a_trace_to_where_each_went(tmp_path, tracking, capsys):
    (tmp_path / "openb_node_list_all_node.csv").write_text(
        "sn,cpu_milli,memory_mib,gpu,model\nn1,8000,1024,1,T4\n", encoding="utf-8"
    )
    (tmp_path / "openb_pod_list_default.csv").write_text(
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,creation_time,deletion_time\n"
        "p1,1000,1,1,600,,0,2\np2,1000,1,1,600,T4,1,9\np3,1000,1,1,600,T4,3,9\n",
        encoding="utf-8",
    )
    problem, plan = tmp_path / "problem", tmp_path / "plan.csv"
    assert main(["import", "openb", str(tmp_path), f"out={problem}", "output=json", tracking]) == 0
    assert json.loads(capsys.readouterr().out)["containers"] == 3
    assert main(["place", f"problem={problem}", f"out={plan}", "output=json", tracking]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["placed"], document["running"]) == (2, 1)
    assert document["unplaced"] == {"cpu1-mem1-gpu0.6-T4": 1}
    assert plan.read_text().splitlines() == [
        "node,app,count,arrival,devices",
        "n1,cpu1-mem1-gpu0.6,1,1,0",
        "n1,cpu1-mem1-gpu0.6-T4,1,3,0",
    ]
    words = ["place", f"problem={problem}", "arrivals.staying=true", "arrivals.policy=best_fit", tracking]
    assert main(words) == 0
    assert "1 of 3 when they arrived" in capsys.readouterr().out
    for word, says in [("seconds=3", "seconds: has no effect"), ("scheduler=columns", "as they arrive")]:
        assert main(["place", f"problem={problem}", word, tracking]) == 2
        assert says in capsys.readouterr().err
    (problem / "arrivals.csv").unlink()
    assert main(["place", f"problem={problem}", tracking]) == 2
    assert "packing by load does not choose devices" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["place", "seconds=3"], "seconds: has no effect without problem=FOLDER"),
        (["place", "load_cost.slope=3"], "load_cost.slope: has no effect without problem=FOLDER"),
        (["place", "arrivals.staying=true"], "arrivals.staying: has no effect without problem=FOLDER"),
        (["place", "problem={problem}", "arrivals.policy=room"], "has no effect without arrivals.csv"),
        (
            ["place", "problem={problem}", "seconds=5", "scheduler=greedy"],
            "seconds: has no effect with scheduler=: that places by what co-locations are worth, and",
        ),
        (["place", "problem={problem}", "cluster.nodes=3"], "cluster.nodes: has no effect with problem="),
        (["place", "problem={problem}", "load_cost.resource=gpu"], "'gpu' is no resource of this problem"),
        (["place", "problem={problem}", "out={problem}/plan.json"], "written as CSV; end it in .csv"),
        (["place", "problem={problem}/none"], "is no folder"),
        (["place", "problem={problem}", "seconds=0"], "seconds"),
        (["import", "tianchi"], "name the source and its folder or file"),
        (["import", "tiánchi", "{problem}"], "is no source"),
        (["import", "tianchi", "{problem}", "out={problem}/new"], "holds no file *app_resources*.csv"),
        (["import", "tianchi", "{problem}", "out={problem}"], "exists and is not empty"),
    ],
)
def test_refused_in_one_line(tmp_path, tracking, capfd, words, says):
    (tmp_path / "apps.csv").write_text("app,count,cpu\nweb,1,1\n", encoding="utf-8")
    (tmp_path / "nodes.csv").write_text("node,cpu\nn1,2\n", encoding="utf-8")
    assert main([*(word.format(problem=tmp_path) for word in words), tracking]) == 2
    err = capfd.readouterr().err.strip().splitlines()
    assert says in err[-1]
    assert not [line for line in err if "Traceback" in line]
