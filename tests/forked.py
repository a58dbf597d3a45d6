"""Processes forked from the test's own, which has imported what they need: importing MLflow takes seconds.

Safe as long as libraries compute in one thread, which `tests/conftest.py` sees to.
"""

import os
import signal
import sys
import time
import traceback
from pathlib import Path

from flows.command.main import main
from tests.waiting import PATIENCE, wait_until


class Forked:
    """A function in a process of its own, to handle as `subprocess.Popen`.

    Args:
        folder: where its output is kept.
        run: what it does; its result, a number or None, is the exit code.
        environment: variables that it has beside those of this process.
    """

    def __init__(self, folder, run, environment=None):
        self._files = [Path(folder) / f"forked-{time.monotonic_ns()}.{name}" for name in ("out", "err")]
        self.returncode = None
        self.pid = os.fork()
        if not self.pid:
            self._do(run, environment or {})

    def _do(self, run, environment):
        code = 70
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.environ.update(environment)
            for number, path in enumerate(self._files, start=1):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
            code = run() or 0
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(code)

    def poll(self):
        """The exit code; None while it runs."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=PATIENCE):
        """The exit code, once it has ended."""
        wait_until(lambda: self.poll() is not None, "the process did not end", pause=0.02, within=timeout)
        return self.returncode

    def communicate(self, timeout=PATIENCE):
        """What it wrote to standard output and to standard error, once it has ended."""
        self.wait(timeout)
        return tuple(path.read_text(encoding="utf-8") for path in self._files)

    def send_signal(self, number):
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        """End it where it stands."""
        self.send_signal(signal.SIGKILL)


def metis(folder, words, **environment):
    """The command in a process of its own."""
    return Forked(folder, lambda: main(list(words)), environment)
