"""A canary in overrides and in an error: it is in nothing that a run under Prefect leaves or prints."""

import os
import subprocess
import sys
import time
from pathlib import Path

from flows.prefect.home import read_note
from metis.errors import PlacementError
from tests import preloaded
from tests.pipeline.shared_servers import ROOT, plain_environment
from tests.pipeline.test_chain import SMALL
from tests.waiting import PATIENCE, wait_until

CANARY = "c4naryV4lue"


def failing(group, cluster, worth):
    """A user's scheduler whose error holds what it should not."""
    raise PlacementError(f"https://me:{CANARY}@models/x?token={CANARY} refused API_KEY={CANARY}")


def sleeping(group, cluster, worth):
    """One that shows that it has begun, and sleeps."""
    Path(os.environ["METIS_TEST_SIGN"]).touch()
    time.sleep(600)


def start(tracking, tmp_path, name, *words):
    given = [
        *SMALL[:-1],
        f"schedulers=[greedy,{__name__}:{name}]",
        *words,
        tracking,
    ]
    return preloaded.Popen(
        [sys.executable, "-m", "flows.command.main", "run", *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=plain_environment(METIS_TEST_SIGN=str(tmp_path / "sign"), PYTHONPATH=str(ROOT)),
        cwd=ROOT,
    )


def test_a_canary_reaches_no_sink(orchestrated, tmp_path):
    """MLflow's tags and parameters, Prefect's parameters and states, logs, checkpoints, standard error."""
    words = [f"images.arguments={{TOKEN:{CANARY}}}", f"tracking.ui=http://me:{CANARY}@host/?key={CANARY}"]
    process = start(orchestrated, tmp_path, "failing", *words)
    out, err = process.communicate(timeout=500)
    assert process.returncode == 1, err
    assert CANARY not in out + err
    assert "images.arguments=***" in err.splitlines()[-1]
    assert "steps run without Prefect" not in err
    files = [path for path in (tmp_path / "mlruns").rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"mlflow.db", "prefect.db"} <= names
    assert any(path.parent.name == "logs" for path in files)
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
    assert CANARY not in " ".join(names)


def test_a_run_under_prefect_that_is_ended_leaves_no_server(orchestrated, tmp_path):
    """One that is killed: `tests/flows/prefect/test_server.py`."""
    process = start(orchestrated, tmp_path, "sleeping")
    wait_until((tmp_path / "sign").exists, "the step did not begin", process)
    [path] = (tmp_path / "mlruns" / "prefect").glob("server-*.json")
    note = read_note(path)
    assert note.lives
    process.terminate()
    _, err = process.communicate(timeout=PATIENCE)
    wait_until(lambda: not note.lives, "the server did not end")
    assert process.returncode == 143, err
    assert err.strip().splitlines()[-2] == "metis: terminated"
    assert "Traceback" not in err
