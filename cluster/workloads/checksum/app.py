"""SHA-512 of a hundred files, held in a Redis on the same node or in the node's memcached."""

import hashlib
import random
import time
from collections.abc import Iterator

from cluster.workloads.common.environment import Environment, read_environment
from cluster.workloads.common.server import NotReadyError, Unit, WorkResult, serve
from cluster.workloads.common.stores import Memcached, Parts, Redis, Store, StoreError

FILES = 100
BYTES = 10_000_000  # of a file, at scale 1


def make_file(place: int, size: int) -> bytes:
    """The seeded content of a file: whoever finds it missing stores the same bytes."""
    return random.Random(f"file {place}").randbytes(size)


def stores(environment: Environment) -> Iterator[tuple[str, Store]]:
    """Where the files may be, the nearest first."""
    if environment.redis:
        yield "redis", Redis(environment.redis)
    if environment.memcached:
        yield "memcached", Parts(Memcached(environment.memcached))


def make_unit(environment: Environment) -> Unit:
    """A unit of work: fetch every file, hash it."""
    known = list(stores(environment))
    size = max(1, round(BYTES * environment.scale))

    def unit() -> WorkResult:
        reasons = []
        for source, store in known:
            try:
                return _check(source, store, size)
            except StoreError as error:
                reasons.append(str(error))
        raise NotReadyError("; ".join(reasons) or "set METIS_REDIS or METIS_MEMCACHED: nothing holds files")

    return unit


def _check(source: str, store: Store, size: int) -> WorkResult:
    fetch = work = 0.0
    seeded = 0
    whole = hashlib.sha512()
    for place in range(FILES):
        begun = time.perf_counter()
        key = f"metis:file:{size}:{place}"
        data = store.get(key)
        if data is None:
            seeded += 1
            data = make_file(place, size)
            store.set(key, data)
        fetched = time.perf_counter()
        whole.update(hashlib.sha512(data).digest())
        fetch += fetched - begun
        work += time.perf_counter() - fetched
    result = {"files": FILES, "bytes": FILES * size, "seeded": seeded, "sha512": whole.hexdigest()[:32]}
    return WorkResult(source, fetch, work, result)


if __name__ == "__main__":
    environment = read_environment()
    serve(make_unit(environment), environment)
