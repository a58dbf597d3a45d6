import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis.errors import InputError
from metis.explain import HEADER, explain
from metis.problem.cluster import Cluster
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

SPACE = ColocationSpace(("a", "b", "c"), 4)


def tables():
    """a gains 0.5 beside any b and loses 0.1 per further a; b loses 0.2 per a; c is indifferent."""
    counts = SPACE.counts
    rps = np.ones((SPACE.size, 3))
    rps[:, 0] += 0.5 * (counts[:, 1] > 0) - 0.1 * (counts[:, 0] - 1)
    rps[:, 1] -= 0.2 * counts[:, 0]
    return Tables(SPACE, {"rps": np.where(counts > 0, rps, 0.0)})


def test_who_gains_and_who_costs():
    cluster = Cluster(SPACE, 2, np.array([[0, 1, 0], [0, 0, 0]]))
    found = explain(np.array([[2, 0, 0], [0, 0, 1]]), cluster, tables())
    node = found.node(0)
    assert node["holds"] == "2 a + 1 b"
    first, second = node["applications"]
    assert (first["application"], first["containers"], first["existing"]) == ("a", 2, 0)
    assert (second["application"], second["existing"]) == ("b", 1)
    assert first["rps"] == pytest.approx(1.4)
    assert first["from_one"] == {"a": pytest.approx(-0.1), "b": pytest.approx(0.5)}
    assert second["from_one"] == {"a": pytest.approx(-0.2)}  # b is the only one of its kind
    assert first["gives_neighbours"] == pytest.approx(-0.1 - 0.2)  # to the other a and to b
    assert second["gives_neighbours"] == pytest.approx(2 * 0.5)
    alone = found.node(1)["applications"][0]
    assert (alone["rps"], alone["from_one"], alone["gives_neighbours"]) == (1.0, {}, 0.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_effects_are_differences_on_removal(seed):
    rng = np.random.default_rng(seed)
    table = Tables(SPACE, {"rps": np.where(SPACE.counts > 0, rng.random((SPACE.size, 3)), 0.0)})
    placement = SPACE.counts[rng.integers(0, SPACE.size, 4)]
    found = explain(placement, Cluster(SPACE, 4), table)
    for n, row in enumerate(placement):
        here = table.rps[SPACE.index(row)]
        for c in range(3):
            without = row - np.eye(3, dtype=int)[c]
            for s in range(3):
                if row[c] == 0 or without[s] <= 0:
                    assert np.isnan(found.effect[n, s, c])
                else:
                    removed = table.rps[SPACE.index(without), s]
                    assert found.effect[n, s, c] == pytest.approx(here[s] - removed)
            if row[c]:
                # with c's own RPS, this is what the node loses with it
                lost = (row * here).sum() - (without * table.rps[SPACE.index(np.maximum(without, 0))]).sum()
                assert found.given[n, c] + here[c] == pytest.approx(lost)


def test_json_and_totals():
    violated = {"a: at most 1 a": np.array([2.0, 0.0])}
    found = explain(np.array([[2, 0, 0], [0, 0, 0]]), Cluster(SPACE, 2), tables(), violated)
    entry = found.as_dict()
    assert json.loads(json.dumps(entry, allow_nan=False)) == entry
    assert (entry["containers"], entry["free_nodes"]) == (2, 1)
    assert entry["rps"] == pytest.approx(0.9)
    assert entry["violated"] == {"a: at most 1 a": 2.0}
    assert entry["nodes"][0]["violated"] == {"a: at most 1 a": 2.0}
    assert entry["nodes"][1]["violated"] == {}
    assert len(found.as_dict([1])["nodes"]) == 1


def test_table_has_a_line_per_application_of_a_node():
    violated = {"a: at most 1 a": np.array([2.0, 0.0])}
    found = explain(np.array([[2, 1, 0], [0, 0, 0]]), Cluster(SPACE, 2), tables(), violated)
    lines = found.table().splitlines()
    assert len(lines) == 3
    assert "0      2 a + 1 b" in lines[1]
    assert "1.400" in lines[1]
    assert "a +0.100, b -0.500" in lines[1]  # an a gains 0.1 if the other a left, loses 0.5 if b did
    assert lines[1].endswith("a: at most 1 a (2)")
    assert found.table([1]).count("\n") == 0


def test_nodes_that_are_alike_share_a_line():
    placement = np.array([[2, 0, 0], [0, 0, 1], [2, 0, 0], [2, 0, 0], [0, 0, 0], [1, 0, 0], [2, 0, 0]])
    existing = np.zeros_like(placement)
    existing[5, 0] = 1  # node 5 holds the same as the first, part of it from before
    violated = {"a: at most 1 a": np.array([1.0, 0, 1, 1, 0, 1, 0])}  # node 6 violates nothing
    found = explain(placement, Cluster(SPACE, 7, existing), tables(), violated)
    assert [row[:3] for row in found.rows()] == [
        ("3: 0, 2-3", "2 a", "a"),
        ("1", "1 c", "c"),
        ("5", "2 a", "a"),
        ("6", "2 a", "a"),
    ]
    assert [row[0] for row in found.rows([2, 3, 6])] == ["2: 2-3", "6"]
    assert len(found.as_dict()["nodes"]) == 7  # one by one in JSON
    called = replace(found, names=("alpha", "beta", "gamma", "delta", "eps", "zeta", "eta"))
    assert [row[0] for row in called.rows()] == ["3: alpha, gamma, delta", "beta", "zeta", "eta"]


def test_many_nodes_by_name_are_named_from_first_to_last():
    placement = np.repeat([[2, 0, 0], [0, 0, 1], [2, 0, 0]], [8, 1, 1], axis=0)
    found = explain(placement, Cluster(SPACE, 10), tables())
    called = replace(found, names=tuple(f"node-{i}" for i in range(1, 11)))
    assert [row[0] for row in called.rows()] == ["9: node-1 to node-8, node-10", "node-9"]


def test_further_quantities_stand_beside_the_rps():
    p99 = np.where(SPACE.counts > 0, 2.5, 0.0)
    p99[:, 1] = np.nan
    both = Tables(SPACE, {"rps": tables().rps, "p99": p99})
    found = explain(np.array([[2, 1, 0]]), Cluster(SPACE, 1), both, None, ("rps", "p99"))
    entries = found.node(0)["applications"]
    assert [entry["p99"] for entry in entries] == [2.5, None]
    assert found.header == ("nodes", "holds", "application", "rps", "p99 (s)", *HEADER[4:])
    assert [row[4] for row in found.rows()] == ["2.500", ""]
    assert len(found.table().splitlines()) == 3
    assert explain(np.array([[2, 1, 0]]), Cluster(SPACE, 1), both).header == HEADER
    with pytest.raises(InputError, match="'p99' is not among"):
        explain(np.array([[2, 1, 0]]), Cluster(SPACE, 1), tables(), None, ("p99",))


def test_an_empty_cluster_has_nothing_to_explain():
    found = explain(np.zeros((2, 3), dtype=int), Cluster(SPACE, 2), tables()).as_dict()
    assert (found["containers"], found["rps"], found["free_nodes"]) == (0, 0.0, 2)


def test_what_does_not_belong_together_is_refused():
    cluster = Cluster(SPACE, 2)
    with pytest.raises(InputError, match="shape"):
        explain(np.zeros((3, 3), dtype=int), cluster, tables())
    with pytest.raises(InputError, match="one extent per node"):
        explain(np.zeros((2, 3), dtype=int), cluster, tables(), {"x": np.zeros(3)})
    with pytest.raises(InputError, match="nodes 0 to 1"):
        explain(np.zeros((2, 3), dtype=int), cluster, tables()).node(2)
