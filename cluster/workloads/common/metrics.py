"""Counters of a service, in Prometheus' text format."""

import threading
from bisect import bisect_left

# seconds; dense where a request is counted or not (750 ms)
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Requests, failures and seconds of one container; safe to use from several threads.

    Args:
        labels: of every sample: application, node, slot.
    """

    def __init__(self, labels: dict[str, str]) -> None:
        self._labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
        self._lock = threading.Lock()
        self._requests = 0
        self._failures = 0
        self._seconds = 0.0
        self._work = 0.0
        self._counts = [0] * (len(BUCKETS) + 1)

    def good(self, seconds: float, work: float) -> None:
        """Count a request that was served after `seconds`, waiting included, `work` without."""
        with self._lock:
            self._requests += 1
            self._seconds += seconds
            self._work += work
            self._counts[bisect_left(BUCKETS, seconds)] += 1

    def failed(self) -> None:
        """Count a request that failed, was refused, or whose client left before its turn."""
        with self._lock:
            self._requests += 1
            self._failures += 1

    def text(self) -> str:
        """The exposition, format version 0.0.4. The histogram holds the good requests only."""
        with self._lock:
            requests, failures, counts = self._requests, self._failures, list(self._counts)
            seconds, work = self._seconds, self._work
        lines = [
            *_head("metis_requests_total", "counter", "Requests for a unit of work."),
            f"metis_requests_total{{{self._labels}}} {requests}",
            *_head("metis_request_failures_total", "counter", "Those that failed."),
            f"metis_request_failures_total{{{self._labels}}} {failures}",
            *_head("metis_work_seconds_total", "counter", "Seconds of work on those that did not."),
            f"metis_work_seconds_total{{{self._labels}}} {work!r}",
            *_head("metis_request_seconds", "histogram", "Seconds of those that did not, waiting included."),
        ]
        so_far = 0
        for edge, count in zip([*map(repr, BUCKETS), "+Inf"], counts, strict=True):
            so_far += count
            lines.append(f'metis_request_seconds_bucket{{{self._labels},le="{edge}"}} {so_far}')
        lines.append(f"metis_request_seconds_sum{{{self._labels}}} {seconds!r}")
        lines.append(f"metis_request_seconds_count{{{self._labels}}} {so_far}")
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
