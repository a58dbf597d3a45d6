"""Files that would fill the memory, and names that a tool would act on: one line, at once."""

import io
import json
import zipfile

import numpy as np
import pytest

from flows.command.main import main
from flows.placing.decisions import refuse_too_many
from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.placement_files import read_placement
from metis.problem.space import ColocationSpace
from tests.metis.inputs.test_documents import BOMB

GROUP = "group.counts=[1,1,1,1,1,1,1]"


@pytest.fixture(scope="module")
def tracking(tmp_path_factory):
    return f"tracking.path={tmp_path_factory.mktemp('hostile')}"


@pytest.fixture
def refused(tracking, full_profile, capfd):
    """The one line with which `metis place` refuses words."""

    def run(*words, verb="place"):
        profile = ["profile=file", f"profile.path={full_profile}", "simulator=table"]
        shared = [tracking, "cluster.nodes=4", "scheduler=greedy", *profile]
        code = main([verb, *(shared if verb == "place" else []), *words])
        out, err = capfd.readouterr()
        assert (code, out) == (2, "")
        lines = [line for line in err.splitlines() if line.startswith("metis: ")]
        assert len(lines) == 1, err
        assert "Traceback" not in err
        return lines[0]

    return run


def promise(path, name, shape):
    raw = io.BytesIO()
    np.lib.format.write_array_header_1_0(raw, {"descr": "<i8", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.npy", raw.getvalue())
    return path


@pytest.mark.parametrize(
    ("key", "name"), [("existing", "placement"), ("groups.path", "groups"), ("profile.path", "alloc")]
)
def test_an_array_is_refused_by_its_declared_size(refused, tmp_path, key, name):
    path = promise(tmp_path / "a.npz", name, (1 << 40, 7))
    words = [] if key == "groups.path" else [GROUP]
    assert f"{path}: {name}.npy of shape (1099511627776, 7) unpacks to" in refused(*words, f"{key}={path}")


@pytest.mark.parametrize("key", ["existing", "placement", "groups.path", "profile.path"])
@pytest.mark.parametrize("ending", ["json", "csv"])
def test_a_text_is_refused_by_its_size(refused, tmp_path, monkeypatch, key, ending):
    if (key, ending) in (("groups.path", "json"), ("profile.path", "json")):
        pytest.skip("read as archives")
    monkeypatch.setattr("metis.inputs.documents.read_text.__defaults__", (100,))
    monkeypatch.setattr("metis.inputs.documents.read_json.__defaults__", (100,))
    path = tmp_path / f"a.{ending}"
    path.write_text("Redis\n" + "1\n" * 200)
    words = [] if key == "groups.path" else [GROUP]
    words = ["apps.names=[Redis]", f"placement={path}"] if key == "placement" else [*words, f"{key}={path}"]
    said = refused(*words, verb="export" if key == "placement" else "place")
    assert f"{path}: holds more than 100 bytes" in said


def test_a_yaml_bomb_in_a_config_dir_is_refused(refused, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    path = tmp_path / "mine" / "experiment" / "mine.yaml"
    path.write_text(BOMB)
    said = refused(GROUP, "--config-dir", str(tmp_path / "mine"), "experiment=mine")
    assert f"{path}: its aliases expand to more than" in said


def test_a_yaml_bomb_of_coefficients_is_refused(refused, tmp_path):
    (tmp_path / "c.yaml").write_text(BOMB)
    words = [
        "profile.kind=testbed",
        "profile.path=null",
        f"testbed.coefficients={tmp_path / 'c.yaml'}",
        GROUP,
    ]
    assert "c.yaml: its aliases expand to more than" in refused(*words)


HOSTILE = ["<script>alert(1)</script>", "a\nb", "../../etc", "=cmd|calc", "a b"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_of_applications_are_refused_at_import(refused, tmp_path, name):
    cell = json.dumps(name) if "\n" not in name else f'"{name}"'
    path = tmp_path / "m.csv"
    path.write_text(f'{cell},"rps_{cell[1:-1]}"\n1,5\n')
    assert "give letters, digits" in refused(str(path), f"out={tmp_path / 'o.npz'}", verb="import-profile")
    assert not (tmp_path / "o.npz").exists()


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("ending", ["json", "csv"])
def test_hostile_names_of_nodes_are_refused(tmp_path, name, ending):
    path = tmp_path / f"e.{ending}"
    plan = {"nodes": [name], "placement": {name: {"Redis": 1}}}
    path.write_text(json.dumps(plan) if ending == "json" else f'node,Redis\n"{name}",1\n')
    with pytest.raises(InputError, match=r"e\.(json|csv): node .*: give letters, digits"):
        read_placement(path, ColocationSpace(("Redis", "MMS"), 3))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["group.counts={Redis:1e18}"], "1e+18 is not a count; give whole numbers, 0 to 1e+09"),
        (["group.size=1000000000000000000"], "group.size 1000000000000000000: give"),
        (["group.size=1e30"], "group.size"),
        (["cluster.nodes=1000000000000000000", GROUP], "cluster.nodes 1000000000000000000: give"),
        (
            ["group.size=1000000000"],
            "1,000,000,000 containers do not fit: 4 nodes of 3 slots have 12 slots free",
        ),
    ],
)
def test_absurd_counts_are_one_line(refused, words, says):
    assert says in refused(*words)


def test_placements_that_no_machine_holds_are_refused():
    cluster = Cluster(ColocationSpace(("a", "b"), 2), 1_000_000)
    with pytest.raises(InputError, match="10,000 groups on 1,000,000 nodes: their placements take"):
        refuse_too_many(10_000, cluster)
    refuse_too_many(10, cluster)
