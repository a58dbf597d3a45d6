"""Placement files: what is written by name is read again, and a wrong file is refused by name."""

import json

import numpy as np
import pytest

from metis.errors import InputError
from metis.files import save_arrays
from metis.problem.cluster import Cluster
from metis.problem.placement_files import (
    as_named,
    named_apps,
    named_nodes,
    names_of_nodes,
    read_existing,
    read_placement,
    write_plan,
)
from metis.problem.space import ColocationSpace

SPACE = ColocationSpace(("Redis", "MMS", "ISR"), 4)
PLACEMENT = np.array([[2, 0, 1], [0, 0, 0], [0, 3, 0]])
NODES = ["node-2", "node-1", "east"]


def test_a_plan_names_applications_and_nodes():
    assert as_named(PLACEMENT, SPACE.apps, NODES) == {
        "apps": ["Redis", "MMS", "ISR"],
        "nodes": NODES,
        "placement": {"node-2": {"Redis": 2, "ISR": 1}, "node-1": {}, "east": {"MMS": 3}},
    }


def test_a_written_plan_is_read_in_the_order_of_its_nodes(tmp_path):
    path = tmp_path / "plan.json"
    write_plan(path, PLACEMENT, SPACE.apps, NODES)
    assert json.loads(path.read_text())["nodes"] == NODES
    np.testing.assert_array_equal(read_placement(path, SPACE), PLACEMENT)
    other = ColocationSpace(("MMS", "web", "Redis", "ISR"), 4)
    np.testing.assert_array_equal(read_placement(path, other)[:, [2, 0, 3]], PLACEMENT)


def test_a_plan_that_cannot_be_written_leaves_no_file(tmp_path):
    with pytest.raises(InputError, match="2 nodes"):
        write_plan(tmp_path / "plan.json", PLACEMENT, SPACE.apps, NODES[:2])
    with pytest.raises(InputError, match="each name once"):
        write_plan(tmp_path / "plan.json", PLACEMENT, SPACE.apps, ["a", "b", "a"])
    assert not list(tmp_path.iterdir())


def test_rows_are_read_from_json_npz_and_csv(tmp_path):
    (tmp_path / "rows.json").write_text(json.dumps({"placement": PLACEMENT.tolist()}))
    save_arrays(tmp_path / "rows.npz", {"placement": PLACEMENT})
    (tmp_path / "rows.csv").write_text("node,ISR,Redis,MMS\na,1,2,0\nb,0,0,0\nc,0,0,3\n")
    for name in ("rows.json", "rows.npz", "rows.csv"):
        np.testing.assert_array_equal(read_placement(tmp_path / name, SPACE), PLACEMENT)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"placement": {"a": {"Rediss": 2}}}, "node 'a' holds the unknown application 'Rediss'"),
        ({"placement": {"a": {"Redis": -2}}}, "node a: -2 is not a count"),
        ({"placement": {"a": 2}}, "node 'a' holds 2; give containers by application"),
        ({"nodes": ["a"], "placement": {"b": {}}}, "the node 'b' of `placement` is not among `nodes`"),
        ({"nodes": ["a", "a"], "placement": {}}, "each node once"),
        ({"nodes": [], "placement": {}}, "`nodes` names none"),
        ({"nodes": ["a"]}, "holds no placement"),
        ([1, 2], "holds no placement"),
    ],
)
def test_a_wrong_plan_is_refused_by_name(tmp_path, document, message):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=message) as refused:
        read_placement(path, SPACE)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        "node,Redis,MMS,ISR\n2,0,3,0\n0,2,0,1\n1,,,\n",  # numbered: in the order of the numbers
        "node,Redis,MMS,ISR\n3,0,3,0\n1,2,0,1\n2,0,0,0\n",
        "node;ISR;MMS;Redis\r\na;1;;2\r\nb;0;0;0\r\nc;0;3;0\r\n;;;\r\n",
        "group,node,Redis,MMS,ISR\n1,0,9,9,9\n0,0,2,0,1\n0,1,0,0,0\n0,2,0,3,0\n",  # of groups the first
    ],
)
def test_columns_that_number_rows_are_honoured(tmp_path, content):
    (tmp_path / "rows.CSV").write_text(content)
    np.testing.assert_array_equal(read_placement(tmp_path / "rows.CSV", SPACE), PLACEMENT)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (",Redis\n0,2\n", "column 1 has no name"),
        ("Redis,MMS\n1,2,0\n", "line 2: has 3 values, the header 2 names"),
        ("Redis,Redis\n1,2\n", "the column 'Redis' stands twice"),
        ("redis\n1\n", "the column 'redis' is no application; did you mean 'Redis'"),
        ("node,Redis\na,1\na,2\n", "the node 'a' stands twice"),
        ("node,Redis\n4,1\n9,2\n", "number the rows from 0 or 1"),
        ("Redis\n1\n\n2\n", "line 3: is empty between others"),
    ],
)
def test_tables_that_could_shift_are_refused(tmp_path, content, says):
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(InputError, match=says):
        read_placement(tmp_path / "rows.csv", SPACE)


def test_columns_of_archives_are_matched_by_name(tmp_path):
    named = {"placement": PLACEMENT[:, [2, 0, 1]], "apps": ["ISR", "Redis", "MMS"]}
    save_arrays(tmp_path / "named.npz", named)
    np.testing.assert_array_equal(read_placement(tmp_path / "named.npz", SPACE), PLACEMENT)
    np.savez(tmp_path / "more.npz", **named, notes=np.array([{}], dtype=object))  # not needed, not read
    np.testing.assert_array_equal(read_placement(tmp_path / "more.npz", SPACE), PLACEMENT)
    save_arrays(tmp_path / "other.npz", named | {"apps": ["ISR", "Redis", "web"]})
    with pytest.raises(InputError, match=r"give apps\.names as there"):
        read_placement(tmp_path / "other.npz", SPACE)
    save_arrays(tmp_path / "nine.npz", {"placement": np.ones((2, 9))})
    with pytest.raises(InputError, match=r"shape \(2, 9\): give a row per node and a column for each"):
        read_placement(tmp_path / "nine.npz", SPACE)


def test_a_plan_beside_what_runs_holds_both_and_says_which_ran_before(tmp_path):
    path, before = tmp_path / "plan.json", np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    write_plan(path, PLACEMENT, SPACE.apps, NODES, before)
    np.testing.assert_array_equal(read_placement(path, SPACE), PLACEMENT + before)
    found = read_existing(path, SPACE)
    assert found is not None
    np.testing.assert_array_equal(found, before)
    write_plan(path, PLACEMENT, SPACE.apps, NODES)
    assert read_existing(path, SPACE) is None
    assert named_apps(path) == SPACE.apps


def test_nodes_are_called_as_in_the_file_else_by_number(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("node,Redis\neast,1\nwest,0\n", "utf-8")
    assert names_of_nodes(str(path), Cluster(SPACE, 2)) == ("east", "west")
    assert names_of_nodes(None, Cluster(SPACE, 2)) == ("node-1", "node-2")


def test_rows_of_node_application_and_count_are_read_in_the_order_of_their_nodes(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("node,app,count\nwest,Redis,1\neast,MMS,3\nwest,ISR,1\nwest,Redis,1\nfree,MMS,0\n")
    np.testing.assert_array_equal(read_placement(path, SPACE), [[2, 0, 1], [0, 3, 0], [0, 0, 0]])
    assert named_nodes(path, SPACE.apps) == ("west", "east", "free")
    path.write_text("node,app,count\nwest,Redis,1\neast,Nginx,3\n")
    with pytest.raises(InputError, match=r"line 3, column app: 'Nginx' is unknown"):
        read_placement(path, SPACE)
    path.write_text("node,app,count\nwest,Redis,few\n")
    with pytest.raises(InputError, match="line 2, column count"):
        read_placement(path, SPACE)
