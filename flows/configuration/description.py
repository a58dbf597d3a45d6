"""The settings described: as YAML with the meaning of every key, and as words that a shell completes."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_type_hints

import yaml

from flows.configuration.compose import groups
from flows.configuration.settings import Settings, known_keys
from metis.settings import meanings

WIDTH = 110


def as_yaml(tree: Mapping[str, Any]) -> str:
    """Return settings as YAML, in the order of the settings classes."""
    return yaml.safe_dump(
        dict(tree), sort_keys=False, default_flow_style=None, width=WIDTH, allow_unicode=True
    )


def described(tree: Mapping[str, Any], only: tuple[str, ...] | None = None) -> str:
    """Return settings as YAML with the meaning of every key beside it.

    Args:
        tree: as `flows.configuration.settings.plain` returns them.
        only: dotted names of the settings and sections to show; None for all.
    """
    return "\n".join(_lines(tree, Settings, "", only)) + "\n"


def _lines(tree: Mapping[str, Any], kind: type, prefix: str, only: tuple[str, ...] | None) -> Iterator[str]:
    hints, words = get_type_hints(kind), meanings(kind)
    indent = "  " * prefix.count(".")
    for one in fields(kind):
        dotted, value, hint = f"{prefix}{one.name}", tree[one.name], hints[one.name]
        if only is not None and not _shown(dotted, only):
            continue
        if is_dataclass(hint) and isinstance(hint, type):
            yield f"{indent}{one.name}:  # {(hint.__doc__ or '').strip().splitlines()[0]}"
            yield from _lines(value, hint, f"{dotted}.", only)
            continue
        text = f"{indent}{one.name}: {_scalar(value)}"
        yield f"{text:<40}  # {words[one.name]}" if words.get(one.name) else text


def _scalar(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).strip()
    return text.removesuffix("...").strip()


def _shown(dotted: str, only: tuple[str, ...]) -> bool:
    return any(
        dotted == name or dotted.startswith(f"{name}.") or name.startswith(f"{dotted}.") for name in only
    )


@cache
def completions() -> tuple[str, ...]:
    """Return what may follow a verb: `group=option` for every file of `conf/`, `key=` for every setting."""
    options = [f"{group}={option}" for group, names in groups().items() for option in names]
    return (*sorted(options), *sorted(f"{key}=" for key in known_keys()))
