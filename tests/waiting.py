"""Waiting for what another process does, within bounds, so that a test that hangs ends."""

import time

PATIENCE = 600  # seconds; a busy machine needs some of them


def wait_until(condition, what, process=None, pause=0.05, within=PATIENCE):
    """Return once `condition()` holds.

    Args:
        condition: what is waited for.
        what: the same in words, for the error.
        process: one that has to live meanwhile; its output is shown where it does not.
        pause: seconds between two looks.
        within: seconds that it may take.

    Raises:
        TimeoutError: it does not come to hold in that time.
    """
    until = time.monotonic() + within
    while not condition():
        if process is not None:
            assert process.poll() is None, process.communicate()
        if time.monotonic() > until:
            raise TimeoutError(what)
        time.sleep(pause)
