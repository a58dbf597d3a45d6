"""MLflow's database: never half there, made anew where it was; reported where it is damaged."""

import os
import shutil
import signal
import sqlite3
import sys

import pytest

from flows.command.main import main
from flows.configuration.sections import TrackingSettings
from flows.engine.database import DATABASE, HALF_MADE, create, damage, half_made, made_beside, sqlite_uri
from flows.engine.store import Store
from tests import preloaded
from tests.waiting import wait_until

MAKE = (
    "import sys; from flows.configuration.sections import TrackingSettings\n"
    "from flows.engine.store import Store\n"
    "print('begun', flush=True)\n"
    "_ = Store(TrackingSettings(path=sys.argv[1])).experiment\n"
)
# revisions of MLflow's tables at which an interrupted creation has left folders
EARLIER = ("451aebb31d03", "cfd24bdc0731")


@pytest.fixture
def _really(monkeypatch, created_anew):
    """Create databases, where other tests copy one."""
    monkeypatch.setattr("flows.engine.database.create", create)


def start(folder):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return preloaded.Popen(
        [sys.executable, "-c", MAKE, str(folder)],
        stdout=preloaded.PIPE,
        stderr=preloaded.PIPE,
        text=True,
        env=environment,
    )


def store_of(folder):
    return Store(TrackingSettings(path=str(folder)))


@pytest.mark.usefixtures("_really")
def test_a_creation_that_is_killed_leaves_no_database(tmp_path):
    folder = tmp_path / "mlruns"
    process = start(folder)
    wait_until(lambda: list(folder.glob(f".new-*/{DATABASE}")), "no database was begun", process, 0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (folder / DATABASE).exists()
    assert list(folder.glob(".new-*"))
    assert store_of(folder).experiment
    assert not list(folder.glob(".new-*"))
    assert damage(folder / DATABASE) == ""
    assert oct((folder / DATABASE).stat().st_mode & 0o777) == oct(0o666 & ~umask())


def umask():
    now = os.umask(0)
    os.umask(now)
    return now


def half(folder, empty_database, revision):
    """A database whose creation was cut short at a revision; without one, before its first was written."""
    shutil.copy(empty_database, folder)
    with sqlite3.connect(folder / DATABASE) as connection:
        if revision:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
            connection.execute("DROP TABLE spans")
        else:
            connection.execute("DROP TABLE alembic_version")
    connection.close()
    return folder / DATABASE


def test_what_earlier_versions_left_half_made_is_made_anew(tmp_path, empty_database, capfd):
    """Killed while it upgraded the tables: the columns were there already, the revision was not."""
    for revision in (None, *EARLIER):
        path = half(tmp_path, empty_database, revision)
        assert half_made(path), revision
    assert store_of(tmp_path).experiment
    assert "interrupted before anything was recorded" in capfd.readouterr().err
    assert not half_made(path)
    assert path.with_name(DATABASE + HALF_MADE).is_file()


def test_a_database_with_runs_or_of_another_version_is_never_set_aside(tmp_path, empty_database):
    shutil.copy(empty_database, tmp_path)
    assert not half_made(tmp_path / DATABASE)
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    connection.close()
    assert not half_made(tmp_path / DATABASE)
    shutil.copy(empty_database, tmp_path)
    store = store_of(tmp_path)
    with store.recording("s", "s", "k", {}, {}, {}):
        pass
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", EARLIER[:1])
    connection.close()
    assert not half_made(tmp_path / DATABASE)


def test_an_empty_file_is_made_anew(tmp_path):
    (tmp_path / DATABASE).touch()
    assert half_made(tmp_path / DATABASE)
    assert store_of(tmp_path).experiment


@pytest.fixture
def damaged(tmp_path, empty_database):
    """A tracking folder whose database has a page of zeros in the middle."""
    shutil.copy(empty_database, tmp_path)
    path = tmp_path / DATABASE
    content = bytearray(path.read_bytes())
    for page in range(20, 60):
        content[page * 4096 : page * 4096 + 100] = b"\xff" * 100
    path.write_bytes(bytes(content))
    return path


@pytest.mark.parametrize("verb", ["run", "status"])
def test_a_damaged_database_is_reported_with_its_cure(damaged, verb, capfd):
    before = damaged.read_bytes()
    words = ["experiment=quick", f"tracking.path={damaged.parent}", "tracking.orchestrate=false"]
    assert main([verb, *words]) == 1
    lines = capfd.readouterr().err.strip().splitlines()
    reported = next(line for line in lines if line.startswith("metis: "))
    assert f"{damaged}: damaged (" in reported
    assert f"mv '{damaged}' '{damaged}.damaged'" in reported
    assert "Traceback" not in "".join(lines)
    assert damaged.read_bytes() == before


def test_doctor_names_the_damage_and_its_cure(damaged, capfd):
    assert main(["doctor", f"tracking.path={damaged.parent}", "output=json"]) == 1
    out = capfd.readouterr().out
    assert "is damaged" in out
    assert f"mv '{damaged}'" in out
    damaged.write_bytes(b"no database at all, " * 1000)
    assert main(["doctor", f"tracking.path={damaged.parent}", "output=json"]) == 1
    assert "not a database" in capfd.readouterr().out


@pytest.mark.usefixtures("_really")
def test_a_disk_that_fills_up_leaves_no_database(tmp_path):
    """The limit on a file's size stands for a disk that is full at that step of the creation."""
    limits = ("0", "4096", "200000", "900000")
    process = preloaded.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), *limits],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert process.returncode == 0, process.stderr
    refusals = process.stdout.splitlines()
    assert len(refusals) == len(limits)
    for limit, refusal in zip(limits, refusals, strict=True):
        assert refusal.startswith("refused:")
        assert "cannot be written" in refusal or "full" in refusal
        assert [path.name for path in (tmp_path / limit).iterdir()] == [".opening"]


LIMITED = """
import resource, sys
import mlflow.store.tracking.sqlalchemy_store
from flows.configuration.sections import TrackingSettings
from flows.engine.store import Store
from metis.errors import SurroundingsError
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
for limit in sys.argv[2:]:
    store = Store(TrackingSettings(path=f"{sys.argv[1]}/{limit}"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), most))
    try:
        store.experiment
    except SurroundingsError as error:
        print("refused:", error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
"""


def test_what_fails_in_the_block_does_not_appear(tmp_path):
    def fail():
        with made_beside(tmp_path / "a.db") as path:
            path.write_bytes(b"half")
            raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        fail()
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_really")
def test_a_folder_with_characters_that_uris_reserve(tmp_path, monkeypatch):
    """`runs?v=1` had its database beside the folder: the address was cut at the question mark.

    MLflow took the address for a path, and made its folders in the current one.
    """
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    name = "a runs?v=1#50%?z 50%"
    folder = tmp_path / name
    store = store_of(folder)
    with store.recording("s", "s", "k", {}, {}, {}) as recording:
        (recording.folder / "x").write_text("x", encoding="utf-8")
    assert store_of(folder).find("s", "k").folder.is_dir()
    assert not list(here.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {name, here.name}
    assert (folder / DATABASE).is_file()
    assert (folder / "artifacts").is_dir()


def test_uri():
    from pathlib import Path

    assert sqlite_uri(Path("/a b/100%")) == "sqlite:////a b/100%/mlflow.db"
    assert sqlite_uri(Path("/r?v=1#")) == "sqlite+pysqlite:///file:/r%3Fv%3D1%23/mlflow.db?uri=true"
