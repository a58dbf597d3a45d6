"""From a table of measurements to a placement: the commands of docs/own-measurements.md, timed as typed.

python benchmarks/own_data.py
"""

import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "own-measurements.md"
FENCE = re.compile(r"```[a-z]*(?: title=\"([^\"]+)\")?\n(.*?)```", re.DOTALL)
WALK = ("metis import-profile data.csv", "metis place", "metis explain")


def main() -> None:
    """Run what leads from the page's first table to a plan; print a line per command."""
    blocks = FENCE.findall(PAGE.read_text(encoding="utf-8"))
    lines = [line for title, text in blocks if not title for line in text.splitlines()]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory(prefix="metis-own-") as folder:
        for title, text in blocks:
            if title:
                (Path(folder) / title).write_text(text, encoding="utf-8")
        began = time.monotonic()
        for line in (line for line in lines if line.startswith(WALK)):
            start, before = time.monotonic(), cpu_seconds()
            subprocess.run(shlex.split(line), cwd=folder, env=environment, check=True, capture_output=True)
            seconds, cpu = time.monotonic() - start, cpu_seconds() - before
            print(f"{seconds:6.1f} s, {cpu:5.1f} CPU-s  {line}", flush=True)
        whole = time.monotonic() - began
    print(f"{whole:6.1f} s, {cpu_seconds():5.1f} CPU-s  in all, {whole / 60:.2f} minutes")


def cpu_seconds() -> float:
    """Return the CPU-seconds of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
