"""A real `metis serve` in a process of its own, and what a person does with it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from flows.prefect.server import UNENCRYPTED
from tests import preloaded

ROOT = Path(__file__).resolve().parents[2]
LONG = 300


@dataclass
class Served:
    """Where it answers, its tracking folder and environment, its log."""

    url: str
    folder: Path
    environment: dict
    log: Path

    def ask(self, path, body=None):
        """Status and answer of the server's API."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 503:  # its SQLite is busy: Prefect's own client asks again too
                time.sleep(1)
                return self.ask(path, body)
            return error.code, json.load(error)

    def create(self, name, **parameters):
        """Ask for a run of a deployment: status and answer."""
        _, deployment = self.ask(f"/deployments/name/{name}")
        return self.ask(f"/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})

    def ended(self, run_id, after=0):
        """The flow run once it has ended, for the `after`-th retry."""
        until = time.monotonic() + LONG
        while time.monotonic() < until:
            _, run = self.ask(f"/flow_runs/{run_id}")
            ends = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
            if run["state"]["type"] in ends and run["run_count"] >= after:
                return run
            time.sleep(0.5)
        raise TimeoutError(f"{run_id}: {run['state']}, {self.log.read_text(encoding='utf-8')[-3000:]}")

    def run(self, name, **parameters):
        """A run of a deployment, once it has ended."""
        status, made = self.create(name, **parameters)
        assert status == 201, made
        return self.ended(made["id"])

    def steps(self, run_id):
        """The names of the steps that a flow run did."""
        _, tasks = self.ask("/task_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
        return {task["name"] for task in tasks if task["state"]["name"] != "Reused"}

    def told(self, run_id, until):
        """The lines that a flow run logged; they arrive a little later than its state, `until` among them."""
        body = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC"}
        deadline = time.monotonic() + 60
        while True:
            lines = [line["message"] for line in self.ask("/logs/filter", body)[1]]
            if until in lines or time.monotonic() > deadline:
                return lines
            time.sleep(0.5)

    def prefect(self, *words):
        """The command `prefect`, as a person has it in another shell."""
        return preloaded.run(
            [sys.executable, "-m", "prefect", *words],
            capture_output=True,
            text=True,
            env={**self.environment, "PREFECT_API_URL": self.url},
            timeout=LONG,
            check=False,
            cwd=ROOT,
        )


def start(folder, words, port):
    """Start `metis serve`; the process, and what a person sees of it, once its deployments are there."""
    signs = folder / "signs"
    signs.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "METIS_TEST_SIGNS": str(signs),
        "PREFECT_HOME": str(folder / "mlruns" / "prefect"),
        UNENCRYPTED: "true",  # for `prefect` in another shell, too
        "PREFECT_RUNNER_POLL_FREQUENCY": "3",  # seconds; each look costs the server and the runner
    }
    log = folder / "serve.log"
    words = [f"serve.port={port}", f"tracking.path={folder / 'mlruns'}", *words]
    with log.open("wb") as file:
        process = preloaded.Popen(
            [sys.executable, "-m", "flows.command.main", "serve", *words],
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=ROOT,
            start_new_session=True,
        )
    served = Served(f"http://127.0.0.1:{port}/api", folder / "mlruns", environment, log)
    until = time.monotonic() + LONG
    while True:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < until, log.read_text(encoding="utf-8")
        try:
            if served.ask("/deployments/name/watch/local")[0] == 200:  # the last to be registered
                return process, served
        except OSError:
            pass
        time.sleep(0.5)


def stop(process):
    """End it as a service manager does; the exit code."""
    process.terminate()
    try:
        return process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
