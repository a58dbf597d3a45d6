"""The verb serve: what it hands to the flows that it serves, and its result when it is stopped."""

import json
import os
from contextlib import contextmanager

import pytest

from flows.command.main import main
from flows.command.verbs import serve
from flows.prefect.variables import BASE


@pytest.fixture
def served(monkeypatch):
    """A server that is never started, and serving that ends at once; the settings and words it was given."""
    from flows.prefect import deployments  # and with it Prefect, which takes seconds to import

    given = {}

    @contextmanager
    def server(root, port):
        given["port"] = port
        yield f"http://user:secret@127.0.0.1:{port}/api"

    def until_stopped(chosen):
        given["words"] = os.environ[BASE]

    monkeypatch.setattr(serve.server, "server", server)
    monkeypatch.setattr(deployments, "serve_until_stopped", until_stopped)
    monkeypatch.setattr(serve.signal, "signal", lambda *_: None)
    for name in (BASE, "PREFECT_LOGGING_LEVEL", "PREFECT_RUNNER_POLL_FREQUENCY"):
        monkeypatch.setenv(name, "1")
    return given


def test_the_result_names_the_server_and_every_deployment(served, tracking, capfd):
    words = ["serve.port=4311", "serve.name=night", "experiment=quick", "output=json"]
    assert main(["serve", tracking, *words]) == 0
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert document["url"].endswith("127.0.0.1:4311/api")
    assert {"pipeline/night", "profile/night", "report/night"} <= set(document["deployments"])
    assert "export PREFECT_API_URL=" in err
    assert "secret" not in out + err


def test_words_of_the_run_reach_the_flows_and_those_of_serving_do_not(served, tracking, capfd):
    assert main(["serve", tracking, "serve.port=4311", "serve.limit=3", "group.size=7"]) == 0
    assert served == {"port": 4311, "words": f"{tracking} group.size=7"}
    assert capfd.readouterr().out == ""


def test_ctrl_c_ends_it_in_silence(served, tracking, monkeypatch, capfd):
    """It is the way to end it, and no failure: it was a traceback of Prefect's."""

    def interrupted(chosen):
        raise KeyboardInterrupt

    monkeypatch.setattr("flows.prefect.deployments.serve_until_stopped", interrupted)
    assert main(["serve", tracking, "serve.port=4311"]) == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("prefect deployment run pipeline/local")
