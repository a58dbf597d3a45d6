"""What runs on a live cluster, as the stages deploy and watch and their verbs need it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flows.configuration.settings import Settings
from flows.live.state import INVENTORY, MOVES, TRIAL, cluster_state, opened, say_indented
from metis.errors import InputError, SurroundingsError
from metis.measure.profile import Profile
from metis.measure.profile_files import load_profile
from metis.problem.counts import IntArray
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.wording import amount

if TYPE_CHECKING:
    from cluster.backend import Backend
    from cluster.deployment import Change
    from cluster.images.build import Image
    from cluster.images.catalog import Workload
    from cluster.load.measurement import Source
    from cluster.spec import Container

RESPOND_WITHIN = 10.0  # seconds that what stands has to respond


@dataclass(frozen=True)
class LiveSession:
    """A live cluster, connected.

    Attributes:
        settings: of the run.
        space: its applications and slots.
        workloads: in the order of the applications.
        images: of the applications and of what they need.
        backend: runs containers on its hosts.
    """

    settings: Settings
    space: ColocationSpace
    workloads: "tuple[Workload, ...]"
    images: "tuple[Image, ...]"
    backend: "Backend"

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the workers, in the order of a placement's rows."""
        return tuple(host.name for host in self.backend.inventory.workers)

    @property
    def name(self) -> str:
        """Name of the deployment."""
        return self.settings.deploy.session

    def standing(self) -> "list[Container]":
        """Return the containers of the deployment that stand."""
        return self.backend.standing(self.name)

    def placement(self) -> IntArray:
        """Return what stands, int [nodes, apps]."""
        from cluster.deployment import placement_of

        return placement_of(self.standing(), self.nodes, self.space.apps)

    def plan(self, placement: IntArray) -> "list[Change]":
        """Return what must change for `placement`; what stands and does not respond is started anew."""
        from cluster.deployment import plan

        found = self._responding()
        return plan(self.backend, self.name, found, placement, self.space.apps, self.space.slots)

    def plan_back(self, held: Mapping[str, Mapping[int, str]]) -> "list[Change]":
        """Return what must change for what ran before, application by slot by node; see `plan`."""
        from cluster.deployment import plan_back

        return plan_back(self.backend, self.name, self._responding(), held)

    def _responding(self) -> "list[Container]":
        """Return what stands; without its signature what does not respond, so that it is started anew."""
        standing = self.standing()
        reachable = [one for one in standing if one.node in self.nodes]
        sound = self.backend.responding(reachable, RESPOND_WITHIN)
        return [one if one.name in sound else replace(one, signature="") for one in standing]

    def obstacles(self, changes: "Sequence[Change]") -> list[str]:
        """Return why these changes would fail midway; see `cluster.deployment.obstacles`."""
        from cluster.deployment import obstacles, too_many

        launch = self.settings.launch
        occupied = self.backend.occupancy()
        most, types = self.space.slots, self.settings.cluster.types
        own = {host.name: host.slots or most for host in self.backend.inventory.workers}
        own |= {node: one.slots or most for one in types for node in one.names}
        return too_many(changes, own) + obstacles(
            changes, occupied, self.space.slots, launch.cpus, launch.memory_mb
        )

    def source(self, kind: str) -> "Source":
        """Return what measures running containers: `load`, `metrics` or `prometheus`."""
        from cluster.images.catalog import LOAD
        from cluster.load.measurement import CounterMeasurement, LoadMeasurement

        load = self.settings.load
        if kind == "prometheus":
            from cluster.load.prometheus import PrometheusMeasurement

            return PrometheusMeasurement(self.settings.watch, load)
        if kind == "metrics":
            return CounterMeasurement(self.backend, load)
        image = next((one.id for one in self.images if one.app == LOAD), None)
        if image is None:
            raise SurroundingsError("the load image was not built; give rerun=[build]")
        at_once = self.settings.profile.at_once
        return LoadMeasurement(self.backend, self.workloads, load, image, at_once, f"{self.name}-load")


@contextmanager
def connected(settings: Settings, inputs: Mapping[str, Path], doing: str = "") -> Iterator[LiveSession]:
    """Open the live cluster that the stages setup and build made ready.

    Args:
        settings: of the run.
        inputs: output folders of the steps `setup` and `build`.
        doing: see `flows.live.state.opened`.

    Raises:
        InputError: there are no applications to run.
        SurroundingsError: a host cannot be reached.
    """
    check_live(settings)
    from cluster.images.build import read_images
    from cluster.images.catalog import load_catalog
    from cluster.provision.inventory import Inventory

    names = settings.apps.names or ()
    space = ColocationSpace(tuple(names), settings.cluster.slots or 1)
    workloads = load_catalog([Path(folder) for folder in settings.apps.workloads], names)
    images = read_images(inputs["build"] / "images.json")
    inventory = Inventory.load(inputs["setup"] / INVENTORY)
    with opened(settings, inventory, doing, workloads, images) as backend:
        yield LiveSession(settings, space, workloads, images, backend)


def undeploy(settings: Settings) -> list[str]:
    """Remove the deployment, and what interrupted measurements left; caches too where nothing else runs.

    Returns:
        What was removed, in words.

    Raises:
        SurroundingsError: there is no inventory, or a host cannot be reached.
    """
    check_live(settings)
    from cluster.provision.inventory import Inventory

    path = cluster_state(settings) / INVENTORY
    if not path.is_file():
        raise SurroundingsError(f"{path}: there is none, so cluster {settings.cluster.name!r} is not set up")
    with opened(settings, Inventory.load(path), "undeploy") as backend:
        session = settings.deploy.session
        removed = [one.where for one in backend.standing(session)]
        say_indented(f"removing {amount(len(removed), 'container')} of {session}")
        for record in (MOVES, TRIAL):
            (cluster_state(settings) / record).unlink(missing_ok=True)
        backend.stop(backend.standing(session))
        backend.sweep()
        if not backend.standing():
            backend.clear()
    return removed


def check_live(settings: Settings) -> None:
    """Refuse settings without a live cluster.

    Raises:
        InputError: no hosts, or no applications to run on them.
    """
    if not settings.cluster.live:
        raise InputError("cluster=local has no hosts: give cluster=lab, cluster=hosts or cluster=ec2")
    if not settings.apps.names:
        raise InputError("apps.names: give the applications that run, for instance apps=lab or apps=seven")


def known_profile(inputs: Mapping[str, Path]) -> Profile | None:
    """Return the profile among the inputs, if there is one."""
    folder = inputs.get("profile")
    return None if folder is None else load_profile(folder / "profile.npz")


def known_tables(inputs: Mapping[str, Path], space: ColocationSpace) -> Tables | None:
    """Return the simulator's tables among the inputs, if they are of this space."""
    from metis.simulate.simulator import FittedSimulator

    folder = inputs.get("simulator")
    if folder is None:
        return None
    tables = FittedSimulator.load(folder / "simulator.npz").tables
    return tables if tables.space == space else None


def alone_rps(profile: Profile | None) -> dict[str, float]:
    """Return stand-alone RPS by application, when they were profiled; empty where it was not recorded."""
    recorded = (profile.provenance if profile else {}).get("alone_rps") or {}
    return {str(app): float(value) for app, value in dict(recorded).items()}
