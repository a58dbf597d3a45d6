"""What a cluster must be able to do to run containers: one protocol, and the backends that implement it.

A new backend is a folder of its own and a line in `BACKENDS`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from cluster.provision.inventory import Host, Inventory
from cluster.spec import ClusterSpec, Container, ContainerSpec, Held, Purpose
from metis.errors import InputError
from metis.problem.counts import IntArray

if TYPE_CHECKING:
    from cluster.host_counters import HostCounters
    from cluster.images.build import Image
    from cluster.images.catalog import Workload
    from cluster.provision.hosts import Fleet
    from cluster.settings import LaunchSettings

Report = Callable[[str], None]
Counts = Mapping[str, Sequence[int] | IntArray]  # per application, by node


@dataclass(frozen=True)
class Registered:
    """The parts of a backend as `module:name`, imported when they are needed.

    Attributes:
        render: function that writes what it would run, a `ClusterSpec`, as text.
        run: class made as `Backend` is described to be made; None for one that only renders.
    """

    render: str
    run: str | None = None


BACKENDS = {
    "swarm": Registered("cluster.swarm.stack:render", "cluster.swarm.backend:SwarmBackend"),
    "kubernetes": Registered("cluster.kubernetes.manifests:render"),
}
RUNNING = tuple(name for name, parts in BACKENDS.items() if parts.run)


@dataclass(frozen=True)
class Capacity:
    """What a node has.

    Attributes:
        cores: processor cores.
        memory_mb: memory.
    """

    cores: int
    memory_mb: int


@dataclass(frozen=True)
class JobResult:
    """How a container that runs to its end ended.

    Attributes:
        exit_code: of its program.
        output: its standard output.
        errors: its standard error.
    """

    exit_code: int
    output: str
    errors: str


@dataclass(frozen=True)
class HostState:
    """How a host takes part in a cluster.

    Attributes:
        state: `ready` where it can run containers, else in words.
        engine: version of what runs them; empty where unknown.
        why: what went wrong while asking; empty where nothing did.
    """

    state: str
    engine: str = ""
    why: str = ""


@dataclass(frozen=True)
class Tenant:
    """Something that runs on a node and that this cluster did not start.

    Attributes:
        name: of the service, or of the container that belongs to none.
        cpus: limit; 0 for none.
        memory_mb: limit; 0 for none.
        everywhere: whether it is meant to run on every node, as agents do.
    """

    name: str
    cpus: float = 0.0
    memory_mb: int = 0
    everywhere: bool = False


@dataclass(frozen=True)
class Occupancy:
    """Whether a node takes containers, and what is on it already.

    Attributes:
        state: `ready`, or why it takes none: `drained`, `paused`, `down`, or why nothing is known.
        tenants: what this cluster did not start.
        ports: ports that something listens on, and what that is; a service of this cluster by its name.
    """

    state: str = "ready"
    tenants: tuple[Tenant, ...] = ()
    ports: Mapping[int, str] = field(default_factory=dict)

    @property
    def counted(self) -> tuple[Tenant, ...]:
        """The tenants that take slots; what runs everywhere is part of what a node is."""
        return tuple(one for one in self.tenants if not one.everywhere)

    def slots(self, cpus: float, memory_mb: int) -> int:
        """Slots that tenants take, each of `cpus` cores and `memory_mb`; one without limits takes one."""
        known = [one for one in self.counted if one.cpus or one.memory_mb]
        by_cores = math.ceil(sum(one.cpus for one in known) / cpus - 1e-9)
        by_memory = math.ceil(sum(one.memory_mb for one in known) / memory_mb - 1e-9)
        return max(by_cores, by_memory) + len(self.counted) - len(known)


@dataclass(frozen=True)
class Departure:
    """What taking a cluster's hosts out again comes to.

    Attributes:
        changes: what would be removed, and which hosts leave, in words.
        stays: what is left as it is, and why.
        others: what others run on hosts that would leave, in words; such a host leaves only by force.
    """

    changes: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


class Backend(Protocol):
    """Runs containers on the nodes of one cluster.

    A backend is made from a `Fleet`, workloads, images and `LaunchSettings`, see `open_backend`. It touches
    nothing that it did not start itself. All that fails is a `SurroundingsError` that names the host.
    """

    @property
    def inventory(self) -> Inventory:
        """The hosts of the cluster; its workers are the nodes, in the order of a placement's rows."""
        ...

    def prepare(self, report: Report) -> Inventory:
        """Make the hosts one cluster, with all that running containers takes; done again it changes nothing.

        Args:
            report: called with a line for each thing that was changed.

        Returns:
            The inventory with the facts of each host: hostname, cores, memory (bytes), engine (version).

        Raises:
            InputError: hosts that cannot be one cluster; says which and why.
        """
        ...

    def host_states(self) -> dict[str, HostState]:
        """How each host takes part, by name; one that does not respond is no error."""
        ...

    def exclusive(self, doing: str, report: Report, patience: float) -> AbstractContextManager[None]:
        """Keep others, wherever they run, from measuring or changing what runs within the block.

        Args:
            doing: what it is for, in a word or two; others see it.
            report: called with a line, at once, where it must be waited for, with who has it since when.
            patience: seconds until waiting is given up.

        Raises:
            SurroundingsError: another has it for longer.
        """
        ...

    def departure(self) -> Departure:
        """What `disband` would change; nothing is changed."""
        ...

    def disband(self, report: Report, force: bool = False) -> None:
        """Undo `prepare`: remove what this cluster runs and take out the hosts that it joined.

        What was there before stays, and so does what a cluster of another name joined.

        Args:
            report: called with a line for each thing that was changed, or could not be.
            force: take out hosts on which others run something, too.

        Raises:
            InputError: others run something on a host that would leave; nothing was changed.
        """
        ...

    def specs(
        self, node: str, held: Held, session: str, purpose: Purpose = "measured"
    ) -> list[ContainerSpec]:
        """Specs of the containers of a node, by slot and application; see `Layout.containers`."""
        ...

    def signature(self, spec: ContainerSpec) -> str:
        """Digest of all that decides how a container would run; see `Container.signature`."""
        ...

    def launch(self, colocations: Counts, session: str, purpose: Purpose = "measured") -> list[Container]:
        """Start a co-location, counts [apps], on each of some nodes; see `start`."""
        ...

    def running(self, colocations: Counts, session: str) -> AbstractContextManager[Sequence[Container]]:
        """`launch`, and `stop` at the end, whatever happens in between."""
        ...

    def paired(
        self, node: str, counts: Sequence[int] | IntArray, room: int, session: str
    ) -> AbstractContextManager[tuple[Sequence[Container], Mapping[str, Container]]]:
        """`running` for one node, with a container of each application that can be loaded by itself.

        That is one of the co-location, if it would be started alike without the others, else one that is
        started besides, in the slots after.

        Args:
            node: its name.
            counts: the co-location, [apps].
            room: slots in which further containers may be started.
            session: of the measurement.

        Returns:
            Those of the co-location, and by application the one to be loaded by itself; none at all where not
            all of these find room.
        """
        ...

    def start(self, specs: Sequence[ContainerSpec]) -> list[Container]:
        """Start containers of one session; returns once each runs and responds to a client host.

        Where that fails, those that are measured are removed again; of a deployment those that do not
        respond.

        Raises:
            SurroundingsError: no room, a port taken, an image missing, a container that ends or stays silent;
                names the container and why.
        """
        ...

    def stop(self, containers: Sequence[Container]) -> None:
        """Remove containers; returns once they are gone, so that their ports are free."""
        ...

    def standing(self, session: str | None = None) -> list[Container]:
        """The containers of a session, or of all, that are meant to run, by node and slot."""
        ...

    def troubles(self, session: str) -> list[str]:
        """Why containers of a session died since they were started, a line each."""
        ...

    def responding(self, containers: Sequence[Container], seconds: float) -> set[str]:
        """Names of the containers that respond to a client host within that time."""
        ...

    def counters(self, host: Host, session: str) -> "HostCounters":
        """The counters of a host now, with those of the containers of a session; see `HostCounters`."""
        ...

    def unavailable(self, host: Host) -> str:
        """Why a host cannot take part in a measurement; empty where it can."""
        ...

    def occupancy(self) -> dict[str, Occupancy]:
        """Whether each node takes containers, what others run there, and which ports are held; by name.

        Raises:
            SurroundingsError: the cluster itself does not respond.
        """
        ...

    def capacity(self) -> dict[str, Capacity]:
        """What each node has, by name; nodes of which nothing is known are left out."""
        ...

    def ensure_support(self) -> list[str]:
        """Start the support services that the applications need, on all nodes; what was changed, in words."""
        ...

    def sweep(self) -> list[str]:
        """Remove what interrupted measurements left, deployments aside; names of what was removed."""
        ...

    def clear(self) -> None:
        """Remove all that this cluster ever started: measured, deployed and support."""
        ...

    def run_job(
        self,
        client: Host,
        image: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        session: str,
        timeout: float,
    ) -> JobResult:
        """Run a container to its end on a client host, in the host's own network, and remove it.

        Args:
            client: the host.
            image: tag or id of an image that is there.
            arguments: of the image's program.
            environment: of its program.
            session: by which `sweep_jobs` finds one that was left behind.
            timeout: seconds until it must have ended.
        """
        ...

    def sweep_jobs(self, session: str) -> None:
        """Remove the containers of jobs that an interrupted run of this session left on the clients."""
        ...

    def run_script(self, client: Host, script: str, timeout: float) -> str:
        """Standard output of a Python script that runs on a client host."""
        ...

    def render(self, cluster: ClusterSpec) -> str:
        """All that would run, as a text that the cluster's own tools can apply."""
        ...


def open_backend(
    kind: str,
    fleet: "Fleet",
    workloads: "Sequence[Workload]",
    images: "Sequence[Image]",
    settings: "LaunchSettings | None" = None,
) -> Backend:
    """The backend called `kind`, on these hosts.

    Raises:
        InputError: there is no such backend.
    """
    made = _part({name: parts.run for name, parts in BACKENDS.items() if parts.run}, kind)
    return cast(Backend, made(fleet, workloads, images, settings))


def renderer(kind: str) -> Callable[[ClusterSpec], str]:
    """The function that writes what the backend called `kind` would run.

    Raises:
        InputError: there is no such backend.
    """
    return cast(
        "Callable[[ClusterSpec], str]", _part({name: parts.render for name, parts in BACKENDS.items()}, kind)
    )


def _part(known: Mapping[str, str], kind: str) -> Any:
    if kind not in known:
        raise InputError(f"{kind!r}: there is no such backend; use {', '.join(known)}")
    module, _, name = known[kind].partition(":")
    return getattr(import_module(module), name)
