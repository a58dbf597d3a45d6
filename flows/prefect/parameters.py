"""Parameters of deployments: their types, and what is refused before a run starts.

The types become the JSON schema of a deployment: Prefect's server checks it when a run is created (unknown
settings, stages, sizes, wrong types). What words make together (a value out of range, two that do not fit)
only composing them tells: the flow does that with its parameters, before it starts to run.
"""

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_origin

from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema

from flows.configuration.compose import compose_plain
from flows.configuration.settings import Settings, validated
from metis.errors import InputError

BASE = "METIS_OVERRIDES"  # what every run of this process composes first, as a shell would write it
GROUPS = ("size", "experiment")  # of the configuration; they are no settings of their own
OTHER_WORDS = {"explore": ("budget",)}
STAGES = {
    "setup": "Make the hosts of the cluster ready.",
    "build": "Build the applications' images and bring them to every node.",
    "explore": "Measure only what pays for the groups of the run.",
    "profile": "Measure co-locations on the testbed.",
    "simulator": "Fit the simulator to the profile.",
    "constraints": "Find the interference constraints that Medea and Paragon live on.",
    "subscheduler": "Train the learners for a sub-cluster, once for all groups.",
    "highlevel": "Place every group with the learned schedulers.",
    "baselines": "Place every group with the schedulers that do not learn.",
    "evaluate": "Judge every placement: RPS, gap to the optimum, seconds.",
    "report": "Write the page of tables and figures.",
    "deploy": "Deploy a placement to the live cluster and measure it.",
    "watch": "Measure what is deployed, back into the profile.",
}


def composed(words: Sequence[str]) -> Settings:
    """The settings of `METIS_OVERRIDES`, then `words`.

    Raises:
        InputError: a word is not understood, or a value out of range; says which.
    """
    return validated(compose_plain([*base_words(), *words]))


def base_words() -> list[str]:
    """The overrides of the whole process."""
    return shlex.split(os.environ.get(BASE, ""))


def override_pattern() -> str:
    """A regular expression that overrides of known settings and groups match, and others do not."""
    return rf"^\+{{0,2}}({'|'.join([*_names(Settings), *GROUPS])})="


def _names(model: type[BaseModel]) -> list[str]:
    names = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            inner = "|".join([*_names(kind), *OTHER_WORDS.get(name, ())])
            names.append(rf"{name}(\.({inner}))?")
        else:
            # of a mapping, such as `rules.at_most.Redis=2`, every key is possible
            names.append(rf"{name}(\..+)?" if _maps(kind) else name)
    return names


def _maps(kind: Any) -> bool:
    return any(get_origin(each) is dict for each in (kind, *getattr(kind, "__args__", ())))


def _composes(words: list[str]) -> list[str]:
    try:
        composed(words)
    except InputError as error:
        raise ValueError(str(error)) from None
    return words


if TYPE_CHECKING:
    Stage = str
else:
    Stage = Literal[tuple(STAGES)]
# refused in few words by the server; composing, which tells more, does not look at the pattern
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


def listed(name: str, values: Sequence[str] | None) -> list[str]:
    """The override that gives the list `values` to the setting `name`; no word without values."""
    if not values:
        return []
    quoted = (f"'{value}'" for value in values)
    return [f"{name}=[{','.join(quoted)}]"]


def sized(size: str | None) -> list[str]:
    """The override that chooses a size."""
    return [f"size={size}"] if size else []
