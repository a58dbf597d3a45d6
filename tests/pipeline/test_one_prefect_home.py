"""Two runs at once under Prefect that share its folder, and start its database together."""

import json
import subprocess
import sys

from tests.pipeline.shared_servers import ROOT, plain_environment
from tests.pipeline.test_chain import SMALL, STEPS


def test_two_runs_that_share_prefects_folder(tmp_path):
    """Both begin with nothing: neither tracking folder nor Prefect's database is there."""
    environment = plain_environment(PREFECT_HOME=str(tmp_path / "prefect"))
    common = [*SMALL, f"tracking.path={tmp_path / 'mlruns'}", "tracking.orchestrate=true", "output=json"]
    running = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "flows.command.main",
                "run",
                *common,
                f"seed={seed}",
                f"groups.seed={seed}",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=ROOT,
        )
        for seed in (0, 1)
    ]
    answers = []
    for process in running:
        out, err = process.communicate(timeout=500)
        assert process.returncode == 0, err
        assert "Traceback" not in err
        answers.append(json.loads(out))
    assert [list(answer["runs"]) for answer in answers] == [STEPS, STEPS]
    placed = [answer["runs"]["baselines/greedy"] for answer in answers]
    assert placed[0] != placed[1]
    assert (tmp_path / "prefect" / "prefect.db").is_file()
