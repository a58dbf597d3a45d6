"""Amounts in words, and values as a user types them."""

from collections.abc import Mapping
from typing import Any


def amount(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural unless it is one: `1 move`, `1,200 containers`.

    Args:
        count: how many.
        noun: in the singular; its plural is made by an `s`.
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def typed(value: Any) -> str:
    """Return a value as a user types it: `null`, `true`, `[a, b]`, `{a: 1}`; a text alone is quoted."""
    return repr(value) if isinstance(value, str) else _typed(value)


def _typed(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_typed(key)}: {_typed(held)}" for key, held in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_typed, value)) + "]"
    return value if isinstance(value, str) and value.isprintable() else repr(value)
