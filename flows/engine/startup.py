"""Start and end of our processes, made quicker."""

import atexit
import gc
from functools import cache

THRESHOLDS = (100_000, 20, 20)


@cache  # once in a process
def go_easy_on_garbage() -> None:
    """Collect garbage less often, and not at the end of the process.

    Our libraries are some 2,400 modules: with Python's own thresholds the collector takes a quarter of the
    time of importing them, and over a second to walk them all once more when the process ends.
    """
    gc.set_threshold(*THRESHOLDS)
    atexit.register(gc.freeze)
