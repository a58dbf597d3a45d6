"""Two runs at once under Prefect that share its folder, and start its database together."""

import json
import subprocess
import sys

from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.prefect.run import run_chain
from tests import preloaded
from tests.pipeline.shared_servers import ROOT, plain_environment
from tests.pipeline.test_chain import SMALL

DONE = {"setup", "profile"}


def test_two_runs_that_share_prefects_folder(tmp_path):
    """Both begin with nothing: neither tracking folder nor Prefect's database is there."""
    environment = plain_environment(PREFECT_HOME=str(tmp_path / "prefect"))
    common = [*SMALL, f"tracking.path={tmp_path / 'mlruns'}", "tracking.orchestrate=true", "output=json"]
    common += ["until=profile"]

    def start(seed):
        words = ["run", *common, f"seed={seed}"]
        return preloaded.Popen(
            [sys.executable, "-m", "flows.command.main", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=ROOT,
        )

    def document(process):
        out, err = process.communicate(timeout=500)
        assert process.returncode == 0, err
        assert "Traceback" not in err
        return json.loads(out)

    both = [document(process) for process in [start(seed) for seed in (0, 1)]]
    assert [set(one["runs"]) for one in both] == [DONE, DONE]
    assert both[0]["runs"]["profile"] != both[1]["runs"]["profile"]
    # what both need, setup, was made by one of them
    assert sorted([*both[0]["done"], *both[1]["done"]]) == sorted([*DONE, *(DONE - {"setup"})])
    assert (tmp_path / "prefect" / "prefect.db").is_file()

    later = run_chain(validated(compose_plain([*common, "seed=0"])))
    assert not later.done
    assert {name: record.run_id for name, record in later.records.items()} == both[0]["runs"]
