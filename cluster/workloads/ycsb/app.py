"""YCSB's core workloads A and B (Cooper et al., SoCC 2010) against the node's memcached."""

import os
import random
import time
from itertools import accumulate

from cluster.workloads.common.environment import Environment, read_environment
from cluster.workloads.common.server import NotReadyError, Unit, WorkResult, serve
from cluster.workloads.common.stores import Memcached, StoreError

READS = {"A": 0.5, "B": 0.95}  # share of reads; the others are updates
OPERATIONS = 10_000  # of a unit of work, at scale 1
RECORDS = 1_000
FIELDS, FIELD_BYTES = 10, 100
SKEW = 0.99  # of the zipfian choice of records, YCSB's own


def make_record(rng: random.Random) -> bytes:
    """A record: ten fields of a hundred letters."""
    return bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz", k=FIELDS * FIELD_BYTES))


def updated(record: bytes, field: int, rng: random.Random) -> bytes:
    """`record` with one field written anew."""
    start = field * FIELD_BYTES
    new = rng.randbytes(FIELD_BYTES // 2).hex().encode()
    return record[:start] + new + record[start + FIELD_BYTES :]


def zipfian(records: int = RECORDS, skew: float = SKEW) -> list[float]:
    """Cumulative weights: record i is asked for in proportion to 1 / (i + 1)^skew."""
    return list(accumulate(1.0 / (rank + 1) ** skew for rank in range(records)))


def make_unit(environment: Environment, workload: str) -> Unit:
    """A unit of work: so many operations.

    Raises:
        SystemExit: there is no such workload.
    """
    if workload not in READS:
        raise SystemExit(f"YCSB_WORKLOAD {workload!r}: use one of {list(READS)}")
    share, weights = READS[workload], zipfian()
    operations = max(1, round(OPERATIONS * environment.scale))
    # containers must not walk through the records in step
    rng = random.Random(f"{environment.node} {environment.slot} {workload}")
    store = Memcached(environment.memcached) if environment.memcached else None

    def unit() -> WorkResult:
        if store is None:
            raise NotReadyError("set METIS_MEMCACHED: YCSB has no store")
        begun = time.perf_counter()
        reads = seeded = 0
        try:
            for record in rng.choices(range(RECORDS), cum_weights=weights, k=operations):
                key = f"metis:user{record}"
                held = store.get(key)
                if held is None:
                    held = make_record(rng)
                    store.set(key, held)
                    seeded += 1
                if rng.random() < share:
                    reads += 1
                else:
                    store.set(key, updated(held, rng.randrange(FIELDS), rng))
        except StoreError as error:
            raise NotReadyError(str(error)) from None
        counted = {"operations": operations, "reads": reads, "updates": operations - reads, "seeded": seeded}
        return WorkResult("memcached", 0.0, time.perf_counter() - begun, counted)

    return unit


if __name__ == "__main__":
    environment = read_environment()
    serve(make_unit(environment, os.environ.get("YCSB_WORKLOAD", "A")), environment)
