"""The settings a run is made of: what Hydra composes, validated, with bounds and no key unknown."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from baselines.local_search import LocalSearchSettings
from baselines.medea import MedeaSettings
from baselines.optimum import OptimumSettings
from baselines.paragon import ParagonSettings
from cluster.settings import (
    BuildSettings,
    ConnectSettings,
    DeploySettings,
    Ec2Settings,
    LaunchSettings,
    LoadSettings,
    WatchSettings,
)
from flows.mirror import Mirror, Section, mirror
from metis.errors import InputError
from metis.explore.settings import ExploreSettings
from metis.learn.paper.high_level import GroupSettings as LearnSettings
from metis.learn.paper.sub_scheduler import SubSchedulerSettings
from metis.learn.value.dealer_learner import DealerSettings
from metis.learn.value.settings import ValueSettings
from metis.problem.objectives import make_objective
from metis.simulate.settings import SimulatorSettings

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
    ConnectSection: TypeAlias = Mirror
    BuildSection: TypeAlias = Mirror
    LaunchSection: TypeAlias = Mirror
    LoadSection: TypeAlias = Mirror
    Ec2Section: TypeAlias = Mirror
    DeploySection: TypeAlias = Mirror
    WatchSection: TypeAlias = Mirror
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
    ConnectSection = mirror(ConnectSettings)
    BuildSection = mirror(BuildSettings)
    LaunchSection = mirror(LaunchSettings)
    LoadSection = mirror(LoadSettings)
    Ec2Section = mirror(Ec2Settings)
    DeploySection = mirror(DeploySettings)
    WatchSection = mirror(WatchSettings)

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=1_000_000)]


class ClusterSettings(Section):
    """Where containers go; `local` has no hosts. `slots` None: as in the profile.

    `inventory` is the YAML file of `cluster=hosts`; `state` a folder for keys and what was launched (None:
    `cluster/<name>` beside the tracking store); `workers` how many nodes a lab or EC2 has.
    """

    kind: Literal["local", "lab", "hosts", "ec2"] = "local"
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")] = "metis"
    nodes: Annotated[int, Field(ge=1, le=1_000_000)] = 81
    slots: Annotated[int, Field(ge=1, le=256)] | None = None
    workers: Annotated[int, Field(ge=1, le=10_000)] | None = None
    inventory: str | None = None
    state: str | None = None

    @property
    def live(self) -> bool:
        """Whether it has hosts."""
        return self.kind != "local"

    @model_validator(mode="after")
    def _live_is_whole(self) -> "ClusterSettings":
        if self.kind == "hosts" and not self.inventory:
            raise ValueError("cluster=hosts needs cluster.inventory=FILE, a YAML file with `hosts:`")
        if self.live and self.slots is None:
            raise ValueError(f"cluster={self.kind} needs cluster.slots=K, the containers that a node holds")
        return self


class AppsSettings(Section):
    """Names of the applications, for profiles that have none; on a live cluster, of the workloads to run.

    `workloads`: folders of YAML files, one per application, beside the packaged ones.
    """

    names: list[str] | None = None
    workloads: list[str] = Field(default_factory=list)


class ProfileSettings(Section):
    """What is measured: co-locations on the testbed, or a file of measurements.

    `choose`: a seeded random `share` of the space, all `pairs` and stand-alone runs, `all`, or those `given`
    in `colocations` (counts per application, or a file with a column each). `onto`: a profile to go on with.
    """

    kind: Literal["testbed", "file", "explore"] = "testbed"
    path: str | None = None
    choose: Literal["share", "pairs", "all", "given"] = "share"
    colocations: list[list[Annotated[int, Field(ge=0)]]] | str | None = None
    onto: str | None = None
    share: Annotated[float, Field(gt=0, le=1)] = 0.2
    repeats: Annotated[int, Field(ge=1, le=1000)] = 1
    at_once: Annotated[int, Field(ge=1, le=10_000)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _whole(self) -> "ProfileSettings":
        if self.kind == "file" and not self.path:
            raise ValueError("profile=file needs profile.path=FILE")
        if (self.choose == "given") != (self.colocations is not None):
            raise ValueError("profile.choose=given and profile.colocations go together")
        return self


class TestbedSettings(Section):
    """What answers what would really happen. `path`: a full profile to replay; `swarm`: the live cluster."""

    __test__ = False

    kind: Literal["embedded", "file", "swarm"] = "embedded"
    path: str | None = None
    coefficients: str | None = None
    noise: Annotated[float, Field(ge=0, le=1)] = 0.02

    @model_validator(mode="after")
    def _file_has_path(self) -> "TestbedSettings":
        if self.kind == "file" and not self.path:
            raise ValueError("testbed=file needs testbed.path=FILE")
        return self


class ObjectiveSettings(Section):
    """What is maximised: `kind`, and the parameters of that class of metis.problem.objectives."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str = "rps"

    @model_validator(mode="after")
    def _made(self) -> "ObjectiveSettings":
        make_objective(self.model_dump())
        return self


class RulesSettings(Section):
    """See metis.problem.rules.Rules."""

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
    """How the value learner places: see metis.learn.value.scheduler.ValueScheduler."""

    beam: Count = 16
    candidates: Count = 32
    fine: Count = 27
    sharpen: bool = True


class RunnerSettings(Section):
    """Where independent work runs: here, in `threads`, or on a Dask cluster at `address`.

    `jobs`: how many at once, jobs of a sweep included. `address` None with dask: workers on this machine.
    """

    kind: Literal["local", "threads", "dask"] = "local"
    jobs: Annotated[int, Field(ge=1, le=1024)] = 2
    address: str | None = None


class TrackingSettings(Section):
    """Where runs are recorded: a folder with SQLite, or a server."""

    path: str = "mlruns"
    uri: str | None = None
    experiment: str = "metis"
    orchestrate: bool = True
    ui: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] = 5000


class ServeSettings(Section):
    """What `metis serve` serves, and the Prefect server that knows of it; see conf/serve/default.yaml."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "local"
    port: Annotated[int, Field(ge=1, le=65535)] = 4200
    limit: Annotated[int, Field(ge=1, le=1024)] = 2
    cron: str | None = None
    timezone: str | None = None


class GcSettings(Section):
    """What `metis gc` takes for old: runs and files of `days` and more, but the newest `keep` of a step."""

    days: Annotated[float, Field(ge=0, le=100_000)] = 30.0
    keep: Annotated[int, Field(ge=0, le=10_000)] = 1
    delete: bool = False


def _explore_words(given: Any) -> Any:
    """`explore` as a person writes it: `0.5%` for a share."""
    if not isinstance(given, dict):
        return given
    words = dict(given)
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
    dry_run: bool = False
    format: Literal["swarm", "kubernetes", "csv"] = "swarm"
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
    connect: ConnectSection = Field(default_factory=ConnectSection)
    images: BuildSection = Field(default_factory=BuildSection)
    launch: LaunchSection = Field(default_factory=LaunchSection)
    load: LoadSection = Field(default_factory=LoadSection)
    ec2: Ec2Section = Field(default_factory=Ec2Section)
    deploy: DeploySection = Field(default_factory=DeploySection)
    watch: WatchSection = Field(default_factory=WatchSection)
    gc: GcSettings = GcSettings()
    serve: ServeSettings = ServeSettings()
    published: dict[str, dict[str, list[float]]] = Field(default_factory=dict)
    tracking: TrackingSettings = TrackingSettings()

    @model_validator(mode="after")
    def _swarm_needs_cluster(self) -> "Settings":
        if self.testbed.kind == "swarm" and not self.cluster.live:
            raise ValueError("testbed=swarm needs a live cluster: cluster=lab, cluster=hosts or cluster=ec2")
        if self.testbed.kind == "swarm" and not self.apps.names:
            raise ValueError("testbed=swarm needs apps.names=[...], the applications to run")
        return self


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
