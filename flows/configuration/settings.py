"""The settings of a run: one tree of settings classes, validated by pydantic on these very classes."""

from collections.abc import Mapping, Sequence
from dataclasses import field, fields, is_dataclass
from functools import cache
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Len

from baselines.columns import ColumnsSettings
from baselines.constraints import ConstraintsSettings
from baselines.divide_conquer import DivideConquerSettings
from baselines.local_search import LocalSearchSettings
from baselines.medea import MedeaSettings
from baselines.optimum import OptimumSettings
from baselines.paragon import ParagonSettings
from baselines.vanilla_rl import VanillaRlSettings
from cluster.export import FORMATS
from cluster.settings import (
    BuildSettings,
    ConnectSettings,
    DeploySettings,
    Ec2Settings,
    ExportSettings,
    LaunchSettings,
    LoadSettings,
    MetricsSettings,
    WatchSettings,
)
from flows.configuration.sections import (
    AppsSettings,
    ClusterSettings,
    DemandSettings,
    GcSettings,
    GroupSettings,
    GroupsSettings,
    ProfileSettings,
    RunnerSettings,
    RunsSettings,
    SampleSettings,
    ServeSettings,
    TestbedSettings,
    TrackingSettings,
)
from metis.errors import InputError
from metis.explore.settings import ExploreSettings
from metis.files import content_digest
from metis.learn.paper.device import LearnSettings
from metis.learn.paper.high_level import HighLevelSettings
from metis.learn.paper.sub_scheduler import SubSchedulerSettings
from metis.learn.prices.settings import PricesSettings
from metis.learn.value.settings import DealerSettings, DecodeSettings, ValueSettings
from metis.operate.settings import RebalanceSettings, TrialSettings, WeekSettings
from metis.problem.arrivals import ArrivalsSettings
from metis.problem.load_cost import LoadCost
from metis.problem.objectives import MeanRps, kind_of, make_objective
from metis.problem.rules import Rules
from metis.problem.space import MAX_COLOCATIONS
from metis.settings import (
    NONE_IS_EMPTY,
    READ,
    TYPED,
    WRITTEN,
    InputPath,
    OutputPath,
    Reading,
    Seed,
    adapter_of,
    keys_of,
    marks_of,
    read_as,
    settings,
)
from metis.simulate.settings import SimulatorSettings

SCHEDULERS = ("optimum", "metis", "greedy+local_search", "greedy", "medea", "paragon", "spread")

SLOTS = 8  # of a node, where neither a profile nor a setting says
Moves = Annotated[int, Ge(0), Le(1_000_000_000)]
MoveCost = Annotated[float, Ge(0), Le(1e9)]

if TYPE_CHECKING:
    Format = str
else:
    Format = Literal[FORMATS]


def _objective(given: Any) -> Any:
    return make_objective(given) if isinstance(given, Mapping) else given


@settings("settings")
class Settings:
    """Everything that a verb or stage may read.

    Attributes:
        seed: of every random choice that is given no seed of its own.
        output: what a verb prints: a table, or one JSON document.
        scheduler: for `place` and sweeps.
        schedulers: for `run` and `compare`.
        stages: only these stages of the chain, and what they read.
        rerun: stages or steps to do again although nothing changed.
        until: last stage of the chain to do.
        existing: a placement of containers that run already: a file, the id of an MLflow run, or `live`: what
            `deploy.session` runs on the live cluster.
        placement: a placement made elsewhere: a file, or the id of an MLflow run.
        moves: for `rebalance`: containers that may leave their node: a number, or a list of some to compare;
            null: as many as pay by `move_cost`, or the whole frontier.
        move_cost: for `rebalance`: value that a move must gain: for all, or by application (0 for others).
        apply: for `rebalance`: make the moves on the live cluster; else they are only shown.
        why: for `rebalance`: a node whose change is to be explained, such as node-7.
        why_not: for `rebalance`: a container whose staying is to be explained, such as Redis-12.
        objective: what a placement is worth: its kind, and the parameters of that kind.
        newcomer: for `explore`: an application to learn from few measurements, given the profile of the
            others (`profile.onto`).
        problem: folder that states a problem: nodes.csv, apps.csv, rules.yaml, existing.csv, arrivals.csv.
        seconds: wall time that placing a problem folder may take; null: 60.
        dry_run: for `deploy`: show what would change, and stop.
        force: for `cluster down`: take hosts out although others run something there.
        format: of `export`.
        report: where `run` also writes its page.
        out: file or folder that a verb writes to.
        published: setting -> scheduler -> [median, p5, p95] of a paper, drawn in a sweep's figure.
    """

    seed: Seed = 0
    output: Literal["table", "json"] = "table"
    scheduler: str = "metis"
    schedulers: Annotated[tuple[str, ...], Len(min_length=1)] = SCHEDULERS
    stages: tuple[str, ...] | None = None
    rerun: tuple[str, ...] = ()
    until: str | None = None
    existing: InputPath | None = None
    placement: InputPath | None = None
    newcomer: str | None = None
    problem: InputPath | None = None
    seconds: Annotated[float, Gt(0), Le(86_400)] | None = None
    moves: Moves | tuple[Moves, ...] | None = None
    move_cost: MoveCost | Annotated[Mapping[str, MoveCost], NONE_IS_EMPTY] = 0.0
    apply: bool = False
    why: str | None = None
    why_not: str | None = None
    dry_run: bool = False
    force: bool = False
    format: Format = "swarm"
    report: OutputPath | None = None
    out: OutputPath | None = None
    cluster: ClusterSettings = ClusterSettings()
    apps: AppsSettings = AppsSettings()
    profile: ProfileSettings = ProfileSettings()
    demand: DemandSettings = DemandSettings()
    sample: SampleSettings = SampleSettings()
    testbed: TestbedSettings = TestbedSettings()
    simulator: SimulatorSettings = SimulatorSettings()
    objective: Annotated[Any, Reading(_objective)] = MeanRps()
    rules: Rules = Rules()
    load_cost: LoadCost = LoadCost()
    arrivals: ArrivalsSettings = ArrivalsSettings()
    group: GroupSettings = GroupSettings()
    groups: GroupsSettings = GroupsSettings()
    optimum: OptimumSettings = OptimumSettings()
    columns: ColumnsSettings = ColumnsSettings()
    local_search: LocalSearchSettings = LocalSearchSettings()
    constraints: ConstraintsSettings = ConstraintsSettings()
    medea: MedeaSettings = MedeaSettings()
    paragon: ParagonSettings = ParagonSettings()
    value: ValueSettings = ValueSettings()
    dealer: DealerSettings = DealerSettings()
    prices: PricesSettings = PricesSettings()
    decode: DecodeSettings = DecodeSettings()
    explore: ExploreSettings = ExploreSettings()
    paper: SubSchedulerSettings = SubSchedulerSettings()
    highlevel: HighLevelSettings = HighLevelSettings()
    vanilla_rl: VanillaRlSettings = VanillaRlSettings()
    divide_conquer: DivideConquerSettings = DivideConquerSettings()
    learn: LearnSettings = LearnSettings()
    runner: RunnerSettings = RunnerSettings()
    connect: ConnectSettings = ConnectSettings()
    images: BuildSettings = BuildSettings()
    launch: LaunchSettings = LaunchSettings()
    load: LoadSettings = LoadSettings()
    ec2: Ec2Settings = Ec2Settings()
    deploy: DeploySettings = DeploySettings()
    watch: WatchSettings = WatchSettings()
    metrics: MetricsSettings = MetricsSettings()
    export: ExportSettings = ExportSettings()
    rebalance: RebalanceSettings = RebalanceSettings()
    week: WeekSettings = WeekSettings()
    trial: TrialSettings = TrialSettings()
    gc: GcSettings = GcSettings()
    runs: RunsSettings = RunsSettings()
    serve: ServeSettings = ServeSettings()
    tracking: TrackingSettings = TrackingSettings()
    published: Annotated[dict[str, dict[str, list[float]]], NONE_IS_EMPTY] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.testbed.kind == "swarm" and not self.cluster.live:
            raise InputError("testbed=swarm needs a live cluster: cluster=lab, cluster=hosts or cluster=ec2")
        if self.testbed.kind == "swarm" and not self.apps.names:
            raise InputError("testbed=swarm needs apps.names=[...], the applications to run")
        synthetic = self.testbed.kind == "synthetic"
        if synthetic and (self.apps.count is None or self.apps.names):
            raise InputError("testbed=synthetic draws its applications: give apps.count=N, and no apps.names")
        if self.apps.count is not None and not synthetic:
            raise InputError("apps.count: has no effect but with testbed=synthetic")
        if self.simulator.kind == "testbed" and self.testbed.kind == "swarm":
            raise InputError("simulator=testbed: of a live cluster the truth is not known; use another one")
        if self.apps.requests and not self.cluster.types:
            raise InputError("apps.requests: needs cluster.types, which say what nodes have")
        if self.newcomer is not None and self.profile.onto is None:
            raise InputError(f"newcomer={self.newcomer}: give the profile of the others as profile.onto=FILE")
        self._refuse_tables()

    def _refuse_tables(self) -> None:
        """Refuse what needs all co-locations tabulated, where they are too many."""
        if not self.wide or self.simulator.kind == "testbed":
            return
        many = f"{self._apps} applications on {self.slots} slots: over {MAX_COLOCATIONS:,} co-locations"
        if self.simulator.kind == "table":
            used = "too many to measure them all, as simulator=table needs"
            raise InputError(f"{many}, {used}; use simulator=lowrank, ensemble, boosted or forest")
        profile = self.profile
        if not profile.explored and not profile.path and profile.choose in ("share", "all"):
            asked = "too many to profile a share of them"
            raise InputError(f"{many}, {asked}; use profile=mixes, pairs or explore")

    @property
    def slots(self) -> int:
        """Slots of a node of a testbed that is a model."""
        return self.cluster.slots or SLOTS

    @property
    def stated(self) -> bool:
        """Whether nodes differ, or rules treat them differently: a statement says what each has."""
        return bool(self.cluster.types) or self.rules.wider or self.problem is not None

    @property
    def by_oracle(self) -> bool:
        """Whether schedulers ask what co-locations are worth, instead of going through a table of all."""
        return self.wide or self.stated

    @property
    def wide(self) -> bool:
        """Whether co-locations are too many to tabulate, so that their worth is asked of an oracle."""
        return comb(self._apps + self.slots, self.slots) > MAX_COLOCATIONS

    @property
    def _apps(self) -> int:
        """How many applications there are, as far as the settings say; 0 of models that are tabulated."""
        if self.testbed.kind == "synthetic":
            return self.apps.count or 0
        measured = self.testbed.kind == "swarm" or (self.profile.path and not self.testbed.path)
        return len(self.apps.names or ()) if measured else 0


def validated(composed: Mapping[str, Any]) -> Settings:
    """Return `composed`, plain nested values, as settings.

    Raises:
        InputError: an unknown key, a value of the wrong type or out of range; names key, value and bound.
    """
    return read_as(Settings, dict(composed))


def plain(chosen: Settings) -> dict[str, Any]:
    """Return settings as nested values that JSON and YAML can hold."""
    dumped: dict[str, Any] = adapter_of(Settings).dump_python(chosen, mode="json", exclude={"objective"})
    made: Any = chosen.objective
    objective = {"kind": kind_of(made), **getattr(made, "__dict__", {})}
    # in the order of the classes
    return {one.name: objective if one.name == "objective" else dumped[one.name] for one in fields(Settings)}


def defaults() -> dict[str, Any]:
    """Return what every key is without an override, for Hydra to compose onto.

    Sections with a `seed` take that of the run. Empty mappings are null: Hydra adds no key to a mapping
    that is already there.
    """
    tree = plain(Settings())
    for section in tree.values():
        if isinstance(section, dict) and "seed" in section:
            section["seed"] = "${seed}"
    return _with_null_mappings(tree)


def _with_null_mappings(tree: dict[str, Any]) -> dict[str, Any]:
    return {
        name: (_with_null_mappings(value) or None) if isinstance(value, dict) else value
        for name, value in tree.items()
    }


@cache
def known_keys() -> tuple[str, ...]:
    """Return the dotted names of all settings."""
    return tuple(keys_of(Settings))


@cache
def section_names() -> tuple[str, ...]:
    """Return the names of all settings that hold others."""
    return tuple(one.name for one in fields(Settings) if is_dataclass(getattr(Settings, one.name, None)))


@cache
def open_mappings() -> tuple[str, ...]:
    """Return the dotted names of the settings that hold keys of the user's own, and of the objective."""
    found = ["objective"]
    for key in known_keys():
        kind: Any = Settings
        *sections, last = key.split(".")
        for section in sections:
            kind = _hints(kind)[section]
        if _holds_mapping(_hints(kind)[last]):
            found.append(key)
    return tuple(found)


def _holds_mapping(hint: Any) -> bool:
    return any(get_origin(one) in (dict, Mapping) for one in (hint, *get_args(hint)))


@cache
def path_keys() -> tuple[str, ...]:
    """Return the dotted names of the settings that are paths and nothing else."""
    return tuple(key for key in known_keys() if {READ, WRITTEN} & set(_marks(key)) and _is_text(key))


@cache
def paths_among() -> tuple[str, ...]:
    """Return the dotted names of the settings that are a list of paths, or a path or something else."""
    return tuple(key for key in known_keys() if key not in path_keys() and _holds_path(_hint(key)))


@cache
def text_keys() -> tuple[str, ...]:
    """Return the dotted names of the settings whose text is taken as it is typed."""
    return tuple(key for key in known_keys() if TYPED in _marks(key))


def _holds_path(hint: Any) -> bool:
    marks = getattr(hint, "__metadata__", ())
    return READ in marks or WRITTEN in marks or any(map(_holds_path, get_args(hint)))


@cache  # Python evaluates the annotations of a class anew each time: a third of a second for all keys
def _hints(kind: Any, marked: bool = False) -> dict[str, Any]:
    """Return the types of a class's fields, `marked` with what stands beside them in the annotation."""
    return get_type_hints(kind, include_extras=marked)


def _hint(key: str) -> Any:
    kind: Any = Settings
    *sections, last = key.split(".")
    for section in sections:
        kind = _hints(kind)[section]
    return _hints(kind, marked=True)[last]


def _is_text(key: str) -> bool:
    kind: Any = Settings
    *sections, last = key.split(".")
    for section in sections:
        kind = _hints(kind)[section]
    hint = _hints(kind)[last]
    return all(one in (str, type(None)) for one in (get_args(hint) or (hint,)))


@cache
def _marks(key: str) -> tuple[Any, ...]:
    return tuple(marks_of(_hint(key)))


def counted(tree: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return what of the settings decides an output, by dotted name: values, and digests of files read.

    Args:
        tree: as `plain` returns it.
        keys: dotted names, of single settings or of whole sections. Paths that are only written to, or that
            do not matter for what is computed, are left out.
    """
    found: dict[str, Any] = {}
    for name in known_keys():
        if not any(name == key or name.startswith(f"{key}.") for key in keys):
            continue
        value: Any = tree
        for part in name.split("."):
            value = value[part]
        marks = _marks(name)
        if WRITTEN in marks:
            continue
        given = READ in marks and isinstance(value, str) and Path(value).exists()
        found[name] = content_digest(Path(value)) if given else value
    return found
