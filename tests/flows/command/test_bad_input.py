"""What bad input and bad surroundings lead to: one line, an exit code, nothing half-written."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from flows.command.main import main
from tests import preloaded
from tests.pipeline.test_chain import SMALL

GROUP = "group.counts=[1,1,1,1,1,1,1]"


def the_line(err):
    """The one line about what is wrong; beside it only steps that were done, and the command that resumes."""
    assert "Traceback" not in err
    lines = err.splitlines()
    said = [line for line in lines if line.startswith("metis: ")]
    assert len(said) == 1, err
    others = [line for line in lines if not line.startswith(("metis: ", "  ", "new tracking store: "))]
    assert all(line.startswith("metis ") for line in others), err
    return said[0]


@pytest.fixture
def place(store, full_profile, capfd):
    """Exit code and the one line of `metis place` on a full profile."""

    def run(*words, verb="place"):
        shared = [f"tracking.path={store.root}", "cluster.nodes=4"]
        shared += ["scheduler=greedy"] if verb == "place" else ["schedulers=[greedy]"]
        profile = ["profile=file", f"profile.path={full_profile}", "simulator=table"]
        code = main([verb, *shared, *profile, *words])
        out, err = capfd.readouterr()
        assert out == ""
        return code, the_line(err)

    return run


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["group.counts=[9,9,0,0,0,0,0]"], "18 containers do not fit: 4 nodes of 3 slots have 12 slots free"),
        (["group.counts={Redis:1,Nginx:2}"], "unknown application 'Nginx': use Redis, MMS"),
        (["group.counts=[1,1]"], "group.counts has 2 counts: give 7, in the order Redis, MMS"),
        (["group.counts=[1,1,1,1,1,1,-1]"], "group.counts: -1 is not a count; give whole numbers"),
        (["group.counts=[1,1,1,1,1,1,0.5]"], "group.counts: 0.5 is not a count; give whole numbers"),
        (["group.counts=[1e300,1,1,1,1,1,1]"], "group.counts: 1e+300 is not a count"),
        (["group.counts=[0,0,0,0,0,0,0]"], "group.counts is all 0"),
        ([GROUP, "cluster.nodes=0"], "cluster.nodes 0: "),
        ([GROUP, "cluster.slots=-1"], "cluster.slots -1: "),
        ([GROUP, "cluster.slots=4"], "simulator=table needs every co-location measured"),
        (
            [GROUP, "scheduler=gready"],
            "'gready' is unknown: did you mean greedy? use one of optimum",
        ),
        ([GROUP, "scheduler=greedy+gready"], "'gready' cannot be put after"),
        ([GROUP, "scheduler=nowhere:place"], "No module named 'nowhere'"),
        ([GROUP, "objectiv=slo"], "objectiv"),
        ([GROUP, "objective=slo", "objective.level=50"], "objective.level 50: "),
        ([GROUP, "rules.at_most={Nginx:2}"], "rules name the unknown application 'Nginx'"),
        ([GROUP, "rules.only_beside={MMS:[MMS]}"], "rules.only_beside.MMS [MMS]: name one or more other"),
        ([GROUP, "rules.never_together=[[app-1]]"], "rules.never_together.0 [app-1]: give a pair"),
        ([GROUP, "rules.most_beside=[[Redis]]"], "rules.most_beside.0 [Redis]: give 3 of them"),
        ([GROUP, "seed=null"], "seed null: give a whole number"),
        ([GROUP, "cluster.nodes=[1,null]"], "cluster.nodes [1, null]: give a whole number"),
        ([GROUP, "apps.names=[a,b]"], "but apps.names asks for a, b"),
        ([GROUP, "existing=none.json"], "none.json"),
        (["groups.path=none.npz"], "none.npz"),
        (
            [GROUP, "scheduler=optimum", "rules.at_most={Redis:0}"],
            "leave no room for rules.at_most.Redis=0; ",
        ),
    ],
)
def test_a_mistake_is_one_line_with_what_would_be_right(place, words, says):
    code, err = place(*words)
    assert code == 2
    assert says in err


@pytest.mark.parametrize("verb", ["compare", "run"])
def test_so_do_the_other_verbs(place, verb):
    code, err = place("cluster.nodes=0", verb=verb)
    assert (code, "cluster.nodes 0" in err) == (2, True)


@pytest.mark.parametrize(
    "word",
    ["profile.path={}.npz", "profile.path={}.csv", "testbed=file testbed.path={}.npz simulator=testbed"],
)
def test_measurements_that_are_not_there_are_refused_before_anything_is_made(tmp_path, capfd, word):
    given = word.format(tmp_path / "nope").split()
    given += ["profile=file"] if word.startswith("profile") else []
    assert main(["run", "experiment=quick", f"tracking.path={tmp_path / 'm'}", *given]) == 2
    err = capfd.readouterr().err
    assert err.startswith(f"metis: {tmp_path / 'nope'}.")
    assert err.endswith(": no such profile; give the path of an .npz or .csv file\n")
    assert err.count("\n") == 1
    assert list((tmp_path / "m").iterdir()) == []


def test_a_folder_in_place_of_a_file_is_called_one(tmp_path, capfd):
    folder = tmp_path / "dir.csv"
    folder.mkdir()
    shared = [f"tracking.path={tmp_path / 'm'}", "simulator=testbed", "scheduler=greedy", "cluster.slots=3"]
    for words in (
        ["import-profile", str(folder)],
        ["place", *shared[:1], "profile=file", f"profile.path={folder}"],
        ["place", *shared, f"existing={folder}"],
        ["place", *shared, f"groups.path={folder}"],
        ["explain", *shared[:1], f"placement={folder}"],
    ):
        assert main(words) == 2
        assert "is a folder; give a file" in the_line(capfd.readouterr().err)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut off"])
@pytest.mark.parametrize("verb", ["place", "import-profile"])
def test_a_corrupt_profile_is_refused(tmp_path, capfd, content, verb):
    path = tmp_path / "p.npz"
    path.write_bytes(content)
    words = [str(path), f"out={tmp_path / 'o.npz'}"] if verb == "import-profile" else [f"profile.path={path}"]
    assert (
        main([verb, *words, *([] if verb == "import-profile" else [f"tracking.path={tmp_path / 'm'}"])]) == 2
    )
    out, err = capfd.readouterr()
    assert out == ""
    assert f"{path}: not a readable .npz file" in the_line(err)
    assert not (tmp_path / "o.npz").exists()


def test_a_profile_that_would_run_something_is_refused(place, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch '{tmp_path / 'marker'}'",)

    alloc = np.zeros((2, 7), dtype=object)
    alloc[0, 0] = Evil()
    np.savez(tmp_path / "e.npz", alloc=alloc, rps=np.zeros((2, 7)))
    for verb in ("place", "compare"):
        code, err = place(f"profile.path={tmp_path / 'e.npz'}", verb=verb)
        assert code == 2
        assert "alloc.npy is refused: it names" in err
    code, err = place(f"testbed.path={tmp_path / 'e.npz'}", verb="compare")
    assert (code, "alloc.npy is refused" in err) == (2, True)
    assert not (tmp_path / "marker").exists()


def test_an_existing_placement_that_cannot_be_is_refused(place, tmp_path):
    path = tmp_path / "e.csv"
    path.write_text("Redis,MMS\n9,0\n0,0\n0,0\n0,0\n", encoding="utf-8")
    code, err = place(GROUP, f"existing={path}")
    assert (code, "node 0 holds 9 containers and has 3 slots" in err) == (2, True)
    path.write_text("node,Redis,MMS\nwest,1,0\neast,9,0\n", encoding="utf-8")
    code, err = place(GROUP, f"existing={path}")
    assert (code, "e.csv: node east holds 9 containers and has 3 slots" in err) == (2, True)
    plan = tmp_path / "e.json"
    plan.write_text('{"placement": {"west": {"Redis": 1}, "east": {"Redis": 9}}}', encoding="utf-8")
    code, err = place(GROUP, f"existing={plan}")
    assert (code, "e.json: node east holds 9 containers and has 3 slots" in err) == (2, True)
    path.write_text("Redis,Nginx\n1,0\n", encoding="utf-8")
    code, err = place(GROUP, f"existing={path}")
    assert (code, "'Nginx' is no application" in err) == (2, True)


def test_an_explanation_of_what_is_placed_now_has_a_title_and_the_names_of_plans(
    store, full_profile, tmp_path, capfd
):
    """`metis: 8 containers` read like an error, and its nodes 0 to 3 were node-1 to node-4 of a plan."""
    words = [f"tracking.path={store.root}", "profile=file", f"profile.path={full_profile}", "simulator=table"]
    words += ["scheduler=greedy", "cluster.nodes=4", "group.counts={Redis:8}"]
    plan = tmp_path / "plan.json"
    assert main(["place", *words, f"out={plan}"]) == 0
    capfd.readouterr()
    assert main(["explain", *words]) == 0
    shown = capfd.readouterr().out
    assert shown.startswith("Placement by greedy: 8 containers, mean RPS")
    assert "node-1" in shown
    assert main(["explain", *words, "output=json"]) == 0
    explained = [one["node"] for one in json.loads(capfd.readouterr().out)["nodes"]]
    assert explained == json.loads(plan.read_text())["nodes"] == [f"node-{i}" for i in range(1, 5)]


def test_a_plan_beside_what_runs_is_explained_whole_and_on_its_nodes(store, full_profile, tmp_path, capfd):
    words = [f"tracking.path={store.root}", "profile=file", f"profile.path={full_profile}", "simulator=table"]
    running, plan = tmp_path / "e.csv", tmp_path / "plan.json"
    running.write_text("node,Redis,MMS\neast,2,0\nwest,0,1\n", encoding="utf-8")
    on = [*words, "cluster.nodes=2"]
    beside = ["scheduler=greedy", "group.counts={ISR:2}", f"existing={running}", f"out={plan}"]
    assert main(["place", *on, *beside]) == 0
    assert f"written: {plan}, with the 3 containers that ran before" in capfd.readouterr().out
    assert main(["explain", *on, f"placement={plan}"]) == 0
    out = capfd.readouterr().out
    assert "5 containers" in out
    assert "east" in out
    running.write_text("node,Redis\neast,1\nwest,1\n", encoding="utf-8")
    assert main(["explain", *on, f"placement={plan}", f"existing={running}"]) == 2
    assert "was made beside other containers than existing=" in the_line(capfd.readouterr().err)
    assert main(["explain", *words, "cluster.nodes=5", f"placement={plan}"]) == 2
    assert "places on 2 nodes, cluster.nodes is 5: give cluster.nodes=2" in the_line(capfd.readouterr().err)


def test_a_database_of_a_newer_version(tmp_path, empty_database, capfd):
    folder = tmp_path / "mlruns"
    folder.mkdir()
    shutil.copy(empty_database, folder)
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = 'ffffffffffff'")
    database.close()
    before = (folder / "mlflow.db").read_bytes()
    assert main(["run", *SMALL, f"tracking.path={folder}", "tracking.orchestrate=false"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert "another version of MLflow" in the_line(err)
    assert (folder / "mlflow.db").read_bytes() == before


LIMITED = """
import resource, signal, sys
from flows.command.main import main
size = int(sys.argv[1])
if size:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
sys.exit(main(sys.argv[2:]))
"""


def limited(words, size):
    """`metis run` in a process; where a `size` is given its files may not grow beyond: writes fail."""
    return preloaded.run(
        [sys.executable, "-c", LIMITED, str(size or 0), "run", *words],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def mounted(disk, size, *more):
    """Whether a file system of `size` bytes could be mounted at a folder, which needs the right to."""
    command = ["mount", "-t", "tmpfs", "-o", ",".join([*more, f"size={size}"]), "none", str(disk)]
    return shutil.which("mount") is not None and not subprocess.run(command, capture_output=True).returncode


@pytest.fixture
def full_disk(tmp_path, empty_database):
    """A tracking folder on a disk that is full; the size to which files are limited without, and its cure."""
    disk = tmp_path / "disk"
    disk.mkdir()
    size = empty_database.stat().st_size
    real = mounted(disk, size + 60_000)
    shutil.copy(empty_database, disk)
    yield disk, None if real else size, lambda: not real or mounted(disk, 1 << 28, "remount")
    if real:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # its database is open still


def test_a_disk_that_fills_up_and_is_emptied_again(full_disk, capfd):
    """A real one where it can be mounted, else files that may not grow beyond the database's size."""
    disk, size, emptied = full_disk
    words = [*SMALL, f"tracking.path={disk}", "tracking.orchestrate=false"]
    failed = limited(words, size)
    assert failed.returncode == 1, failed.stderr
    assert failed.stdout == ""
    assert "Traceback" not in failed.stderr
    lines = failed.stderr.strip().splitlines()
    assert any(line.startswith("metis: ") for line in lines)
    assert not (disk / "report.html").exists()
    assert not list(disk.glob(".stage-*"))
    # with room again the same command completes, and what was kept is whole
    assert emptied()
    assert main(["run", *words]) == 0
    capfd.readouterr()
    assert (disk / "report.html").is_file()
    assert not list(disk.glob(".stage-*"))
