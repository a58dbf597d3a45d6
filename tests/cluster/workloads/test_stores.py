"""What the workloads keep in a Redis and a memcached, on real ones where they are installed."""

import hashlib
import os
import random
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.workloads.checksum import app as checksum
from cluster.workloads.common.environment import Environment
from cluster.workloads.common.networks import Network
from cluster.workloads.common.stores import CHUNK, Memcached, Parts, Redis
from cluster.workloads.isr import app as isr
from cluster.workloads.isr.graph import DenseShape, make_rdn
from cluster.workloads.redis import app as redis
from cluster.workloads.scenedetect import app as scenedetect
from cluster.workloads.scenedetect.video import VideoShape, make_video
from cluster.workloads.ycsb import app as ycsb


@contextmanager
def real_server(name, *options):
    """A real redis-server or memcached on loopback; yields its address."""
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed here; tests/lab runs it in its image")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = subprocess.Popen([program, *(o.format(port=port) for o in options)], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 15
        while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < until:
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        started.terminate()
        started.wait(10)


@pytest.fixture(scope="module")
def redis_address():
    options = ("--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--daemonize", "no")
    with real_server("redis-server", *options) as address:
        yield address


@pytest.fixture(scope="module")
def memcached_address():
    user = ("-u", "nobody") if os.geteuid() == 0 else ()
    with real_server("memcached", "-p", "{port}", "-l", "127.0.0.1", "-U", "0", *user) as address:
        yield address


def test_pictures_come_from_the_redis_beside(redis_address):
    client = Redis(redis_address)
    redis.seed(client, Path("/nonexistent"))
    network = Network(make_rdn(DenseShape(side=24, blocks=1, layers=2, growth=8, width=8))[0])
    answer = isr.make_unit(Environment(redis=redis_address), network)()
    assert answer.source == "redis"
    assert answer.result["shape"] == [48, 48, 3]
    assert client.get("nothing") is None
    client.close()


def test_redis_benchmark_is_read(redis_address):
    if shutil.which("redis-benchmark") is None:
        pytest.skip("redis-benchmark is not installed here; tests/lab runs it in its image")
    answer = redis.make_unit(Environment(scale=0.005), int(redis_address.rpartition(":")[2]))()
    assert set(answer.result["rates"]) == {"lpush", "lpop", "incr"}
    assert answer.result["requests"] == 100


def test_a_benchmark_that_says_nothing_is_a_failure():
    head = '"test","rps","avg_latency_ms","min_latency_ms"\n'
    rows = (
        '"INCR","21052.63","0.04","0.03"\n"LPUSH","28571.43","0.03","0.02"\n"LPOP","33333.33","0.03","0.02"\n'
    )
    assert redis.read_benchmark(head + rows) == {"incr": 21052.63, "lpush": 28571.43, "lpop": 33333.33}
    with pytest.raises(ValueError, match="redis-benchmark said"):
        redis.read_benchmark(head)


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_values_of_any_length_survive_a_memcached(memcached_address, size):
    store = Parts(Memcached(memcached_address))
    value = os.urandom(size)
    key = f"tested:{size}"
    assert store.get(key) is None
    store.set(key, value)
    assert store.get(key) == value


@pytest.mark.parametrize("where", ["redis", "memcached"])
def test_files_are_stored_by_whoever_finds_them_missing(request, where):
    address = request.getfixturevalue(f"{where}_address")
    unit = checksum.make_unit(Environment(scale=0.0001, **{where: address}))
    first, second = unit(), unit()
    whole = hashlib.sha512()
    for place in range(checksum.FILES):
        whole.update(hashlib.sha512(checksum.make_file(place, 1000)).digest())
    assert (first.source, first.result["seeded"], second.result["seeded"]) == (where, 100, 0)
    assert first.result["sha512"] == second.result["sha512"] == whole.hexdigest()[:32]


def test_ycsb_reads_and_updates_in_its_proportions(memcached_address):
    for workload, share in (("A", 0.5), ("B", 0.95)):
        answer = ycsb.make_unit(Environment(scale=0.2, memcached=memcached_address), workload)()
        assert answer.result["operations"] == 2000
        assert answer.result["reads"] / 2000 == pytest.approx(share, abs=0.05)
    with pytest.raises(SystemExit, match="YCSB_WORKLOAD 'C'"):
        ycsb.make_unit(Environment(), "C")


def test_the_video_is_cached(memcached_address):
    video, cuts = make_video(VideoShape.scaled(0.01))
    unit = scenedetect.make_unit(Environment(memcached=memcached_address), video)
    first, second = unit(), unit()
    assert (first.result["seeded"], second.result["seeded"]) == (True, False)
    assert first.result["cuts"] == second.result["cuts"] == cuts


@given(st.integers(0, 9), st.integers())
def test_an_update_changes_one_field(field, seed):
    rng = random.Random(seed)
    record = ycsb.make_record(rng)
    new = ycsb.updated(record, field, rng)
    assert len(new) == len(record) == 1000
    start, stop = field * 100, field * 100 + 100
    assert (new[:start], new[stop:]) == (record[:start], record[stop:])


def test_few_records_get_most_of_the_requests():
    weights = ycsb.zipfian()
    assert len(weights) == ycsb.RECORDS
    assert weights[0] == 1
    # zipfian of skew 0.99: a tenth of a thousand records gets about two thirds
    assert weights[99] / weights[-1] == pytest.approx(0.69, abs=0.03)
