"""`pip install .`: what is built holds all that a command needs, without the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL = [
    *("profile=testbed", "simulator=boosted", "simulator.trees=5", "cluster.slots=3", "cluster.nodes=3"),
    *("group.size=5", "tracking.orchestrate=false", "tracking.path=runs"),
]
COMMAND = "import sys, flows; from flows.command.main import main; print(flows.__file__); sys.exit(main())"


def test_the_wheel_places_without_the_checkout(tmp_path, empty_database):
    uv = Path(sys.executable).with_name("uv")
    built = subprocess.run(
        [uv, "build", "--wheel", "--quiet", "-o", tmp_path, ROOT], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.startswith(("tests/", "benchmarks/"))]
        archive.extractall(tmp_path / "installed")
    (tmp_path / "runs").mkdir()
    shutil.copy(empty_database, tmp_path / "runs")
    placed = subprocess.run(
        [sys.executable, "-c", COMMAND, "place", "scheduler=greedy", "output=json", *SMALL],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
    )
    assert placed.returncode == 0, placed.stderr
    where, document = placed.stdout.splitlines()
    assert Path(where).is_relative_to(tmp_path / "installed")
    assert '"scheduler": "greedy"' in document
