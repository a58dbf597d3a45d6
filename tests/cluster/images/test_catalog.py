"""Workload files: what is read, what is refused, and what a digest depends on."""

import shutil

import pytest

from cluster.images.catalog import (
    PACKAGED,
    Workload,
    build_arguments,
    context_files,
    load_catalog,
    read_workload,
    workload_digest,
)
from cluster.settings import BuildSettings
from metis.errors import InputError

SETTINGS = BuildSettings()
GOOD = "name: Mine\nfolder: mine\ndescribe: Mine.\n"


@pytest.fixture
def folder(tmp_path):
    """A catalogue with one application, `Mine`."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "Dockerfile").write_text("ARG BASE_IMAGE=x\nFROM ${BASE_IMAGE}\nCOPY app.py /\n")
    (tmp_path / "mine" / "app.py").write_text("print('mine')\n")
    (tmp_path / "mine.yaml").write_text(GOOD)
    return tmp_path


def digest_of(folder, settings=SETTINGS):
    return workload_digest(read_workload(folder / "mine.yaml"), settings)


def test_the_packaged_seven_are_read():
    names = ["Redis", "MMS", "Checksum", "YCSB-A", "YCSB-B", "SceneDetect", "ISR"]
    seven = load_catalog([], names)
    assert [one.name for one in seven] == names
    assert seven[0].provides == ("redis",)
    assert "redis" in seven[1].needs
    assert seven[3].folder == seven[4].folder
    assert (seven[3].env["YCSB_WORKLOAD"], seven[4].env["YCSB_WORKLOAD"]) == ("A", "B")
    assert len({workload_digest(one, SETTINGS) for one in seven}) == 6


def test_a_folder_of_ones_own_is_read_and_wins(folder):
    (folder / "redis.yaml").write_text("name: Redis\nfolder: mine\ndescribe: Another.\n")
    mine, redis = load_catalog([folder], ["Mine", "Redis"])
    assert mine == Workload("Mine", folder / "mine", "Mine.")
    assert redis.folder == folder / "mine"


def test_unknown_names_list_those_there_are(folder):
    with pytest.raises(InputError, match=r"no application 'Mime'; use Checksum, .*Mine, Redis, "):
        load_catalog([folder], ["Mime"])


def test_a_name_given_twice_is_refused(folder):
    with pytest.raises(InputError, match="'Mine' is named twice"):
        load_catalog([folder], ["Mine", "Mine"])


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"apps.workloads: .*none: there is no such folder"):
        load_catalog([tmp_path / "none"], [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: Mine\ndescribe: x\n", "folder is missing"),
        (GOOD + "ports: [80]\n", "ports: there is no such setting; use name, folder"),
        (GOOD.replace("folder: mine", "folder: yours"), "folder 'yours': there is no .*Dockerfile"),
        (GOOD.replace("Mine\nf", "a/b\nf"), "name 'a/b': give a text that matches"),
        (GOOD.replace("name: Mine", "name: memcached"), "name 'memcached': is the name of an image of ours"),
        (GOOD + "users: 0\n", "users 0: give at least 1"),
        (GOOD + "sla: -1\n", "sla -1: give more than 0"),
        (GOOD + "path: here\n", "path 'here': give a text that matches .?/"),
        (
            GOOD + "needs: [postgres]\n",
            "needs.0 'postgres': give 'redis', 'memcached' or 'origin'",
        ),
        (GOOD + "env: [A]\n", "env \\[A\\]: give a mapping"),
        ("- Mine\n", r"\[Mine\]: give a mapping"),
        ("name: [", "is no YAML"),
    ],
)
def test_what_is_no_workload_is_refused_with_file_and_key(folder, text, told):
    (folder / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=f"mine.yaml: {told}"):
        read_workload(folder / "mine.yaml")


def test_values_of_env_are_words(folder):
    (folder / "mine.yaml").write_text(GOOD + "env: {A: 1, B: true, C: x}\n")
    assert read_workload(folder / "mine.yaml").env == {"A": "1", "B": "true", "C": "x"}


def test_the_digest_stays_when_nothing_changes(folder, tmp_path_factory):
    before = digest_of(folder)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(folder, elsewhere, copy_function=shutil.copy)  # other times, other path
    (elsewhere / "mine" / "__pycache__").mkdir()
    (elsewhere / "mine" / "__pycache__" / "app.pyc").write_text("left aside")
    assert digest_of(elsewhere) == before
    assert len(before) == 12


def test_the_digest_changes_with_a_file_its_name_and_its_mode(folder):
    digests = [digest_of(folder)]
    (folder / "mine" / "app.py").write_text("print('yours')\n")
    digests.append(digest_of(folder))
    (folder / "mine" / "app.py").rename(folder / "mine" / "main.py")
    digests.append(digest_of(folder))
    (folder / "mine" / "main.py").chmod(0o755)
    digests.append(digest_of(folder))
    assert len(set(digests)) == 4


def test_only_declared_arguments_count(folder):
    before = digest_of(folder)
    assert digest_of(folder, BuildSettings(scale=0.5, arguments={"MODEL_URL": "x"})) == before
    assert digest_of(folder, BuildSettings(base_image="other")) != before
    dockerfile = folder / "mine" / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "ARG WORK_SCALE=1\nARG MODEL_URL\n")
    settings = BuildSettings(scale=0.5, arguments={"MODEL_URL": "x"})
    assert build_arguments(folder / "mine", settings) == {
        "BASE_IMAGE": SETTINGS.base_image,
        "MODEL_URL": "x",
        "WORK_SCALE": "0.5",
    }
    assert digest_of(folder, settings) != digest_of(folder, BuildSettings(scale=0.25))


def test_the_context_has_the_common_folder_only_where_it_is_copied(folder):
    mine = folder / "mine"
    assert list(context_files(mine)) == ["Dockerfile", "app.py"]
    (mine / "Dockerfile").write_text("FROM x\nCOPY common/ /srv/common/\n")
    packaged = [name for name in context_files(mine) if name.startswith("common/")]
    assert packaged
    assert not any("__pycache__" in name for name in packaged)
    assert all((PACKAGED / name).is_file() for name in packaged)
    (mine / "common").mkdir()
    (mine / "common" / "own.py").write_text("")
    assert [name for name in context_files(mine) if name.startswith("common/")] == ["common/own.py"]


def test_a_link_counts_as_what_it_points_to(folder):
    before = digest_of(folder)
    app = folder / "mine" / "app.py"
    app.rename(folder / "elsewhere.py")
    app.symlink_to(folder / "elsewhere.py")
    assert digest_of(folder) == before
