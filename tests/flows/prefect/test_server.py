"""The Prefect server of a run: it dies with the run, serves this machine alone, and is never needed."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from flows.engine.processes import began_at
from flows.prefect import home, server
from flows.prefect.run import run_chain
from tests import preloaded
from tests.flows.conftest import settings_of
from tests.waiting import wait_until

HOLD = (
    "import sys, time; from pathlib import Path; from flows.prefect import server\n"
    "with server.of_a_run(Path(sys.argv[1])) as url:\n"
    "    print(url, flush=True)\n"
    "    time.sleep(600)\n"
)
LIMIT = 240


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(sys.path), **more}


@pytest.fixture(scope="module")
def root(tmp_path_factory, empty_prefect):
    root = tmp_path_factory.mktemp("prefect") / "mlruns"
    (root / "prefect").mkdir(parents=True)
    shutil.copy(empty_prefect, root / "prefect")
    return root


@pytest.fixture(scope="module")
def held(root):
    """A process that holds the server of a run, behind a proxy that is dead; its API's address."""
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:9")
    process = preloaded.Popen(
        [sys.executable, "-c", HOLD, str(root)], stdout=subprocess.PIPE, text=True, env=environment(**proxies)
    )
    yield process, process.stdout.readline().strip()
    process.kill()
    process.wait()


def ask(url, path, method="GET", body=None, **headers):
    """Status of a request whose headers are as they are given."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request(method, f"/api{path}", body, {"Content-Type": "application/json", **headers})
        return connection.getresponse().status
    finally:
        connection.close()


def test_only_this_machine_and_no_other_page_is_served(held):
    """Any web page could create flow runs while a run lasted: its request has its own Origin."""
    _, url = held
    flow = json.dumps({"name": "a-page-s-own"})
    assert ask(url, "/health") == 200
    assert ask(url, "/flows/", "POST", flow) == 201
    assert ask(url, "/flows/", "POST", flow, Origin="http://evil.example") == 403
    port = urlsplit(url).port
    assert ask(url, "/health", Host=f"rebound.example:{port}") == 403
    assert ask(url, "/flows/", "POST", flow, Host=f"rebound.example:{port}") == 403


def test_the_server_dies_with_its_run_killed_or_not(held, root):
    process, url = held
    [path] = (root / "prefect").glob("server-*.json")
    note = home.read_note(path)
    assert (note.url, note.parent) == (url, process.pid)
    assert note.lives
    assert not note.orphaned
    process.kill()
    process.wait()
    wait_until(lambda: not note.lives, "the server did not end")
    assert not server.responds(url)
    # what it left is swept up by the next
    assert home.end_stale(root / "prefect") == 0
    assert not list((root / "prefect").glob("server-*.json"))


def test_a_stale_server_of_ours_is_ended_and_nothing_else(tmp_path):
    """One whose command is gone; not one whose command lives, nor a process that was given its number."""
    sleepers = [subprocess.Popen(["sleep", "600"], start_new_session=True) for _ in range(3)]
    own = began_at(os.getpid())
    began = [began_at(one.pid) for one in sleepers]
    assert all(began)
    notes = [
        home.Note("http://127.0.0.1:9/api", sleepers[0].pid, began[0], 2**22 + 1, "1"),
        home.Note("http://127.0.0.1:9/api", sleepers[1].pid, began[1], os.getpid(), own),
        home.Note("http://127.0.0.1:9/api", sleepers[2].pid, "1", 2**22 + 1, "1"),
    ]
    for i, note in enumerate(notes):
        note.save(tmp_path / f"server-{i}.json")
    (tmp_path / "server-9.json").write_text("half", encoding="utf-8")
    try:
        assert home.end_stale(tmp_path) == 1
        assert sleepers[0].wait(timeout=10) == -signal.SIGKILL
        assert [one.poll() for one in sleepers[1:]] == [None, None]
        assert [path.name for path in tmp_path.iterdir()] == ["server-1.json"]
    finally:
        for one in sleepers:
            one.kill()
            one.wait()


def test_a_half_made_or_damaged_database_is_made_anew(tmp_path, capfd):
    """By Prefect's migrations on a connection of ours: its tables are those that Prefect's server expects."""
    from prefect.server.database.orm_models import Base

    from flows.prefect.database import create_database

    path = tmp_path / home.DATABASE
    path.write_bytes(b"no database " * 1000)
    assert "not a database" in home.mended(tmp_path)
    assert home.mended(tmp_path) == ""
    assert [one.name for one in tmp_path.iterdir()] == [f"{home.DATABASE}.damaged"]
    import sqlite3

    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE flow (id INTEGER)")  # Prefect's first migration stops at it
    connection.close()
    create_database(tmp_path)
    with sqlite3.connect(path) as connection:
        columns = {
            name: {column[1] for column in connection.execute(f"PRAGMA table_xinfo('{name}')")}
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
    connection.close()
    expected = {table.name: set(table.columns.keys()) for table in Base.metadata.tables.values()}
    assert not {name: lacking for name in expected if (lacking := expected[name] - columns[name])}
    assert "alembic_version" in columns
    err = capfd.readouterr().err
    assert "already exists" in err  # the half-made one, whose upgrade stopped
    assert ".new-" not in err  # the new one, whose migrations did not
    assert not list(tmp_path.glob(".new-*"))


@pytest.fixture
def words(small):
    return [*(word for word in small if "orchestrate" not in word), "stages=[baselines]"]


def test_a_named_server_that_is_dead_is_not_needed(words, monkeypatch, capfd):
    monkeypatch.setenv("PREFECT_API_URL", "http://user:secret@127.0.0.1:9/api")
    outcome = run_chain(settings_of(*words, "seed=801"))
    assert "baselines/greedy" in outcome.records
    err = capfd.readouterr().err
    assert "does not respond: the steps run without Prefect" in err
    assert err.count("Prefect") == 1
    assert "secret" not in err


def test_a_server_that_does_not_come_up_is_not_needed(words, monkeypatch, capfd, store):
    """Its database cannot be made: a folder is where the file would be."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("subprocess.Popen", preloaded.Popen)
    (store.root / "prefect" / home.DATABASE / "in the way").mkdir(parents=True)
    outcome = run_chain(settings_of(*words, "seed=802"))
    assert "baselines/greedy" in outcome.records
    err = capfd.readouterr().err
    assert "the Prefect server did not start; see " in err
    assert "the steps run without Prefect" in err
    assert "Traceback" not in err
