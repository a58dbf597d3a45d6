"""What a finished load of a container counts as: the one rule of profiling, deploying and watching.

A late response, one that took longer than `load.sla`, is interference: it lowers the RPS and nothing else.
Only failures, that is errors and timeouts, say that a measurement is not to be trusted.
"""

from collections.abc import Sequence

import numpy as np

from cluster.load.generator import LoadResult
from metis.measure.profile import MEASURES

MOST_RPS = 20.0  # of a container, as a multiple of what it reaches alone; more is a mistake
ADDED = ("requests", "failures")  # over the containers of an application on a node; others are averaged


def refusal(result: LoadResult, most_failures: float) -> str:
    """Why a result does not count; empty where it does.

    Args:
        result: of one container.
        most_failures: share of requests that may fail.
    """
    if not result.requests:
        return f"no request ended within {result.seconds:.0f} s"
    if result.failures > most_failures * result.requests:
        return f"{result.failures} of {result.requests} requests failed (mostly: {result.error or 'unknown'})"
    return ""


def implausible(rps: float, alone: float) -> str:
    """Why RPS cannot be those of a container that reaches `alone` by itself; empty where they can."""
    if not rps <= MOST_RPS * alone:
        return f"reached {rps:g} requests/s, alone it reached {alone:g}"
    return ""


def combine(results: Sequence[LoadResult]) -> dict[str, float]:
    """Measures of an application on a node, by name, from the results of its containers there.

    Requests and failures are counted together, what a container reaches is averaged.
    """
    found = {}
    for name in MEASURES:
        values = [float(getattr(one, name)) for one in results]
        found[name] = float(np.sum(values) if name in ADDED else np.mean(values))
    return found
