"""The settings a run is made of: what Hydra composes, validated, with bounds and no key unknown."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from metis.errors import InputError

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=1_000_000)]


class Section(BaseModel):
    """A part of the settings: no unknown key, nothing changed after composing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ClusterSettings(Section):
    """Where containers go. `slots` None: as in the profile."""

    kind: Literal["local"] = "local"
    nodes: Annotated[int, Field(ge=1, le=1_000_000)] = 81
    slots: Annotated[int, Field(ge=1, le=256)] | None = None


class AppsSettings(Section):
    """Names of the applications, for profiles that have none."""

    names: list[str] | None = None


class ProfileSettings(Section):
    """What is measured: co-locations on the testbed, or a file of measurements."""

    kind: Literal["testbed", "file"] = "testbed"
    path: str | None = None
    share: Annotated[float, Field(gt=0, le=1)] = 0.2
    repeats: Annotated[int, Field(ge=1, le=1000)] = 1
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _file_has_path(self) -> "ProfileSettings":
        if self.kind == "file" and not self.path:
            raise ValueError("profile=file needs profile.path=FILE")
        return self


class TestbedSettings(Section):
    """What answers what would really happen. `path`: a full profile to replay."""

    __test__ = False

    kind: Literal["embedded", "file"] = "embedded"
    path: str | None = None
    coefficients: str | None = None
    noise: Annotated[float, Field(ge=0, le=1)] = 0.02

    @model_validator(mode="after")
    def _file_has_path(self) -> "TestbedSettings":
        if self.kind == "file" and not self.path:
            raise ValueError("testbed=file needs testbed.path=FILE")
        return self


class SimulatorSection(Section):
    """See metis.simulators.SimulatorSettings."""

    kind: Literal["table", "forest", "boosted"] = "boosted"
    overwrite: bool = True
    trees: Annotated[int, Field(ge=1, le=10_000)] = 100
    depth: Annotated[int, Field(ge=1, le=100)] = 20
    leaves: Annotated[int, Field(ge=2, le=1000)] = 15
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.08
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0)] = 0


class ObjectiveSettings(Section):
    """What is maximised."""

    kind: Literal["rps", "slo", "free_nodes", "latency"] = "rps"
    level: Annotated[float, Field(gt=0, le=10)] = 0.95
    beta: Annotated[float, Field(ge=0, le=100)] = 1.0


class RulesSettings(Section):
    """See metis.rules.Rules."""

    never_together: list[tuple[str, str]] = []
    at_most: dict[str, Annotated[int, Field(ge=0)]] = {}
    only_beside: dict[str, list[str]] = {}

    @field_validator("at_most", "only_beside", mode="before")
    @classmethod
    def _none_given(cls, value: Any) -> Any:
        return {} if value is None else value


class GroupSettings(Section):
    """One group: `counts` by position or name, or `size` containers drawn at random."""

    counts: list[float] | dict[str, float] | None = None
    size: Count = 200


class GroupsSettings(Section):
    """Several groups: of a file, or drawn."""

    path: str | None = None
    rows: str | int | None = None
    count: Annotated[int, Field(ge=1, le=10_000)] = 10
    skewed: bool = False
    seed: Annotated[int, Field(ge=0)] = 0


class OptimumSettings(Section):
    """The exact optimum: relative gap to prove, and how long it may take."""

    gap: Annotated[float, Field(ge=0, lt=1)] = 1e-6
    time_limit: Seconds = 120.0


class LocalSearchSection(Section):
    """See baselines.local_search.LocalSearchSettings."""

    max_steps: Annotated[int, Field(ge=0)] = 100_000


class ConstraintsSettings(Section):
    """Interference constraints: of a file in the published columns, or found in the simulator."""

    path: str | None = None
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.1


class MedeaSection(Section):
    """See baselines.medea.MedeaSettings."""

    formulation: Literal["container", "aggregate", "colocation"] = "colocation"
    weights: list[tuple[str, str, float]] | None = None
    time_limit: Seconds = 60.0
    mip_rel_gap: Annotated[float, Field(ge=0, lt=1)] = 1e-6
    draws: Annotated[int, Field(ge=0, le=999)] = 9
    seed: Annotated[int, Field(ge=0)] = 0


class ParagonSection(Section):
    """See baselines.paragon.ParagonSettings."""

    sources: Literal["constraints", "profile"] = "constraints"
    sensitivity: Annotated[float, Field(ge=1, le=1000)] = 3.0
    drop: Annotated[float, Field(gt=0, lt=1)] = 0.05
    seed: Annotated[int, Field(ge=0)] = 0


class RunnerSettings(Section):
    """How many jobs of a sweep run at once."""

    jobs: Annotated[int, Field(ge=1, le=1024)] = 2


class TrackingSettings(Section):
    """Where runs are recorded: a folder with SQLite, or a server."""

    path: str = "mlruns"
    uri: str | None = None
    experiment: str = "metis"
    orchestrate: bool = True
    port: Annotated[int, Field(ge=1, le=65535)] = 5000


class Settings(Section):
    """Everything a verb needs; see conf/config.yaml for what each key means."""

    seed: Annotated[int, Field(ge=0)] = 0
    output: Literal["table", "json"] = "table"
    scheduler: str = "greedy+local_search"
    schedulers: Annotated[list[str], Field(min_length=1)] = ["optimum"]
    stages: list[str] | None = None
    rerun: list[str] = []
    until: str | None = None
    existing: str | None = None
    placement: str | None = None
    report: str | None = None
    out: str | None = None
    cluster: ClusterSettings = ClusterSettings()
    apps: AppsSettings = AppsSettings()
    profile: ProfileSettings = ProfileSettings()
    testbed: TestbedSettings = TestbedSettings()
    simulator: SimulatorSection = SimulatorSection()
    objective: ObjectiveSettings = ObjectiveSettings()
    rules: RulesSettings = RulesSettings()
    group: GroupSettings = GroupSettings()
    groups: GroupsSettings = GroupsSettings()
    optimum: OptimumSettings = OptimumSettings()
    local_search: LocalSearchSection = LocalSearchSection()
    constraints: ConstraintsSettings = ConstraintsSettings()
    medea: MedeaSection = MedeaSection()
    paragon: ParagonSection = ParagonSection()
    runner: RunnerSettings = RunnerSettings()
    published: dict[str, dict[str, list[float]]] = {}
    tracking: TrackingSettings = TrackingSettings()


def validated(composed: dict[str, Any]) -> Settings:
    """`composed` as settings.

    Raises:
        InputError: an unknown key, a value of the wrong type or out of range; names key, value and bound.
    """
    try:
        return Settings.model_validate(composed)
    except ValidationError as error:
        first = error.errors()[0]
        # pydantic adds the member of a union, such as `list[float]`, which is no key
        key = ".".join(str(part) for part in first["loc"] if "[" not in str(part))
        if first["type"] == "extra_forbidden":
            raise InputError(f"{key}: there is no such setting") from None
        value = "" if first["type"] == "value_error" else f" {first['input']!r}"
        reason = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{key}{value}: {reason[0].lower()}{reason[1:]}") from None
