"""Settings classes check the bounds of their annotations, made in Python or from a file."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Literal, get_type_hints

import pytest
from annotated_types import Ge, Gt, Le
from pydantic import TypeAdapter, ValidationError

from metis.errors import InputError
from metis.settings import NONE_IS_EMPTY, READ, InputPath, Reading, bounds_of, marks_of, meanings, settings


@settings("brewing")
class Brewing:
    """How tea is brewed.

    Attributes:
        minutes: how long, in
            minutes.
        leaves, book: where leaves and instructions come from.
        loads: of each pot.
    """

    minutes: Annotated[int, Ge(1), Le(10)] = 3
    degrees: Annotated[float, Gt(0)] | None = None
    leaves: InputPath | None = None
    book: str = "none"
    loads: list[Annotated[int, Ge(5)]] | None = None
    kind: Literal["black", "green"] | None = None

    def __post_init__(self) -> None:
        if self.minutes == 7:
            raise InputError("brewing.minutes 7: brings bad luck")


@settings("gentle")
class Gentle(Brewing):
    """How green tea is brewed.

    Attributes:
        kind: of the leaves.
    """

    minutes: Annotated[int, Ge(1), Le(10)] = 2
    kind: Literal["black", "green"] | None = "green"


@settings("tasting")
class Tasting:
    """How tea is tasted."""

    sugar: Annotated[float | None, Reading(lambda given: 5.0 if given == "a spoon" else given)] = None
    cup: Literal["small", "large"] | None = "small"
    guests: Annotated[Mapping[str, int], NONE_IS_EMPTY] = field(default_factory=dict)


def test_what_a_user_may_write_is_read_alike_in_python_and_from_a_file():
    given = {"sugar": "a spoon", "cup": None, "guests": None}
    assert Tasting(**given) == TypeAdapter(Tasting).validate_python(given) == Tasting(5.0, None, {})


def test_choices_are_checked_in_python_too():
    with pytest.raises(InputError, match=r"tasting\.cup 'huge': give one of small, large, None"):
        Tasting(cup="huge")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"minutes": 0}, "brewing.minutes 0: give at least 1"),
        ({"minutes": 11}, "brewing.minutes 11: give at most 10"),
        ({"degrees": 0.0}, "brewing.degrees 0: give more than 0"),
        ({"degrees": float("nan")}, "brewing.degrees nan: give more than 0"),
        ({"minutes": 7}, "brings bad luck"),
        ({"kind": "red"}, r"brewing.kind 'red': give one of black, green, None"),
    ],
)
def test_what_is_out_of_bounds_is_refused_where_it_is_made(values, message):
    with pytest.raises(InputError, match=message):
        Brewing(**values)


def test_pydantic_validates_the_same_class_by_the_same_annotations():
    adapter = TypeAdapter(Brewing)
    assert adapter.validate_python({"minutes": 4, "degrees": None}) == Brewing(minutes=4)
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        adapter.validate_python({"minutes": 0})
    with pytest.raises(ValidationError, match="Unexpected keyword"):
        adapter.validate_python({"sugar": 1})
    with pytest.raises(InputError, match="bad luck"):
        adapter.validate_python({"minutes": 7})


def test_bounds_marks_and_meanings_come_from_the_class():
    assert set(bounds_of(Brewing)) == {"minutes", "degrees"}
    assert READ in marks_of(get_type_hints(Brewing, include_extras=True)["leaves"])
    assert meanings(Brewing)["minutes"] == "how long, in minutes."
    assert meanings(Brewing)["leaves"] == meanings(Brewing)["book"]
    assert meanings(Brewing)["degrees"] == ""


def test_a_subclass_gives_other_defaults_and_inherits_the_rest():
    assert Gentle() == Gentle(minutes=2, kind="green", book="none")
    assert meanings(Gentle)["minutes"] == meanings(Brewing)["minutes"]
    assert meanings(Gentle)["kind"] == "of the leaves."
    with pytest.raises(InputError, match=r"gentle\.minutes 11: give at most 10"):
        Gentle(minutes=11)
    with pytest.raises(InputError, match="bad luck"):
        TypeAdapter(Gentle).validate_python({"minutes": 7})
    assert TypeAdapter(Gentle).validate_python({"book": "mine"}) == Gentle(book="mine")
