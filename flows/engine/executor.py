"""Where independent work runs: here, in threads, or on a Dask cluster.

Only what does not depend on its neighbours is handed out (groups to place, load ranges to train), in an order
that does not matter and with seeds of its own: results equal those of one process. A Dask worker that is
lost costs what it was doing; Dask gives that to another.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar

from flows.configuration.sections import RunnerSettings
from metis.errors import SurroundingsError

Item = TypeVar("Item")
Result = TypeVar("Result")
Report = Callable[[int, int], None]
SPLITS = 4  # parts per worker: small enough that no worker idles long at the end
CONNECT_SECONDS = 30.0


class Executor:
    """Applies a function to many items, in this process and in order."""

    def __init__(self, jobs: int = 1) -> None:
        self.jobs = jobs

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], report: Report | None = None
    ) -> list[Result]:
        """Return `function` of every item, in the order of the items; `report(done, total)` as they end."""
        results = []
        for item in items:
            results.append(function(item))
            if report:
                report(len(results), len(items))
        return results

    def parts(self, count: int) -> list[range]:
        """Split `count` items into ranges, a few per worker."""
        pieces = min(count, 1 if self.jobs == 1 else SPLITS * self.jobs)
        bounds = [count * i // pieces for i in range(pieces + 1)]
        return [range(first, last) for first, last in pairwise(bounds)]


class _Threads(Executor):
    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], report: Report | None = None
    ) -> list[Result]:
        with ThreadPoolExecutor(self.jobs) as pool:
            futures = [pool.submit(function, item) for item in items]
            try:
                return _gathered(futures, as_completed(futures), report)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


class _Dask(Executor):
    def __init__(self, client: Any) -> None:
        super().__init__(max(len(client.scheduler_info()["workers"]), 1))
        self._client = client

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], report: Report | None = None
    ) -> list[Result]:
        from distributed import as_completed as completed

        # what all items share (tables, weights) travels once, inside the function
        shared = self._client.scatter(function, broadcast=True)
        futures = [self._client.submit(_apply, shared, item, pure=False) for item in items]
        try:
            return _gathered(futures, completed(futures), report)
        finally:
            self._client.cancel(futures)


def _apply(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)


def _gathered(futures: Sequence[Any], ended: Any, report: Report | None) -> list[Any]:
    for done, future in enumerate(ended, start=1):
        future.result()  # the first failure is raised at once
        if report:
            report(done, len(futures))
    return [future.result() for future in futures]


@contextmanager
def executor_of(settings: RunnerSettings) -> Iterator[Executor]:
    """Open the executor that `settings` ask for.

    Raises:
        SurroundingsError: no Dask scheduler responds at the address, or it has no worker.
    """
    if settings.kind == "local":
        yield Executor()
    elif settings.kind == "threads":
        yield _Threads(settings.jobs)
    else:
        with _dask_client(settings) as client:
            yield _Dask(client)


@contextmanager
def _dask_client(settings: RunnerSettings) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    if settings.address is None:
        cluster: Any = LocalCluster(
            n_workers=settings.jobs, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        )
        with cluster, Client(cluster) as client:
            yield client
        return
    try:
        client = Client(settings.address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise SurroundingsError(
            f"runner.address {settings.address}: no Dask scheduler responds ({type(error).__name__}); "
            "start one with `dask scheduler` and workers with `dask worker`"
        ) from None
    with client:
        if not client.scheduler_info()["workers"]:
            raise SurroundingsError(
                f"runner.address {settings.address}: it has no worker; start one with `dask worker`"
            )
        yield client
