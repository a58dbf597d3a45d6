"""Texts, JSON and YAML: limits, and aliases that expand without end."""

import pytest

from metis.errors import InputError
from metis.inputs.documents import parse_yaml, read_json, read_text, read_yaml

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
MERGES = "a0: &a0 {k: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
)


def test_more_than_the_limit_is_not_read(tmp_path):
    (tmp_path / "a.json").write_text("[" + "1," * 100 + "1]")
    with pytest.raises(InputError, match=r"a\.json: holds more than 50 bytes"):
        read_json(tmp_path / "a.json", limit=50)
    with pytest.raises(InputError, match="holds more than 1,000 bytes"):  # a device declares no size
        read_text(tmp_path.joinpath("/dev/zero"), limit=1000)
    with pytest.raises(InputError, match="is a folder; give a file"):
        read_text(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        read_text(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is no JSON document"),
        ("[" * 100_000, "is no JSON document"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' stands twice"),
    ],
)
def test_wrong_json_is_one_line(tmp_path, text, says):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=says) as refused:
        read_json(tmp_path / "a.json")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "its aliases expand to more than"),
        (MERGES, "its aliases expand to more than"),
        ("a: &a [*a]", "alias of itself"),
        ("a: [", "is no YAML"),
        ("[" * 5000, "is no YAML"),
        ("!!python/object/apply:os.system ['true']", "is no YAML"),
        ("a: 1\n---\nb: 2", "is no YAML"),
    ],
)
def test_wrong_yaml_is_one_line(tmp_path, text, says):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=says) as refused:
        read_yaml(tmp_path / "a.yaml")
    assert "\n" not in str(refused.value)


def test_plain_yaml_and_aliases():
    assert parse_yaml("a: &x [1, 2]\nb: *x\nc: {<<: {d: 3}}", "here") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": {"d": 3},
    }
    assert parse_yaml("", "here") is None
