"""Waiting for what another process does, within bounds, so that a test that hangs ends."""

import time

PATIENCE = 600  # seconds; a busy machine needs some of them


def wait_until(condition, what, process=None, pause=0.05):
    """Return once `condition()` holds.

    Args:
        condition: what is waited for.
        what: the same in words, for the error.
        process: one that has to live meanwhile; its output is shown where it does not.
        pause: seconds between two looks.

    Raises:
        TimeoutError: it does not come to hold within `PATIENCE` seconds.
    """
    until = time.monotonic() + PATIENCE
    while not condition():
        if process is not None:
            assert process.poll() is None, process.communicate()
        if time.monotonic() > until:
            raise TimeoutError(what)
        time.sleep(pause)
