"""What `metis doctor` finds, on the real machine: what is there, what is not, and what mends it."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flows.command import machine
from flows.command.machine import examine
from flows.command.main import main
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated


def findings(*words):
    return {one.what: one for one in examine(validated(compose_plain(words)))}


def test_everything_is_checked_and_what_is_wrong_has_a_cure(tmp_path):
    found = findings(f"tracking.path={tmp_path}")
    assert {"Python", "libraries", "disk", "tracking store", "Docker engine", "SSH keys"} <= set(found)
    assert found["Python"].state == "ok"
    assert found["libraries"].state == "ok", found["libraries"]
    assert all(one.cure for one in found.values() if one.state != "ok")


def test_a_library_of_another_version_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "version", lambda name: "0.1" if name == "mlflow" else "999")
    found = findings(f"tracking.path={tmp_path}")["libraries"]
    assert found.state == "missing"
    assert "mlflow 0.1, not" in found.found


def test_a_taken_port_and_servers_that_do_not_answer(monkeypatch, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = findings(f"tracking.path={tmp_path}", f"tracking.port={port}")
    assert found["port of `metis ui`"].cure == f"tracking.port={port + 1}"
    monkeypatch.setenv("PREFECT_API_URL", "http://user:secret@127.0.0.1:9/api")
    found = findings(f"tracking.path={tmp_path}", "tracking.uri=http://me:hidden@127.0.0.1:9")
    assert found["Prefect server"].state == "missing"
    assert found["MLflow server"].state == "missing"
    assert not any("secret" in str(one) or "hidden" in str(one) for one in found.values())


@pytest.mark.parametrize("below", ["", "below"])
def test_a_tracking_folder_that_is_a_file(tmp_path, capfd, below):
    file = tmp_path / "some.csv"
    file.touch()
    where = f"tracking.path={file / below}"
    found = findings(where)["tracking store"]
    assert (found.state, found.found) == ("missing", f"{file} is a file")
    for verb in ("place", "runs", "status"):
        assert main([verb, where]) == 2
        assert capfd.readouterr().err == f"metis: tracking.path: {file} is a file; give a folder\n"


def test_hosts_are_checked_where_there_are_any(tmp_path):
    words = [f"tracking.path={tmp_path}", "cluster=lab"]
    assert "not set up" in findings(*words)["hosts"].found
    from cluster.provision.inventory import Host, Inventory

    hosts = (Host("manager", "manager", "127.0.0.1", 9), Host("one", "worker", "127.0.0.1", 9))
    Inventory("lab", "metis", hosts, "known_hosts").save(tmp_path / "cluster" / "metis" / "inventory.json")
    assert findings(*words)["hosts"].found == "SSH does not respond on manager, one"


def test_the_command_ends_with_1_where_something_is_missing(tmp_path, capsys):
    assert main(["doctor", f"tracking.path={tmp_path}", "output=json"]) == 0
    assert json.loads(capsys.readouterr().out)["checks"][0]["what"] == "Python"
    assert main(["doctor", f"tracking.path={tmp_path}", "tracking.uri=http://127.0.0.1:9"]) == 1
    assert "docker compose" in capsys.readouterr().out


@pytest.fixture(scope="module")
def completion():
    """The code that `metis completion bash` prints."""
    command = [sys.executable, "-m", "flows.command.main", "completion", "bash"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (("metis", "comp"), {"compare", "completion"}),
        (("metis", "run", "cluster="), {"cluster=lab", "cluster=local"}),
        (("metis", "place", "group.si"), {"group.size="}),
    ],
)
def test_bash_completes_verbs_groups_and_keys(completion, line, offered):
    words, metis = " ".join(line), Path(sys.executable).with_name("metis")
    ask = f"COMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; _metis_completion {metis}"
    completed = subprocess.run(
        ["bash", "-c", f'{completion}\n{ask}; printf "%s\\n" "${{COMPREPLY[@]}}"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert offered <= set(completed.stdout.split())


def test_an_unknown_shell_is_refused(capsys):
    assert main(["completion", "tcsh"]) == 2
    assert "bash, zsh, fish" in capsys.readouterr().err
