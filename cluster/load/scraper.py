"""Counters of containers, read twice and printed; sent to a client host, which has nothing but Python."""

from __future__ import annotations  # the host's Python may be older than ours

import json
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

NAMES = {"requests": "metis_requests_total", "failures": "metis_request_failures_total"}
TIMEOUT = 5.0
AT_ONCE = 32


def read(url: str) -> dict[str, object]:
    """The counters of one container and when they were read, or the error."""
    # no proxy: the containers are on the client's own network
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT) as response:
            text = response.read().decode()
        at = time.time()
        counted = {name: total(text, metric) for name, metric in NAMES.items()}
    except (OSError, ValueError) as error:
        return {"error": f"its counters cannot be read ({error})"}
    return {"at": at, **counted}


def total(text: str, metric: str) -> float:
    """The sum of a metric over its labels."""
    values = [
        line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith((metric + " ", metric + "{"))
    ]
    if not values:
        raise ValueError("there is no " + metric)
    return sum(map(float, values))


def main(urls: list[str], seconds: float) -> None:
    """Print two readings of each URL, `seconds` apart, as one JSON object."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        before = list(pool.map(read, urls))
        time.sleep(seconds)
        after = list(pool.map(read, urls))
    print(json.dumps({url: [before[i], after[i]] for i, url in enumerate(urls)}))
