"""Folders that state a problem."""

import numpy as np
import pytest

from metis.errors import InputError
from metis.problem.folders import read_problem, write_problem

APPS = "app,count,cpu,memory\nweb,3,500m,1Gi\ndb,1,2,8Gi\n"
NODES = "type,count,cpu,memory\nsmall,2,2,4Gi\nlarge,1,8,32Gi\n"


def folder(tmp_path, **files):
    texts = {"apps": APPS, "nodes": NODES, **files}
    for name, text in texts.items():
        ending = "yaml" if name == "rules" else "csv"
        (tmp_path / f"{name}.{ending}").write_text(text, encoding="utf-8")
    return tmp_path


def test_units_types_and_counts(tmp_path):
    found = read_problem(folder(tmp_path))
    assert found.apps == ("web", "db")
    assert found.nodes == ("small-1", "small-2", "large-1")
    assert found.dimensions == ("cpu", "memory")
    np.testing.assert_allclose(found.requests, [[0.5, 2**30], [2, 2**33]])
    np.testing.assert_allclose(found.capacity[:, 0], [2, 2, 8])
    assert found.demand.tolist() == [3, 1]


def test_a_curve_on_one_side_holds_at_all_times_of_the_other(tmp_path):
    found = read_problem(folder(tmp_path, apps="app,count,cpu,memory\nweb,1,1|2|1.5,1\ndb,1,1,1\n"))
    assert found.dimensions == ("cpu",) * 3 + ("memory",)
    assert found.requests.tolist() == [[1, 2, 1.5, 1], [1, 1, 1, 1]]
    assert found.capacity[0].tolist() == [2, 2, 2, 2**32]


def test_rules_of_all_three_kinds(tmp_path):
    rules = "most_beside: [[web, db, 1]]\nnever_together: [[db, web], [db, db]]\nat_most: {web: 2}\n"
    found = read_problem(folder(tmp_path, rules=rules))
    assert sorted(found.beside.tolist()) == [[0, 0, 2], [0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 1, 1]]


def test_what_runs_is_part_of_the_demand(tmp_path):
    found = read_problem(folder(tmp_path, existing="node,app,count\nlarge-1,db,1\nlarge-1,db,1\n"))
    assert found.existing.tolist() == [[2, 1, 2]]
    assert found.demand.tolist() == [3, 3]


def test_written_and_read_again(tmp_path):
    stated = read_problem(
        folder(
            tmp_path,
            apps="app,count,cpu,memory\nweb,3,0.1|0.2,1Gi\ndb,1,2,8Gi\n",
            rules="at_most: {web: 2}",
            existing="node,app,count\nlarge-1,db,1\n",
        )
    )
    write_problem(tmp_path / "again", stated)
    again = read_problem(tmp_path / "again")
    for name in ("demand", "requests", "capacity", "beside", "existing"):
        np.testing.assert_array_equal(getattr(again, name), getattr(stated, name))
    assert (again.apps, again.nodes, again.dimensions) == (stated.apps, stated.nodes, stated.dimensions)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"apps": "app,count,cpu,memory\nweb,1,-1,1\n"}, "apps.csv, line 2, column cpu: '-1' is no quantity"),
        ({"apps": "app,count,cpu,memory\nweb,1,,1\n"}, "apps.csv, line 2, column cpu: '' is no quantity"),
        ({"apps": "app,count,cpu,memory\nweb,1,2Xi,1\n"}, "'2Xi' is no quantity"),
        ({"apps": "app,count,cpu,memory\nweb,1,1|2,1\ndb,1,1|2|3,1\n"}, "has 2 values, others 3"),
        ({"apps": "app,count,cpu\nweb,1,1\n"}, "nodes.csv: the column 'memory' is no resource of apps.csv"),
        ({"apps": "app,count\nweb,1\n"}, "apps.csv: names no resource"),
        ({"apps": "app,count,cpu,memory\nweb,1,9,1\n"}, "application web: no node has enough cpu"),
        ({"apps": "app,count,cpu,memory\nweb,30,1,1\n"}, "cpu: the containers ask for 30, the nodes have 12"),
        ({"apps": "app,count,cpu,memory\nweb,1,1,1\nweb,1,1,1\n"}, "the app 'web' stands twice"),
        ({"nodes": "node,count,cpu,memory\na,2,2,4\n"}, "give node for single nodes, or type and count"),
        ({"nodes": "type,count,cpu,memory\nsmall,0,2,4\n"}, "has 0 nodes"),
        ({"rules": "at_most: {wbe: 2}"}, "rules.yaml: 'wbe' is unknown; use web, db"),
        ({"rules": "only_besides: {web: [db]}"}, "rules.yaml: only_besides: there is no such setting"),
        (
            {"existing": "node,app,count\nlarge-9,db,1\n"},
            "existing.csv, line 2, column node: 'large-9' is unknown",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, files, says):
    with pytest.raises(InputError) as refused:
        read_problem(folder(tmp_path, **files))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        read_problem(tmp_path / "none")
