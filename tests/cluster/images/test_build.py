"""Images without an engine: contexts, errors, records, and which host runs what."""

import io
import tarfile

import pytest

from cluster.images.build import (
    Image,
    _failure,
    _recipes,
    build,
    build_context,
    local_engine,
    read_images,
    write_images,
)
from cluster.images.catalog import read_workload
from cluster.images.distribution import _agreed, _Chunks, wanted_on
from cluster.provision.inventory import Host, Inventory
from cluster.settings import BuildSettings
from metis.errors import InputError, SurroundingsError

SETTINGS = BuildSettings()


@pytest.fixture
def folder(tmp_path):
    """The image folder of `Mine` and `Other`."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM x\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o750)
    needs = "needs: [memcached, origin]\n"
    (tmp_path / "mine.yaml").write_text(f"name: Mine\nfolder: mine\ndescribe: Mine.\n{needs}")
    (tmp_path / "other.yaml").write_text("name: Other\nfolder: mine\ndescribe: Other.\n")
    return folder


def workloads(folder):
    return [read_workload(folder.parent / name) for name in ("mine.yaml", "other.yaml")]


def inventory(clients=1):
    hosts = [
        Host("m", "manager", "10.0.0.1"),
        Host("w1", "worker", "10.0.0.2"),
        Host("w2", "worker", "10.0.0.3"),
    ]
    hosts += [Host(f"c{i}", "client", f"10.0.1.{i}") for i in range(clients)]
    return Inventory("hosts", "test", tuple(hosts), known_hosts="none")


def test_a_context_depends_on_names_and_contents_alone(folder):
    packed = build_context(folder)
    (folder / "run.sh").touch()
    assert build_context(folder) == packed
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        entries = {entry.name: (entry.mode, entry.uid, entry.mtime) for entry in tar}
    assert entries == {"Dockerfile": (0o644, 0, 0), "run.sh": (0o755, 0, 0)}


def test_one_image_for_applications_that_share_a_folder_and_those_that_support_them(folder):
    recipes = _recipes(workloads(folder), SETTINGS, load=True)
    assert [(recipe.apps, recipe.role) for recipe in recipes] == [
        (("Mine", "Other"), "worker"),
        (("memcached",), "worker"),
        (("origin",), "manager"),
        (("load",), "client"),
    ]
    assert recipes[0].tag.startswith("metis/mine:")
    assert [recipe.apps for recipe in _recipes(workloads(folder)[1:], SETTINGS, load=False)] == [("Other",)]


def test_hosts_run_the_images_of_their_role():
    images = [
        Image("A", "metis/a:1", "sha256:a"),
        Image("B", "metis/a:1", "sha256:a"),
        Image("origin", "metis/origin:1", "sha256:o", role="manager"),
        Image("load", "metis/load:1", "sha256:l", role="client"),
    ]

    def tags(cluster, name):
        return [one.tag for one in wanted_on(cluster.host(name), images, cluster)]

    assert tags(inventory(), "w1") == ["metis/a:1"]
    assert tags(inventory(), "m") == ["metis/origin:1"]
    assert tags(inventory(), "c0") == ["metis/load:1"]
    assert tags(inventory(clients=0), "m") == ["metis/origin:1", "metis/load:1"]


def test_images_are_read_as_they_were_written(tmp_path):
    images = (
        Image("A", "metis/a:1f", "sha256:a", 5),
        Image("load", "metis/load:2e", "sha256:l", 6, "client"),
    )
    write_images(tmp_path / "images.json", images)
    assert read_images(tmp_path / "images.json") == images


def test_a_file_that_holds_no_images_is_named(tmp_path):
    (tmp_path / "images.json").write_text('{"A": {"tag": 1}}')
    with pytest.raises(InputError, match=r"images.json: holds no images .*; run the stage build"):
        read_images(tmp_path / "images.json")


def test_without_an_engine_it_says_what_to_do(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(
        SurroundingsError, match=r"no Docker engine responds on this machine.*make lab-deps"
    ) as told:
        build(workloads(folder), SETTINGS)
    assert "\n" not in str(told.value)
    with pytest.raises(SurroundingsError, match="no Docker engine"):
        local_engine()


def test_a_failed_build_is_one_line_without_secrets(folder):
    settings = BuildSettings(arguments={"TOKEN": "s3cr3t-token", "LEVEL": "1"})
    recipe = _recipes(workloads(folder), settings, load=False)[0]
    error = "The command '/bin/sh -c fetch s3cr3t-token' returned a non-zero code: 7"
    line = _failure(recipe, "RUN fetch \\\n  s3cr3t-token", "no such host for s3cr3t-token", error, settings)
    assert line == (
        "Mine, Other: building its image failed at `RUN fetch \\ ***`: no such host for *** "
        "(non-zero code: 7)"
    )


def test_hosts_with_different_ids_are_named():
    image = Image("A", "metis/a:1", "sha256:a")
    assert _agreed(image, {"w1": {"metis/a:1": "sha256:b"}, "w2": {"metis/a:1": "sha256:b"}}).id == "sha256:b"
    assert _agreed(image, {"w1": {}}).id == "sha256:a"
    with pytest.raises(SurroundingsError, match=r"metis/a:1 \(A\): w1 and w2 have it under different ids"):
        _agreed(image, {"w1": {"metis/a:1": "sha256:a"}, "w2": {"metis/a:1": "sha256:b"}})


def test_chunks_are_read_as_a_file():
    source = _Chunks([b"abc", b"", b"defg"])
    read = []
    while piece := source.read(2):
        read.append(piece)
    assert b"".join(read) == b"abcdefg"
    assert max(map(len, read)) == 2
