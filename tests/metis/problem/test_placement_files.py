"""Placement files: what is written by name is read again, and a wrong file is refused by name."""

import json

import numpy as np
import pytest

from metis.errors import InputError
from metis.files import save_arrays
from metis.problem.placement_files import as_named, read_placement, write_plan
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
