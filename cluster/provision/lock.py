"""One process at a time measures or changes what runs on a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from metis.errors import SurroundingsError

USE = "use.lock"


@contextmanager
def exclusive_use(state: Path, timeout: float = 0.0) -> Iterator[None]:
    """Hold the lock of a cluster, in its folder `state`, which is made.

    Raises:
        SurroundingsError: another process still held it after `timeout` seconds.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(state / USE, timeout=timeout, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        raise SurroundingsError(
            f"{state / USE}: another run that measures or changes what runs goes on on this cluster; "
            "wait for its end"
        ) from None
    try:
        yield
    finally:
        lock.release()
