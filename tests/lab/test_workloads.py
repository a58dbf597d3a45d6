"""The packaged images, and the application of the docs: built here, run side by side, asked for work."""

import json
import re
import time
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.images.build import build
from cluster.images.catalog import load_catalog
from cluster.provision.lab.image import LAB_BUILD

PAGE = Path(__file__).resolve().parents[2] / "docs" / "add-your-own-application.md"
FENCE = re.compile(r"```[a-z]*(?: title=\"([^\"]+)\")?\n(.*?)```", re.DOTALL)
APPS = ("Redis", "MMS", "Checksum", "YCSB-A", "YCSB-B", "SceneDetect", "ISR", "Primes")
SCALE = 0.01
WAIT = 60.0


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """The packaged applications, and the one whose files stand in the docs."""
    folder = tmp_path_factory.mktemp("docs")
    for title, text in FENCE.findall(PAGE.read_text(encoding="utf-8")):
        if title:
            (folder / title).parent.mkdir(parents=True, exist_ok=True)
            (folder / title).write_text(text, encoding="utf-8")
    return {workload.name: workload for workload in load_catalog([folder / "apps"], APPS)}


@pytest.fixture(scope="module")
def images(engine, catalog):
    """Tags by application and support image."""
    settings = replace(LAB_BUILD, scale=SCALE)
    return {image.app: image.tag for image in build(tuple(catalog.values()), settings, load=False)}


@pytest.fixture(scope="module")
def host(engine, images):
    """Starts containers in a network of their own; yields a context manager `run(app, name, **variables)`."""
    label = {"metis.test": uuid.uuid4().hex}
    network = engine.networks.create(f"metis-test-{label['metis.test'][:8]}", driver="bridge", labels=label)
    started = []

    @contextmanager
    def run(app, name, **variables):
        inner = "11211" if app == "memcached" else "8080"
        container = engine.containers.run(
            images[app],
            detach=True,
            name=f"{network.name}-{name}",
            hostname=name,
            labels=label,
            ports={f"{inner}/tcp": ("127.0.0.1", None)},
            environment={"METIS_APP": app, **variables},
            mem_limit="512m",
        )
        started.append(container)
        network.connect(container, aliases=[name])
        try:
            container.reload()
            container.port = int(container.ports[f"{inner}/tcp"][0]["HostPort"])
            yield container
        finally:
            started.remove(container)
            container.remove(force=True)

    try:
        yield run
    finally:
        for container in started:
            container.remove(force=True)
        network.remove()


@pytest.fixture(scope="module")
def beside(host):
    """A memcached, an origin and a Redis, answering; yields the environment that names them."""
    with host("memcached", "cache"), host("origin", "origin") as origin, host("Redis", "redis") as redis:
        ask(origin)
        ask(redis)
        yield {
            "METIS_MEMCACHED": "cache:11211",
            "METIS_ORIGIN": "http://origin:8080",
            "METIS_REDIS": "redis:6379",
        }


def ask(container, path="/"):
    """The response of a container, once it gives one; 2xx only."""
    until = time.monotonic() + WAIT
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{container.port}{path}", timeout=30) as response:
                text = response.read().decode()
                return json.loads(text) if text.startswith("{") else text
        except (OSError, urllib.error.URLError) as error:
            if time.monotonic() > until:
                raise AssertionError(f"{error}: {container.logs().decode()[-500:]}") from None
            time.sleep(0.1)


def variables(catalog, app, beside, *wanted):
    names = {"redis": "METIS_REDIS", "memcached": "METIS_MEMCACHED", "origin": "METIS_ORIGIN"}
    assert set(wanted) <= set(catalog[app].needs)
    return {names[need]: beside[names[need]] for need in wanted} | dict(catalog[app].env)


@pytest.mark.parametrize(
    ("app", "wanted", "source"),
    [
        ("MMS", ["origin"], "origin"),
        ("MMS", ["redis", "origin"], "redis"),
        ("ISR", ["origin"], "origin"),
        ("ISR", ["redis", "origin"], "redis"),
        ("Checksum", ["memcached"], "memcached"),
        ("Checksum", ["redis", "memcached"], "redis"),
        ("YCSB-A", ["memcached"], "memcached"),
        ("YCSB-B", ["memcached"], "memcached"),
        ("SceneDetect", ["memcached"], "memcached"),
    ],
)
def test_an_application_reads_from_the_nearest_that_has_it(host, catalog, beside, app, wanted, source):
    with host(app, "asked", **variables(catalog, app, beside, *wanted)) as container:
        responses = [ask(container) for _ in range(3)]
        text = ask(container, "/metrics")
    assert [response["source"] for response in responses] == [source] * 3
    assert all(response["app"] == app and response["scale"] == SCALE for response in responses)
    assert not responses[-1]["result"].get("seeded") or app.startswith("YCSB")
    assert f'metis_requests_total{{app="{app}",node="",slot=""}} ' in text


def test_both_sources_give_the_same_bytes(host, catalog, beside):
    sums = []
    for wanted in (["redis", "memcached"], ["memcached"]):
        with host("Checksum", "asked", **variables(catalog, "Checksum", beside, *wanted)) as container:
            sums.append(ask(container)["result"]["sha512"])
    assert sums[0] == sums[1]


def test_redis_measures_itself(host):
    with host("Redis", "alone") as container:
        found = ask(container)
    assert found["result"]["requests"] == 200
    assert min(found["result"]["rates"].values()) > 100


def test_the_application_of_the_docs_counts_primes(host):
    with host("Primes", "asked") as container:
        assert ask(container)["result"] == {"primes": 46}  # below 200
        assert ask(container, "/healthz") == {"status": "ok"}


@pytest.mark.parametrize("app", ["Redis", "Checksum", "memcached", "origin"])
def test_a_container_is_no_root_gets_healthy_and_ends_when_told(host, app):
    with host(app, "ending") as container:
        until = time.monotonic() + WAIT
        while container.attrs["State"]["Health"]["Status"] != "healthy" and time.monotonic() < until:
            time.sleep(0.2)
            container.reload()
        assert container.attrs["State"]["Health"]["Status"] == "healthy"
        assert container.exec_run("id -u").output.strip() == b"10001"
        begun = time.monotonic()
        container.stop(timeout=20)
        assert time.monotonic() - begun < 10  # not the 20 after which it would be killed
        assert container.wait()["StatusCode"] == 0


def test_the_networks_share_their_runtime(engine, images):
    mms, isr, video = (
        engine.images.get(images[app]).attrs["RootFS"]["Layers"] for app in ("MMS", "ISR", "SceneDetect")
    )
    assert len(set(mms) & set(isr)) >= len(set(mms) & set(video)) + 1  # ONNX Runtime
    assert len(set(mms) & set(video)) >= 3  # base, user, NumPy
