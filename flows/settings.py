"""The settings a run is made of: what Hydra composes, validated, with bounds and no key unknown."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from baselines.local_search import LocalSearchSettings
from baselines.medea import MedeaSettings
from baselines.optimum import OptimumSettings
from baselines.paragon import ParagonSettings
from flows.mirror import Mirror, Section, mirror
from metis.errors import InputError
from metis.explore_settings import ExploreSettings
from metis.learning.paper import GroupSettings as LearnSettings
from metis.learning.subscheduler import SubSchedulerSettings
from metis.learning.value.dealer_learner import DealerSettings
from metis.learning.value.settings import ValueSettings
from metis.simulators import SimulatorSettings

# the settings classes of the science, as sections; a type checker sees their common base
if TYPE_CHECKING:
    SimulatorSection: TypeAlias = Mirror
    OptimumSection: TypeAlias = Mirror
    LocalSearchSection: TypeAlias = Mirror
    MedeaSection: TypeAlias = Mirror
    ParagonSection: TypeAlias = Mirror
    ValueSection: TypeAlias = Mirror
    PaperSection: TypeAlias = Mirror
    LearnSection: TypeAlias = Mirror
    DealerSection: TypeAlias = Mirror
    ExploreSection: TypeAlias = Mirror
else:
    SimulatorSection = mirror(SimulatorSettings)
    OptimumSection = mirror(OptimumSettings)
    LocalSearchSection = mirror(LocalSearchSettings)
    MedeaSection = mirror(MedeaSettings)
    ParagonSection = mirror(ParagonSettings)
    ValueSection = mirror(ValueSettings)
    PaperSection = mirror(SubSchedulerSettings)
    LearnSection = mirror(LearnSettings)
    DealerSection = mirror(DealerSettings)
    ExploreSection = mirror(ExploreSettings)

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=1_000_000)]


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

    kind: Literal["testbed", "file", "explore"] = "testbed"
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


class ObjectiveSettings(Section):
    """What is maximised."""

    kind: Literal["rps", "slo", "free_nodes", "latency"] = "rps"
    level: Annotated[float, Field(gt=0, le=10)] = 0.95
    beta: Annotated[float, Field(ge=0, le=100)] = 1.0


class RulesSettings(Section):
    """See metis.rules.Rules."""

    never_together: list[tuple[str, str]] = Field(default_factory=list)
    at_most: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    only_beside: dict[str, list[str]] = Field(default_factory=dict)

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
    arrive: bool = False
    seed: Annotated[int, Field(ge=0)] = 0


class ConstraintsSettings(Section):
    """Interference constraints: of a file in the published columns, or found in the simulator."""

    path: str | None = None
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.1


class DecodeSettings(Section):
    """How the value learner places: see metis.learning.value.scheduler.ValueScheduler."""

    beam: Count = 16
    candidates: Count = 32
    fine: Count = 27
    sharpen: bool = True


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


def _explore_words(given: Any) -> Any:
    """`explore` as a person writes it: `budget` for measurements, and `0.5%` for a share."""
    if not isinstance(given, dict):
        return given
    words = {("measurements" if name == "budget" else name): value for name, value in given.items()}
    gain = words.get("until_gain")
    if isinstance(gain, str) and gain.strip().endswith("%"):
        try:
            words["until_gain"] = float(gain.strip()[:-1]) / 100
        except ValueError:
            raise InputError(f"explore.until_gain {gain!r}: give a share such as 0.005 or 0.5%") from None
    return words


class Settings(Section):
    """Everything a verb needs; see conf/config.yaml for what each key means."""

    seed: Annotated[int, Field(ge=0)] = 0
    output: Literal["table", "json"] = "table"
    scheduler: str = "metis"
    schedulers: Annotated[list[str], Field(min_length=1)] = Field(default_factory=lambda: ["optimum"])
    stages: list[str] | None = None
    rerun: list[str] = Field(default_factory=list)
    until: str | None = None
    existing: str | None = None
    placement: str | None = None
    report: str | None = None
    out: str | None = None
    cluster: ClusterSettings = ClusterSettings()
    apps: AppsSettings = AppsSettings()
    profile: ProfileSettings = ProfileSettings()
    testbed: TestbedSettings = TestbedSettings()
    simulator: SimulatorSection = Field(default_factory=SimulatorSection)
    objective: ObjectiveSettings = ObjectiveSettings()
    rules: RulesSettings = RulesSettings()
    group: GroupSettings = GroupSettings()
    groups: GroupsSettings = GroupsSettings()
    optimum: OptimumSection = Field(default_factory=OptimumSection)
    local_search: LocalSearchSection = Field(default_factory=LocalSearchSection)
    constraints: ConstraintsSettings = ConstraintsSettings()
    medea: MedeaSection = Field(default_factory=MedeaSection)
    paragon: ParagonSection = Field(default_factory=ParagonSection)
    value: ValueSection = Field(default_factory=ValueSection)
    dealer: DealerSection = Field(default_factory=DealerSection)
    explore: Annotated[ExploreSection, BeforeValidator(_explore_words)] = Field(
        default_factory=ExploreSection
    )
    decode: DecodeSettings = DecodeSettings()
    paper: PaperSection = Field(default_factory=PaperSection)
    highlevel: LearnSection = Field(default_factory=LearnSection)
    vanilla_rl: LearnSection = Field(default_factory=LearnSection)
    divide_conquer: LearnSection = Field(default_factory=LearnSection)
    runner: RunnerSettings = RunnerSettings()
    published: dict[str, dict[str, list[float]]] = Field(default_factory=dict)
    tracking: TrackingSettings = TrackingSettings()


def validated(composed: dict[str, Any]) -> Settings:
    """`composed` as settings.

    Raises:
        InputError: an unknown key, a value of the wrong type or out of range; names key, value and bound.
    """
    try:
        return Settings.model_validate(composed)
    except ValidationError as error:
        # a wrong `seed` also shows up in all the sections that take theirs from it
        first = min(error.errors(), key=lambda told: len(told["loc"]))
        # pydantic adds the member of a union, such as `list[float]`, which is no key
        key = ".".join(str(part) for part in first["loc"] if "[" not in str(part))
        if first["type"] == "extra_forbidden":
            raise InputError(f"{key}: there is no such setting") from None
        value = "" if first["type"] == "value_error" else f" {first['input']!r}"
        reason = first["msg"].removeprefix("Value error, ")
        if reason.startswith(key):  # a section that names itself
            raise InputError(reason) from None
        raise InputError(f"{key}{value}: {reason[0].lower()}{reason[1:]}") from None
