"""Verbs that need no live cluster: the JSON documents that they print are those that were frozen."""

import json

import pytest

from tests.golden.frozen import check, stable

COUNTS = "group.counts=[2,3,1,4,5,2,2]"
PLAIN = ["scheduler=greedy+local_search", "schedulers=[optimum,greedy,spread,paragon]"]
NODES = 9


@pytest.fixture
def place_of(chain):
    """What stands in the place of a folder's path."""
    return {str(chain.folder): "FOLDER"}


@pytest.fixture
def plain(chain):
    """The words of the chain, but for schedulers that do not learn."""
    return [word for word in chain.words if not word.startswith("schedulers=")] + PLAIN


def in_rows(found):
    """A document of `place` with its placement as rows of counts, as it was printed when frozen."""
    apps, named = found.pop("apps"), found["placement"]
    rows = [[named[node].get(app, 0) for app in apps] for node in found.pop("nodes")]
    return found | {"placement": rows}


@pytest.mark.parametrize("scheduler", ["optimum", "greedy+local_search", "medea", "metis"])
def test_place(scheduler, document, plain):
    found = document("place", *plain, COUNTS, f"scheduler={scheduler}")
    check(f"verbs/place {scheduler}", stable(in_rows(found)), learned=scheduler == "metis")


@pytest.mark.parametrize("objective", ["slo", "free_nodes", "latency"])
def test_place_for_an_objective(objective, document, plain):
    check(
        f"verbs/place {objective}",
        stable(in_rows(document("place", *plain, COUNTS, f"objective={objective}"))),
    )


def test_place_under_rules_beside_existing(document, plain, tmp_path):
    path = tmp_path / "existing.csv"
    path.write_text("node,Redis,MMS\n" + "".join(f"n{i},{i % 2},{i % 3}\n" for i in range(NODES)), "utf-8")
    rules = [
        "rules.never_together=[[Redis,Checksum]]",
        "rules.at_most={MMS:2}",
        "rules.only_beside={ISR:[MMS]}",
    ]
    check(
        "verbs/place under rules",
        stable(in_rows(document("place", *plain, COUNTS, f"existing={path}", *rules))),
    )


def test_compare(document, plain):
    check("verbs/compare", stable(document("compare", *plain)))


def test_compare_groups_that_arrive(document, plain):
    words = ["groups.arrive=true", "group.size=6", "groups.skewed=true", "groups.seed=3"]
    check("verbs/compare arrive", stable(document("compare", *plain, *words)))


def numbered(found):
    """A document of `explain` with its nodes numbered from 0, as it was printed when frozen."""
    nodes = [{**one, "node": int(one["node"].removeprefix("node-")) - 1} for one in found["nodes"]]
    return found | {"nodes": nodes}


def test_explain(document, plain, tmp_path):
    words = [*plain, "group.counts=[1,2,1,1,1,1,1]", "cluster.nodes=3"]
    check("verbs/explain", stable(numbered(document("explain", *words))))
    placement = [[1, 0, 1, 0, 0, 0, 0], [0, 2, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 1, 1]]
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"placement": placement}), encoding="utf-8")
    found = stable(numbered(document("explain", *words, f"placement={path}")), {str(path): "PLAN"})
    check("verbs/explain a placement", found)


def test_constraints(document, plain, place_of, tmp_path):
    out = tmp_path / "tables"
    found = document("constraints", *plain, "constraints.threshold=0.2", f"out={out}")
    found["written"] = [path.replace(str(out), "OUT") for path in found["written"]]
    heads = {path.name: path.read_text(encoding="utf-8").splitlines()[:3] for path in sorted(out.iterdir())}
    check("verbs/constraints", stable(found, place_of) | {"files": heads})


def test_import_profile(document, full_profile, tmp_path):
    found = document("import-profile", str(full_profile), f"out={tmp_path / 'mine.npz'}")
    check("verbs/import-profile", stable(found))


@pytest.mark.parametrize("acquisition", ["optimistic", "random"])
def test_explore(acquisition, document, full_profile, chain, tmp_path):
    words = [
        "testbed=file",
        f"testbed.path={full_profile}",
        "cluster.nodes=7",
        "group.size=16",
        "groups.count=2",
        "explore.budget=40",
        "explore.start_size=16",
        f"explore.acquisition={acquisition}",
        f"out={tmp_path / 'found.npz'}",
        chain.words[-2],
    ]
    found = stable(document("explore", *words))
    assert found["history"]
    check(f"verbs/explore {acquisition}", found, learned=True)


def test_run_and_report(document, chain):
    for verb in ("run", "report"):
        found = document(verb, *chain.words)
        learned = {"metis": found["schedulers"].pop("metis")}
        check(f"verbs/{verb}", stable(found) | {"steps": list(found["runs"]), "keys": sorted(found)})
        check(f"verbs/{verb} metis", stable(learned), learned=True)


def test_status(document, chain, place_of):
    check("verbs/status", stable(document("status", *chain.words), place_of))
    changed = stable(document("status", *chain.words, "simulator.trees=11", "groups.seed=5"), place_of)
    check("verbs/status changed", changed)


def test_gc(document, chain, place_of):
    check("verbs/gc", stable(document("gc", *chain.words), place_of))
    found = stable(document("gc", *chain.words, "gc.days=0", "gc.keep=0"), place_of)
    rows = [
        {"what": row["what"].split()[0], "why": row["why"]} for row in found["old"] if row["why"] != "cached"
    ]
    # other verbs of these tests leave runs of their own
    ours = {row["what"] for row in rows} & {"setup", "profile", "simulator", "evaluate", "report"}
    check("verbs/gc everything", {"keys": sorted(found), "runs": sorted(ours)})


def test_export(document, chain, tmp_path):
    path = tmp_path / "plan.csv"
    path.write_text("Redis,MMS\n1,1\n0,2\n", encoding="utf-8")
    words = ["apps.names=[Redis,MMS]", "cluster.slots=2", f"placement={path}", chain.words[-2]]
    found = document("export", *words, "format=csv", f"out={tmp_path / 'out.csv'}")
    check("verbs/export", stable(found))


def test_doctor(document, chain):
    found = document("doctor", *chain.words, code=(0, 1))
    check(
        "verbs/doctor",
        {"keys": sorted(found), "of a check": sorted({key for row in found["checks"] for key in row})},
    )
