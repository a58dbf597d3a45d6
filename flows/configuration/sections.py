"""Settings of a run that belong to no package of the science: cluster, profile, groups, runner, tracking."""

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le
from pydantic import Field

from cluster.backend import RUNNING
from metis.errors import InputError
from metis.problem.node_types import NodeTypeSettings, nodes_of
from metis.settings import NONE_IS_EMPTY, Count, InputPath, OutputPath, Port, Seed, TypedText, settings

if TYPE_CHECKING:
    Running = str
else:
    Running = Literal[RUNNING]


@settings("cluster")
class ClusterSettings:
    """Where containers go.

    Attributes:
        kind: `local` has no hosts; `lab`, `hosts` and `ec2` are live clusters.
        name: of a live cluster.
        backend: what runs its containers.
        nodes: that containers are placed on.
        types: node types, where nodes differ: of each its `name`, `count` or `nodes`, `slots`, `capacity` per
            resource, `labels`, and `domains` such as {zone: [a, b]}; `nodes` and `slots` follow from them.
        slots: containers that a node holds; null: as in the profile.
        workers: nodes that a lab or EC2 starts.
        inventory: YAML file of the hosts, for `cluster=hosts`.
        state: folder of keys and of what was launched; null: `cluster/NAME` beside the tracking store.
    """

    kind: Literal["local", "lab", "hosts", "ec2"] = "local"
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")] = "metis"
    backend: Running = "swarm"
    nodes: Annotated[int, Ge(1), Le(1_000_000)] = 81
    slots: Annotated[int, Ge(1), Le(256)] | None = None
    types: tuple[NodeTypeSettings, ...] = ()
    workers: Annotated[int, Ge(1), Le(10_000)] | None = None
    inventory: OutputPath | None = None
    state: OutputPath | None = None

    @property
    def live(self) -> bool:
        """Whether it has hosts."""
        return self.kind != "local"

    def __post_init__(self) -> None:
        if self.types:
            object.__setattr__(self, "nodes", nodes_of(self.types))
            widest = [one.slots for one in self.types if one.slots is not None]
            if len(widest) == len(self.types):
                object.__setattr__(self, "slots", max(widest))
            elif self.slots is not None and max(widest, default=0) > self.slots:
                raise InputError(
                    f"cluster.types: a type has {max(widest)} slots, more than cluster.slots={self.slots}"
                )
            unnamed = [one.name for one in self.types if self.live and not one.nodes]
            if unnamed:
                raise InputError(
                    f"cluster.types.{unnamed[0]}: of a live cluster={self.kind} give the names of its nodes; "
                    "`metis cluster types` prints them"
                )
        if self.kind == "hosts" and not self.inventory:
            raise InputError("cluster=hosts needs cluster.inventory=FILE, a YAML file with `hosts:`")
        if self.live and self.slots is None:
            raise InputError(f"cluster={self.kind} needs cluster.slots=K, the containers that a node holds")


@settings("apps")
class AppsSettings:
    """The applications.

    Attributes:
        names: of the applications, for profiles that have none; on a live cluster, of the workloads to run.
        count: of the applications of `testbed=synthetic`.
        requests: application -> resource -> what a container takes, such as {web: {cpu: 500m, memory: 1Gi}}.
        workloads: folders of applications of your own, beside the packaged ones.
    """

    names: tuple[str, ...] | None = None
    count: Annotated[int, Ge(2), Le(100_000)] | None = None
    requests: Annotated[Mapping[str, Mapping[str, float | str]], NONE_IS_EMPTY] = field(default_factory=dict)
    workloads: tuple[OutputPath, ...] = ()


MIXES = 200  # of `profile=mixes`


@settings("profile")
class ProfileSettings:
    """What is measured: co-locations on the testbed, or a file of measurements.

    Attributes:
        kind: `explore` measures what pays for groups (see `demand`), unless one of the following says what to
            measure; `testbed` measures what they say, `file` reads `path`.
        path: file of measurements; read whatever `kind` is.
        choose: a seeded random `share` of the space, all `pairs`, `all`, seeded random `mixes` of many
            applications, or those `given`; stand-alone runs always.
        colocations: those given: counts per application, or a file with a column for each.
        onto: a profile to go on with.
        share: of the co-locations.
        mixes: with `choose` `mixes` or `pairs`, the number of mixes; null: 200 and none.
        repeats: runs of each co-location.
        at_once: co-locations measured at once on a live cluster; null: one per worker.
        seed: of the choice and of the measurement noise.
    """

    kind: Literal["testbed", "file", "explore"] = "explore"
    path: InputPath | None = None
    choose: Literal["share", "pairs", "all", "mixes", "given"] = "share"
    colocations: tuple[tuple[Annotated[int, Ge(0)], ...], ...] | InputPath | None = None
    onto: InputPath | None = None
    share: Annotated[float, Gt(0), Le(1)] = 0.2
    mixes: Annotated[int, Ge(1), Le(1_000_000)] | None = None
    repeats: Annotated[int, Ge(1), Le(1000)] = 1
    at_once: Annotated[int, Ge(1), Le(10_000)] | None = None
    seed: Seed = 0

    @property
    def explored(self) -> bool:
        """Whether an exploration makes it."""
        measured = any(
            getattr(self, name) != type(self).__dataclass_fields__[name].default
            for name in ("path", "choose", "colocations", "onto", "share", "mixes")
        )
        return self.kind == "explore" and not measured

    def __post_init__(self) -> None:
        if self.kind == "file" and not self.path:
            raise InputError("profile=file needs profile.path=FILE")
        if (self.choose == "given") != (self.colocations is not None):
            raise InputError("profile.choose=given and profile.colocations go together")
        if self.mixes is not None and self.choose not in ("mixes", "pairs"):
            raise InputError(f"profile.mixes={self.mixes}: goes with profile=mixes or profile=pairs")

    @property
    def drawn_mixes(self) -> int:
        """The mixes to measure."""
        return (MIXES if self.choose == "mixes" else 0) if self.mixes is None else self.mixes


@settings("testbed")
class TestbedSettings:
    """What knows what would really happen.

    Attributes:
        kind: `embedded` is a parametric model, `file` replays a full profile, `swarm` is the live cluster,
            `synthetic` a model of `apps.count` applications drawn by `seed`.
        path: file of a full profile.
        coefficients: file of the embedded model's coefficients; null: the packaged seven applications.
        noise: standard deviation of the logarithm of a measured RPS.
        seed: of the synthetic model.
    """

    __test__ = False

    kind: Literal["embedded", "file", "swarm", "synthetic"] = "embedded"
    path: InputPath | None = None
    coefficients: InputPath | None = None
    noise: Annotated[float, Ge(0), Le(1)] = 0.02
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.kind == "file" and not self.path:
            raise InputError("testbed=file needs testbed.path=FILE")


@settings("demand")
class DemandSettings:
    """The groups that the chain explores for: one profile serves whatever is placed later.

    Attributes:
        kind: `typical` groups, drawn as follows, on a cluster without rules and existing containers; or the
            groups of the `run`, on its cluster, as always on a live one.
        nodes: of that cluster.
        size: containers of a group; at most half of the slots.
        count: groups, drawn uniformly over the applications.
        seed: of the groups.
    """

    kind: Literal["typical", "run"] = "typical"
    nodes: Annotated[int, Ge(1), Le(1_000_000)] = 81
    size: Count = 200
    count: Annotated[int, Ge(1), Le(10_000)] = 10
    seed: Seed = 0


@settings("sample")
class SampleSettings:
    """The paper's way to profile, shown beside what was explored: a random share of the co-locations.

    Attributes:
        share: of the co-locations; null: do not show it.
        simulator: fitted to them; the paper's is a `forest`.
        seed: of the choice, the measurement noise and the fit.
    """

    share: Annotated[float, Gt(0), Le(1)] | None = 0.2
    simulator: Literal["forest", "boosted", "ensemble"] = "forest"
    seed: Seed = 0


@settings("group")
class GroupSettings:
    """One group.

    Attributes:
        counts: containers per application, by position or by name.
        size: containers of a group that is drawn at random, where there are no counts.
    """

    counts: tuple[float, ...] | dict[str, float] | None = None
    size: Annotated[int, Ge(1), Le(1_000_000_000)] = 200


@settings("groups")
class GroupsSettings:
    """Several groups: of a file, or drawn.

    Attributes:
        path: file of groups.
        rows: of the file: one such as 7, or a range such as 0:10.
        count: groups drawn, multinomial and uniform over the applications.
        skewed: draw shares per application from Dirichlet(1).
        arrive: one after another onto the same cluster; what was placed stays.
        seed: of the groups drawn.
    """

    path: InputPath | None = None
    rows: str | int | None = None
    count: Annotated[int, Ge(1), Le(10_000)] = 10
    skewed: bool = False
    arrive: bool = False
    seed: Seed = 0


@settings("runner")
class RunnerSettings:
    """Where independent work runs.

    Attributes:
        kind: `local` in this process, in `threads` of it, or on a `dask` cluster.
        jobs: how many at once, jobs of a sweep included.
        address: `tcp://host:port` of a Dask scheduler; null: workers on this machine.
    """

    kind: Literal["local", "threads", "dask"] = "local"
    jobs: Annotated[int, Ge(1), Le(1024)] = 2
    address: str | None = None


@settings("runs")
class RunsSettings:
    """Which recorded runs `metis runs` compares, and how.

    Attributes:
        stage: of the runs: `scheduler` for one as evaluated, or a stage such as `explore`; null for all.
        filter: conditions that all hold, such as `scheduler=metis, true_ratio>0.99`; `=`, `!=`, `<`, `<=`,
            `>`, `>=`, and `~` for a part of the text.
        sort: column to sort by, with `-` before it from the largest down; null: the newest first.
        columns: parameters, metrics or tags of the runs; null: `metis runs` chooses.
        most: rows that the table shows, whose file and JSON have all; null for all.
    """

    stage: str | None = "scheduler"
    filter: TypedText | None = None
    sort: TypedText | None = None
    columns: tuple[str, ...] | None = None
    most: Annotated[int, Ge(1), Le(1_000_000)] | None = 100


@settings("tracking")
class TrackingSettings:
    """Where runs are recorded.

    Attributes:
        path: folder of the database, artifacts and checkpoints.
        uri: of a tracking server instead.
        experiment: name in MLflow.
        orchestrate: run stages as Prefect tasks.
        ui: address of the MLflow UI for links, where it is not `uri` nor that of `metis ui`.
        port: of `metis ui`.
    """

    path: OutputPath = "mlruns"
    uri: OutputPath | None = None
    experiment: str = "metis"
    orchestrate: bool = True
    ui: OutputPath | None = None
    port: Port = 5000


@settings("serve")
class ServeSettings:
    """What `metis serve` serves, and the Prefect server that knows of it.

    Attributes:
        name: of the deployments: pipeline/local, profile/local, ...
        port: of the Prefect server, on the loopback address; unused where PREFECT_API_URL names one.
        limit: runs at once.
        cron: when the pipeline runs by itself, for instance `0 3 * * *`.
        timezone: of the schedule, for instance Europe/Berlin; null: UTC.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "local"
    port: Port = 4200
    limit: Annotated[int, Ge(1), Le(1024)] = 2
    cron: str | None = None
    timezone: str | None = None


@settings("gc")
class GcSettings:
    """What `metis gc` regards as old.

    Attributes:
        days: what is younger stays.
        keep: newest finished runs of every step that stay whatever their age.
        delete: delete it, and not only show it.
    """

    days: Annotated[float, Ge(0), Le(100_000)] = 30.0
    keep: Annotated[int, Ge(0), Le(10_000)] = 1
    delete: bool = False
