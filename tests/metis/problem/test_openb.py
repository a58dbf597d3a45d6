"""The 2023 trace in its form, and arrivals as a folder states them."""

from pathlib import Path

import numpy as np
import pytest

from metis.errors import InputError
from metis.problem.arrivals import ArrivalsSettings, read_arrivals, write_arrivals
from metis.problem.folders import read_problem, write_problem
from metis.problem.openb import read_openb

INSTANCES = Path(__file__).parents[3].parent / "shared" / "instances"
NODES = "sn,cpu_milli,memory_mib,gpu,model\nn0,32000,1024,0,\nn1,96000,2048,8,G2\n"
PODS = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
    "p0,6000,12,1,460,G2|T4,LS,Running,5,50,5\n"
    "p1,12500,16,2,1000,,BE,Failed,3,,\n"
    "p2,6000,12,1,460,T4|G2,LS,Running,7,9,8\n"
    "p3,500,16,0,0,,LS,Pending,7,9,\n"
)


def trace(tmp_path, nodes=NODES, pods=PODS):
    (tmp_path / "openb_node_list_all_node.csv").write_text(nodes, encoding="utf-8")
    (tmp_path / "openb_pod_list_default.csv").write_text(pods, encoding="utf-8")
    return tmp_path


def test_pods_of_one_shape_are_an_application_in_order_of_creation(tmp_path):
    statement, arrivals = read_openb(trace(tmp_path))
    assert statement.apps == ("cpu6-mem12-gpu0.46-G2-T4", "cpu12.5-mem16-gpu2", "cpu0.5-mem16-gpu0")
    np.testing.assert_allclose(statement.requests, [[6, 12 * 2**20, 0.46], [12.5, 2**24, 2], [0.5, 2**24, 0]])
    assert statement.types == ("cpu-32-1-0", "G2-96-2-8")
    assert statement.capacity[1].tolist() == [96, 2**31, 8]
    assert dict(statement.rules.eligible) == {"cpu6-mem12-gpu0.46-G2-T4": ("G2", "T4")}
    assert arrivals.app.tolist() == [1, 0, 0, 2]
    assert arrivals.arrives.tolist() == [3, 5, 7, 7]
    assert arrivals.leaves.tolist() == [np.inf, 50, 9, 9]


def test_written_as_a_folder_and_read_again(tmp_path):
    statement, arrivals = read_openb(trace(tmp_path))
    write_problem(tmp_path / "problem", statement)
    write_arrivals(tmp_path / "problem", statement, arrivals)
    again = read_problem(tmp_path / "problem")
    assert (again.apps, again.devices, again.labels) == (statement.apps, "gpu", statement.labels)
    assert again.rules == statement.rules
    np.testing.assert_allclose(again.requests, statement.requests)
    found = read_arrivals(tmp_path / "problem", again)
    for name in ("app", "arrives", "leaves"):
        assert getattr(found, name).tolist() == getattr(arrivals, name).tolist()


@pytest.mark.parametrize(
    ("apps", "arrivals", "says"),
    [
        ("web,0,1", "app,arrives\nwebb,1\n", "line 2, column app: 'webb' is unknown; did you mean 'web'?"),
        ("web,0,1", "app,arrives\nweb,\n", "line 2, column arrives: is blank; give a time"),
        ("web,0,1", "app,arrives,leaves\nweb,3,2\n", "line 2, column leaves: 2 is before it arrives"),
        ("web,0,1", "app,time\nweb,3\n", "the column 'time' is no column"),
        ("web,2,1", "app,arrives\nweb,3\n", "give every count of apps.csv 0"),
    ],
)
def test_arrivals_that_are_refused(tmp_path, apps, arrivals, says):
    (tmp_path / "apps.csv").write_text(f"app,count,cpu\n{apps}\n", encoding="utf-8")
    (tmp_path / "nodes.csv").write_text("node,cpu\nn1,4\n", encoding="utf-8")
    (tmp_path / "arrivals.csv").write_text(arrivals, encoding="utf-8")
    with pytest.raises(InputError, match=r"arrivals\.csv") as caught:
        read_arrivals(tmp_path, read_problem(tmp_path))
    assert says in str(caught.value)


def test_a_trace_that_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no file openb_node_list_all_node"):
        read_openb(tmp_path)
    with pytest.raises(InputError, match="line 2, column creation_time: is blank"):
        read_openb(trace(tmp_path, pods=PODS.replace("Running,5,", "Running,,", 1)))


@pytest.mark.skipif(
    not (INSTANCES / "openb_pod_list_default.csv").exists(),
    reason="the 2023 trace is not beside the project",
)
def test_the_published_trace():
    """1,523 nodes, 8,152 pods; staying, best fit places 7,651 and room more."""
    from metis.program.arrivals import place_arrivals

    statement, arrivals = read_openb(INSTANCES)
    assert (len(statement.nodes), len(statement.types), len(arrivals.app)) == (1523, 27, 8152)
    best, room = (
        place_arrivals(statement, arrivals, ArrivalsSettings(policy, staying=True)).placed
        for policy in ("best_fit", "room")
    )
    assert best == 7651
    assert room >= 8000
