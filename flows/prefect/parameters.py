"""Parameters of deployments: their types, and what is refused before a run starts.

The types become the JSON schema of a deployment: Prefect's server checks it when a run is created (unknown
settings, stages, sizes, wrong types). What words make together (a value out of range, two that do not fit)
only composing them shows: the flow does that with its parameters, before it starts to run.
"""

import os
import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from flows.configuration.compose import compose_plain, settings_of
from flows.configuration.settings import Settings, known_keys, open_mappings, section_names
from flows.prefect.variables import BASE
from flows.stages.chain import CHAIN
from metis.errors import InputError

GROUPS = ("size", "experiment")  # of the configuration; they are no settings of their own
STAGES = tuple(stage.name for stage in CHAIN)


def composed(words: Sequence[str]) -> Settings:
    """Return the settings of `METIS_OVERRIDES`, then `words`.

    Raises:
        InputError: a word is not understood, or a value out of range; says which.
    """
    return settings_of(words, compose_plain([*base_words(), *words]))


def base_words() -> list[str]:
    """Return the overrides of the whole process."""
    return shlex.split(os.environ.get(BASE, ""))


def override_pattern() -> str:
    """Return a regular expression that overrides of known settings and groups match, and others do not."""
    keys = [re.escape(key) for key in known_keys()]
    # of a mapping, such as `rules.at_most.Redis=2`, every key is possible; so are the objective's own
    open_keys = [re.escape(key) for key in open_mappings()]
    names = [*keys, *section_names(), *GROUPS, *(rf"{key}\..+" for key in open_keys)]
    return rf"^\+{{0,2}}({'|'.join(names)})="


def _composes(words: list[str]) -> list[str]:
    try:
        composed(words)
    except InputError as error:
        raise ValueError(str(error)) from None
    return words


if TYPE_CHECKING:
    Stage = str
else:
    Stage = Literal[STAGES]
# refused in few words by the server; composing, which says more, does not look at the pattern
KNOWN = {"type": "string", "if": {"pattern": override_pattern()}, "else": False}
Override = Annotated[str, WithJsonSchema(KNOWN)]
Overrides = Annotated[
    list[Override],
    AfterValidator(_composes),
    Field(description='Hydra overrides, as after `metis run`: ["experiment=quick", "group.size=300"]'),
]
Stages = Annotated[list[Stage] | None, Field(description="Only these stages, and what they read.")]
Until = Annotated[Stage | None, Field(description="The last stage to do.")]
Step = Annotated[str, Field(pattern=rf"^({'|'.join(STAGES)})(/[^'\\]+)?$")]
Rerun = Annotated[
    list[Step],
    Field(description="Stages or steps to do again although nothing changed: highlevel, baselines/greedy."),
]
Size = Annotated[
    Literal["small", "medium", "large"] | None,
    Field(description="small 27, medium 81, large 729 nodes; without it, what the overrides say."),
]
Again = Annotated[bool, Field(description="Do the stage again although nothing changed.")]
NONE: Any = ()  # the default of a list: nothing that a call could change


def words_of(
    overrides: Sequence[str],
    stages: Sequence[str] | None,
    rerun: Sequence[str],
    until: str | None,
    size: str | None,
) -> list[str]:
    """Return the overrides that the parameters of a deployment mean."""
    asked = [*listed("stages", stages), *listed("rerun", rerun), *([f"until={until}"] if until else [])]
    return [*sized(size), *overrides, *asked]


def listed(name: str, values: Sequence[str] | None) -> list[str]:
    """Return the override that gives the list `values` to the setting `name`; no word without values."""
    if not values:
        return []
    quoted = (f"'{value}'" for value in values)
    return [f"{name}=[{','.join(quoted)}]"]


def sized(size: str | None) -> list[str]:
    """Return the override that chooses a size."""
    return [f"size={size}"] if size else []
