"""Paths in overrides: `~` is the home, and no character in them needs more quotes than the shell wants."""

import pytest

from flows.configuration.compose import compose_plain
from flows.configuration.settings import path_keys, paths_among, validated

ODD = ["a b", "a=b.npz", "x~", "runs?v=1#2", "[1](2),{3}", "50%", "größe", "it's", "a$b", "a:b"]
# of the choices that a path goes with
NEEDED = {"profile.path": ["profile.kind=file"], "testbed.path": ["testbed.kind=file"]}
NEEDED |= {"profile.colocations": ["profile.choose=given"], "ec2.key": ["ec2.key_name=me"]}


def read(word):
    key = word.partition("=")[0]
    found = validated(compose_plain([*NEEDED.get(key, []), word]))
    for name in key.split("."):
        found = getattr(found, name)
    return found


def settable():
    return [*path_keys(), *paths_among()]


def test_all_paths_are_known():
    assert {"tracking.path", "profile.path", "existing", "out", "report"} <= set(path_keys())
    assert set(paths_among()) == {"apps.workloads", "profile.colocations"}


@pytest.mark.parametrize("key", settable())
def test_the_tilde_is_the_home(key, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    many = key == "apps.workloads"
    given = "[~/a b,~/c=d]" if many else "~/a b"
    expected = (f"{tmp_path}/a b", f"{tmp_path}/c=d") if many else f"{tmp_path}/a b"
    assert read(f"{key}={given}") == expected
    (tmp_path / "~x").mkdir()  # a folder that is called so
    assert read(f"{key}={'[~x]' if many else '~x'}") == (("~x",) if many else "~x")
    unknown = "~no-such-user-here/x"
    assert read(f"{key}={f'[{unknown}]' if many else unknown}") == ((unknown,) if many else unknown)


@pytest.mark.parametrize("key", settable())
@pytest.mark.parametrize("path", ODD)
def test_no_path_needs_quotes(key, path):
    if key == "apps.workloads":
        if "," in path:
            pytest.skip("a comma separates the folders of a list")
        assert read(f"{key}=[{path},other]") == (path, "other")
    elif key == "profile.colocations" and path.startswith("["):
        pytest.skip("a bracket begins a list of counts")
    else:
        assert read(f"{key}={path}") == path


def test_lists_of_counts_stay_lists():
    assert read("profile.colocations=[[1,0],[0,1]]") == ((1, 0), (0, 1))
