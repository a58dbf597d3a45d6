"""Schedulers of a user's own that fail until a test mends what they stand on."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.pipeline.test_resume import spread_out

SIGNS = "METIS_TEST_SIGNS"  # names the folder where tests leave what mends them


def solver(group, cluster, worth):
    """Asks a solver, a process of its own, that is killed until the file `solver` exists."""
    well = (Path(os.environ[SIGNS]) / "solver").exists()
    code = "pass" if well else f"import os; os.kill(os.getpid(), {signal.SIGKILL:d})"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    return spread_out(group, cluster, worth)


def host(group, cluster, worth):
    """Asks a host, on the loopback port that the file `port` holds."""
    port = int((Path(os.environ[SIGNS]) / "port").read_text(encoding="utf-8"))
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        return spread_out(group, cluster, worth)
