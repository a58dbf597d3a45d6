"""Settings classes: frozen dataclasses whose annotations hold their bounds, and the check of these.

Files that a person writes (workloads, inventories) are read as such classes, too.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from inspect import cleandoc
from pathlib import Path
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    TypeVar,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Ge, Gt, Le, Lt

from metis.errors import InputError
from metis.inputs.documents import read_yaml
from metis.wording import typed

Made = TypeVar("Made")

Bound = tuple[type, float, str]  # constraint, limit, in words
A_LIST, A_MAPPING, FEW = "a list", "a mapping", {2: "a pair"}
WANTED = {  # what would be right, by the kind of pydantic's error
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), A_LIST),
    **dict.fromkeys(("dict_type", "mapping_type", "dataclass_type"), A_MAPPING),
    "string_type": "a text",
    "string_pattern_mismatch": "a text that matches {pattern}",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "finite_number": "a finite number",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "literal_error": "{expected}",
}
LIST_OR_MAPPING = "Give a list or mapping; in a shell quote a word with braces, as in 'key={a:1,b:2}'"
WORDS = ((Ge, "ge", "at least"), (Gt, "gt", "more than"), (Le, "le", "at most"), (Lt, "lt", "less than"))


class _Mark:
    """What a text is for; stands in an annotation."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


READ, WRITTEN, TYPED = _Mark("READ"), _Mark("WRITTEN"), _Mark("TYPED")


class Reading:
    """How a field reads what a user may write, such as `0.5%` for 0.005; stands in its annotation.

    The same function runs before pydantic validates a file and when the class is created in Python, so it
    must leave a value as it is that was read already.
    """

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self.read = read

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(self.read, handler(source))


def _at_home(given: Any) -> Any:
    """Return a path with `~` or `~user` at its front replaced by that home; a file may be called so, too."""
    if not isinstance(given, str) or not given.startswith("~") or Path(given).exists():
        return given
    try:
        return str(Path(given).expanduser())
    except RuntimeError:  # there is no such home
        return given


AT_HOME = Reading(_at_home)
# a file or folder that is read: its content counts for a key, not its path
InputPath = Annotated[str, READ, AT_HOME]
# a file or folder that is written, or a place that does not count for a key
OutputPath = Annotated[str, WRITTEN, AT_HOME]
# a text in which any sign may stand, such as `a=b`: Hydra's grammar does not read it
TypedText = Annotated[str, TYPED]
# a mapping for which null may be written
NONE_IS_EMPTY = Reading(lambda given: {} if given is None else given)


Count = Annotated[int, Ge(1)]
Seed = Annotated[int, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
Port = Annotated[int, Ge(1), Le(65535)]


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def settings(section: str) -> Callable[[type[Made]], type[Made]]:
    """Make a class a frozen dataclass that checks bounds and choices in its annotations, however it is made.

    A subclass inherits fields, their meanings and `__post_init__`, and may give other defaults. pydantic
    validates the same class, from the same annotations; unknown keys are refused there.

    Args:
        section: name of the settings in errors, such as `medea`.

    Raises:
        InputError: a value is out of its bounds or no choice of its `Literal`; names section, key, value
            and what would be right. Raised on creation.
    """

    def made(given: type[Made]) -> type[Made]:
        own: Callable[[Any], None] | None = getattr(given, "__post_init__", None)

        def check(self: Any) -> None:
            for name, read in _readings(self.__class__).items():
                object.__setattr__(self, name, read(getattr(self, name)))
            check_bounds(self, section)
            if own is not None:
                own(self)

        given.__post_init__ = check  # type: ignore[attr-defined]
        given.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
        return dataclass(frozen=True)(given)

    return made


def check_bounds(made: Any, section: str) -> None:
    """Refuse values that are out of the bounds of their annotations.

    Raises:
        InputError: names section, key, value and bound.
    """
    for name, bounds in bounds_of(made.__class__).items():
        value = getattr(made, name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        for kind, limit, words in bounds:
            if not _holds(kind, value, limit):
                raise InputError(f"{section}.{name} {value:g}: give {words} {limit:g}")
    for name, choices in _choices_of(made.__class__).items():
        if getattr(made, name) not in choices:
            given = getattr(made, name)
            raise InputError(f"{section}.{name} {typed(given)}: give one of {', '.join(map(str, choices))}")


@cache
def bounds_of(kind: Any) -> dict[str, list[Bound]]:
    """Bounds of the fields of a settings class: name -> (constraint, limit, in words)."""
    found: dict[str, list[Bound]] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        bounds: list[Bound] = [
            (constraint, float(getattr(mark, attribute)), words)
            for mark in marks_of(hint)
            for constraint, attribute, words in WORDS
            if isinstance(mark, constraint)
        ]
        if bounds and get_origin(hint) is not ClassVar:
            found[name] = bounds
    return found


@cache
def _readings(kind: Any) -> dict[str, Callable[[Any], Any]]:
    """How the fields of a settings class read what is given: name -> function."""
    hints = get_type_hints(kind, include_extras=True)
    marks = {name: [m for m in marks_of(hint) if isinstance(m, Reading)] for name, hint in hints.items()}
    return {name: found[0].read for name, found in marks.items() if found}


@cache
def _choices_of(kind: Any) -> dict[str, tuple[Any, ...]]:
    """Values of the fields of a settings class that are `Literal`, None among them where it is admitted."""
    found: dict[str, tuple[Any, ...]] = {}
    for name, hint in get_type_hints(kind).items():
        parts = [hint] if get_origin(hint) is Literal else list(get_args(hint))
        if parts and all(get_origin(part) is Literal or part is type(None) for part in parts):
            found[name] = tuple(
                value for part in parts for value in (get_args(part) if part is not type(None) else (None,))
            )
    return found


@cache
def adapter_of(kind: Any) -> Any:
    """pydantic's `TypeAdapter` of a settings class, made once."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def read_as(kind: type[Made], given: Any, prefix: str = "") -> Made:
    """Return `given`, plain nested values, as `kind`: validated by pydantic on the class itself.

    Args:
        kind: a settings class.
        given: a mapping of its fields.
        prefix: stands before the keys in errors, such as `objective.`.

    Raises:
        InputError: an unknown or missing key, a value of the wrong type or out of range; names key, value
            and what would be right.
    """
    from pydantic import ValidationError

    known: Any = kind
    try:
        made: Made = adapter_of(known).validate_python(given)
    except ValidationError as error:
        # a wrong `seed` also shows up in all the sections that take theirs from it
        # and a name that is wrong is also missing
        errors = error.errors()
        first = min(_telling(errors), key=lambda one: (len(one["loc"]), one["type"] == "missing"))
        # pydantic adds the member of a union, such as `list[float]` or `constrained-int`, which is no key
        key = ".".join(str(part) for part in first["loc"] if not _is_member(part))
        if first["type"] == "missing" and key.rpartition(".")[2].isdecimal():
            raise InputError(prefix + _too_few(key.rpartition(".")[0], first, errors)) from None
        raise InputError(prefix + _in_words(kind, key, first)) from None
    return made


def _telling(errors: Sequence[Any]) -> list[Any]:
    """The errors without those of a member of a union that the value was not meant as.

    A mapping with one wrong value is no list either, but that is not what is wrong with it.
    """

    def beside(found: Any) -> list[Any]:
        at = found["loc"][:-1]
        return [one for one in errors if one is not found and one["loc"][: len(at)] == at]

    def other_kind(found: Any) -> bool:
        # a list with one wrong element is no number either
        member = bool(found["loc"]) and _is_member(found["loc"][-1])
        return found["type"] in kinds or (found["type"].endswith("_type") and member)

    kinds = ("tuple_type", "dict_type")
    meant = [one for one in errors if not (other_kind(one) and _deeper(one, beside(one)))]
    both = [one for one in meant if one["type"] == kinds[0] and kinds[1] in {e["type"] for e in beside(one)}]
    return [{**one, "type": "", "msg": LIST_OR_MAPPING} for one in both] or meant


def _is_member(part: object) -> bool:
    """Whether a part of an error's place is pydantic's name for a member of a union."""
    return "[" in str(part) or str(part).startswith("constrained-")


def _deeper(found: Any, others: Sequence[Any]) -> bool:
    return any(len(one["loc"]) > len(found["loc"]) for one in others)


def read_file(kind: type[Made], path: Path) -> Made:
    """Return what a YAML or JSON file holds, as `read_as` does.

    Raises:
        InputError: missing, neither YAML nor JSON, or what `read_as` refuses; names the file.
    """
    given = read_yaml(path)
    try:
        return read_as(kind, given)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _in_words(kind: Any, key: str, error: Mapping[str, Any]) -> str:
    """What pydantic found wrong, in one line."""
    if error["type"] == "unexpected_keyword_argument":
        return unknown_key(key, tuple(keys_of(kind, elements=True)))
    if error["type"] == "missing":
        return f"{key} is missing"
    wanted = WANTED.get(error["type"])
    if wanted in (A_LIST, A_MAPPING):
        reason = give(wanted, kind, key)
    else:
        reason = f"give {wanted.format(**error.get('ctx', {}))}" if wanted else error["msg"]
    return f"{key} {typed(error['input'])}: {reason[0].lower()}{reason[1:]}".strip()


def _too_few(key: str, error: Mapping[str, Any], errors: Sequence[Any]) -> str:
    """Return the line for a list of fixed length that is shorter: all that it lacks are errors."""
    wanted = 1 + max(one["loc"][-1] for one in errors if one["loc"][:-1] == error["loc"][:-1])
    return f"{key} {typed(error['input'])}: give {FEW.get(wanted, f'{wanted} of them')}"


def give(wanted: str, kind: type, key: str) -> str:
    """Return `give a list` or `give a mapping`, with the keys of its elements where these are settings.

    Args:
        wanted: `A_LIST` or `A_MAPPING`.
        kind: the settings class.
        key: dotted name of a field of it, with the places of elements as in `cluster.types.0`.
    """
    held = _held_at(kind, [part for part in key.split(".") if not part.isdecimal()])
    if held is None:
        return f"give {wanted}"
    of = " of mappings" if wanted == A_LIST else ""
    return f"give {wanted}{of} with {', '.join(one.name for one in fields(held))}"


def _held_at(kind: Any, path: Sequence[str]) -> Any:
    """Return the settings class that a field holds, itself or as its elements; None where it holds none."""
    for name in path:
        hint = get_type_hints(kind).get(name) if is_dataclass(kind) else None
        kind = next((part for part in (hint, *get_args(hint)) if is_dataclass(part)), None)
    return kind


def unknown_key(key: str, known: Sequence[str]) -> str:
    """Return the message for a key that does not exist, with the nearest key or section that does."""
    sections = {name.rpartition(".")[0] for name in known} - {""}
    section = key.rpartition(".")[0]
    others = [*known, *sorted(sections - {section})]
    near = get_close_matches(re.sub(r"\.\d+", "", key), others, n=1, cutoff=0.6)
    beside = [name for name in known if section and name.startswith(f"{section}.")] or known
    few = f"; use {', '.join(beside)}" if len(beside) < 20 else ""
    return f"{key}: there is no such setting" + (f"; did you mean {near[0]}?" if near else few)


def keys_of(kind: type, prefix: str = "", *, elements: bool = False) -> Iterator[str]:
    """Yield the dotted names of all fields of a settings class, those of nested classes included.

    Args:
        kind: the class.
        prefix: stands before each.
        elements: whether fields of the elements of lists and mappings count as well, as `hosts.port`.
    """
    hints = get_type_hints(kind)
    for one in fields(kind):
        hint = hints[one.name]
        parts = () if _holds_elements(get_origin(hint)) and not elements else get_args(hint)
        held = next((part for part in (hint, *parts) if is_dataclass(part)), None)
        if isinstance(held, type):
            yield from keys_of(held, f"{prefix}{one.name}.", elements=elements)
        else:
            yield f"{prefix}{one.name}"


def marks_of(hint: Any) -> Iterator[Any]:
    """What stands beside the types in an annotation; that of elements of a list or mapping is left out."""
    if get_origin(hint) is Annotated:
        first, *marks = get_args(hint)
        yield from marks
        yield from marks_of(first)
    elif get_origin(hint) is not None and not _holds_elements(get_origin(hint)):
        for part in get_args(hint):
            yield from marks_of(part)


def meanings(kind: type) -> Mapping[str, str]:
    """What each field of a settings class means, by name, from the docstring's `Attributes:`."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        found |= _documented(base)
    return {one.name: found.get(one.name, "") for one in fields(kind)}


def _documented(kind: type) -> dict[str, str]:
    """Meanings by name in the docstring of this class alone."""
    text = cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in text.splitlines():
        named = re.match(r"^ {4}(\w[\w, ]*): (.*)$", line)
        if named:
            names = [name.strip() for name in named.group(1).split(",")]
            found |= dict.fromkeys(names, named.group(2))
        elif line.startswith(" " * 8):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        elif line.strip():
            break
    return found


def _holds_elements(origin: Any) -> bool:
    return isinstance(origin, type) and origin.__module__ in ("builtins", "collections.abc")


def _holds(kind: type, value: float, limit: float) -> bool:
    if kind is Ge:
        return value >= limit
    if kind is Gt:
        return value > limit
    return value <= limit if kind is Le else value < limit
