"""The end of a command that is interrupted: one line, the command that goes on, and soon."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from flows.engine.secrets import masked_command

GRACE = 1.5  # seconds that a command has to end by itself before it is ended where it stands
RECORDING = 2.0  # seconds that marking its runs may take


class TerminatedError(KeyboardInterrupt):
    """The command was asked to end by SIGTERM; what handles Ctrl-C handles this."""


class Ending:
    """How a command ends when it is interrupted.

    Attributes:
        soon: whether it is ended where it stands after `GRACE` seconds: not where containers of a live
            cluster have to be removed first.
        over: whether its last line is printed: what interrupts it then has no line of its own.
    """

    def __init__(self, name: str, words: Sequence[str]) -> None:
        self._command = masked_command(["metis", name, *words])
        self._reported = threading.Lock()
        self._ended = threading.Event()
        self._signal = 0  # that arrived, whatever became of it
        self.soon = False
        self.over = False

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """End by SIGTERM as by Ctrl-C within the block; needs the main thread, and does nothing elsewhere."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        kept = signal.signal(signal.SIGTERM, _terminate)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        before = signal.set_wakeup_fd(ours.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(theirs,), daemon=True).start()
        try:
            yield
        finally:
            self._ended.set()
            signal.set_wakeup_fd(before)
            signal.signal(signal.SIGTERM, kept)
            ours.close()

    def check(self) -> None:
        """Interrupt the command if it goes on after an interrupt, which a bare `except` or a callback lost.

        Raises:
            KeyboardInterrupt: a signal arrived within the block of `interruptible`.
        """
        if self._signal:
            raise TerminatedError if self._signal == signal.SIGTERM else KeyboardInterrupt

    def report(self, terminated: bool) -> int:
        """Print the one line and the command that goes on, once and unless all was said; return the code."""
        if not self.over and self._reported.acquire(blocking=False):
            print(f"metis: {'terminated' if terminated else 'interrupted'}", file=sys.stderr)
            print(self._command, file=sys.stderr)
        return 128 + (signal.SIGTERM if terminated else signal.SIGINT)

    def _watch(self, signals: socket.socket) -> None:
        """End the process where it stands, if it does not end by itself: a solver may not listen for long."""
        number = 0
        with signals:
            while number not in (signal.SIGINT, signal.SIGTERM):
                received = signals.recv(1)
                if not received:
                    return
                number = received[0]
        self._signal = number
        if self._ended.wait(GRACE) or not self.soon:
            return
        marking = threading.Thread(target=_mark_runs, daemon=True)
        marking.start()
        marking.join(RECORDING)
        code = self.report(number == signal.SIGTERM)
        sys.stderr.flush()
        os._exit(code)


def came_of_interrupt(error: BaseException) -> bool:
    """Whether an error hides an interrupt: a library's `finally` may stumble over what was not made yet."""
    before: BaseException | None = error
    while before is not None and not isinstance(before, KeyboardInterrupt):
        before = before.__context__
    return before is not None


def _terminate(number: int, frame: Any) -> None:
    del number, frame
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough; Ctrl-C still ends what hangs
    raise TerminatedError


def _mark_runs() -> None:
    from flows.engine.leftovers import close_own

    close_own("interrupted")
