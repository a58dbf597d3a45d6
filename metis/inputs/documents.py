"""Texts, JSON and YAML that a user gives: refused by size, and by what they expand to."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metis.errors import InputError
from metis.inputs.names import twice_in

if TYPE_CHECKING:
    import yaml

TEXT_BYTES = 1 << 26  # a plan that names a million nodes has 50 MB
YAML_BYTES = 1 << 22  # an inventory of ten thousand hosts has 1 MB
YAML_VALUES = 200_000  # with aliases written out
MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def no_file(path: Path, otherwise: str = "no such file") -> InputError:
    """Return the error for a path at which there is no file to read.

    Args:
        path: as it was given.
        otherwise: what to say where it is no folder either.
    """
    return InputError(f"{path}: {'is a folder; give a file' if path.is_dir() else otherwise}")


def read_text(path: Path, limit: int = TEXT_BYTES) -> str:
    """Read a text in UTF-8, or in UTF-16 with its byte order mark.

    Raises:
        InputError: missing, too large, or in another encoding; names the file, and the line.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)  # of a pipe or a device the size is not declared
    except OSError as error:
        if path.is_dir():
            raise no_file(path) from None
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > limit:
        raise InputError(f"{path}: holds more than {limit:,} bytes: at most that many are read")
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: is not UTF-8; save the file as UTF-8") from None


def read_json(path: Path, limit: int = TEXT_BYTES) -> Any:
    """Read a JSON document.

    Raises:
        InputError: unreadable, too large, not JSON, or a key twice in one mapping; names the file.
    """
    text = read_text(path, limit)
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON document ({error})") from None


def read_yaml(path: Path, limit: int = YAML_BYTES) -> Any:
    """Read a YAML document; see `parse_yaml`."""
    return parse_yaml(read_text(path, limit), str(path))


def parse_yaml(text: str, name: str) -> Any:
    """The value of a YAML document of plain values.

    Args:
        text: the document.
        name: what to call it in errors.

    Raises:
        InputError: not YAML, or its aliases expand to more than `YAML_VALUES` values; names it.
    """
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _values(node, {}, []) > YAML_VALUES:
            raise InputError(f"{name}: its aliases expand to more than {YAML_VALUES:,} values")
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{name}: is no YAML ({' '.join(str(error).split())})") from None
    finally:
        loader.dispose()


def _values(node: "yaml.Node", known: dict[int, int], above: Sequence[int]) -> int:
    """The values under a node, those of aliases counted wherever they stand."""
    if id(node) in above:
        raise ValueError("an anchor holds an alias of itself")
    if id(node) not in known:
        parts: Any = node.value if isinstance(node.value, list) else []
        below = [*above, id(node)]
        children = [one for part in parts for one in (part if isinstance(part, tuple) else (part,))]
        known[id(node)] = 1 + sum(_values(child, known, below) for child in children)
    return known[id(node)]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"{twice_in(name for name, _ in pairs)!a} stands twice")
    return found
