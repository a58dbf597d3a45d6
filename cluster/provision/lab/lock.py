"""One start or stop of a lab at a time.

By hand and not by filelock: the lock must outlive a start that is killed while Compose still works.
Compose holds it too, by its descriptor, which filelock does not give away.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metis.errors import SurroundingsError

LOCK = "lab.lock"
LOOK_EVERY = 0.1


@contextmanager
def locked(state: Path, timeout: float) -> Iterator[int]:
    """Hold the lock in the folder `state`, which is made; the descriptor may be handed to a child process.

    The system lets go of it once all processes that hold the descriptor have ended, killed or not.

    Raises:
        SurroundingsError: another process still held it after `timeout` seconds.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = state / LOCK
    deadline = time.monotonic() + timeout
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if _taken(descriptor) and _still_there(descriptor, path):
            break
        os.close(descriptor)
        if time.monotonic() > deadline:
            raise SurroundingsError(f"{path}: another start or stop goes on on this lab; wait for its end")
        time.sleep(LOOK_EVERY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _still_there(descriptor: int, path: Path) -> bool:
    """Whether `path` is the file that was locked: its former holder may have removed it."""
    try:
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
