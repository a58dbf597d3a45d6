"""The command `metis`: a verb, then Hydra overrides.

Little is imported before `main` has seen to Ctrl-C and to closed streams: `typing` alone takes as long as all
that is imported here.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

INTERRUPTED = 128 + signal.SIGINT  # as a shell says it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; return the exit code: 0, 2 for what the user must mend, 1 for the surroundings."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        _leave_if_interrupted()
    _open_what_is_closed()
    from flows.command.commands import run  # takes its time

    try:
        if arguments is None and signal.getsignal(signal.SIGINT) is _leave:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            code = run(given)
            sys.stdout.flush()
        except BrokenPipeError:  # `metis config | head -1`: whoever reads it has enough
            _give_up_output()
            code = 0
        if arguments is None:
            _leave_if_interrupted()  # while threads are waited for, and handlers at exit run
    except KeyboardInterrupt:  # all was said already
        if arguments is None:
            _leave_if_interrupted()
        code = INTERRUPTED
    return code


def _leave_if_interrupted() -> None:
    """Let Ctrl-C end the process without a word, unless whoever started it had it ignored."""
    with suppress(ValueError):  # not the main thread, which alone has signals
        signal.set_wakeup_fd(-1)  # whose other end may be gone, which Python would report
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, _leave)


def _leave(number: int, frame: object, leave: Callable[[int], object] = os._exit) -> None:
    """End where the process stands; late in its end `os` is gone."""
    del number, frame
    leave(INTERRUPTED)


def _open_what_is_closed() -> None:
    """Open standard streams that are closed (`>&-`), leading nowhere, and let others print any character.

    Their numbers are taken, too: the next file opened, a database for instance, would get one of them, and
    what a solver prints.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            stream = os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
    for printed in (sys.stdout, sys.stderr):  # a terminal that knows no arrow gets a question mark
        if getattr(printed, "errors", None) == "strict" and hasattr(printed, "reconfigure"):
            printed.reconfigure(errors="replace")


def _give_up_output() -> None:
    """Let what is still in the buffer of standard output go nowhere, so that Python's own end is quiet."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
