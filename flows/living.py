"""What runs on a live cluster, as the stages deploy and watch and their verbs need it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.cluster_state import cluster_state, in_use
from flows.pipeline import Outcome, make_chain, reusable, run_steps
from flows.settings import Settings
from flows.work import Progress
from metis.errors import InputError, SurroundingsError
from metis.measure.profile import Profile, load_profile
from metis.problem.counts import IntArray
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

if TYPE_CHECKING:
    from cluster.backend import Backend
    from cluster.deployment import Change
    from cluster.images.build import Image
    from cluster.images.catalog import Workload
    from cluster.load.measurement import Source
    from cluster.spec import Container

MEASURING = ("explore", "profile", "simulator")
ANSWER_WITHIN = 10.0  # seconds that what stands has to answer


@dataclass(frozen=True)
class Running:
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
    def session(self) -> str:
        """Name of the deployment."""
        return str(self.settings.deploy.made().session)

    def standing(self) -> "list[Container]":
        """The containers of the deployment that there are."""
        return self.backend.standing(self.session)

    def placement(self) -> IntArray:
        """What stands, int [nodes, apps]."""
        from cluster.deployment import placement_of

        return placement_of(self.standing(), self.nodes, self.space.apps)

    def plan(self, placement: IntArray) -> "list[Change]":
        """What must change for `placement`; what stands and does not answer is started anew."""
        from cluster.deployment import plan

        standing = self.standing()
        reachable = [one for one in standing if one.node in self.nodes]
        sound = self.backend.responding(reachable, ANSWER_WITHIN)
        return plan(
            self.backend,
            self.session,
            [one if one.name in sound else replace(one, signature="") for one in standing],
            placement,
            self.space.apps,
            self.space.slots,
        )

    def source(self, kind: str) -> "Source":
        """What measures running containers: `load` or `metrics`."""
        from cluster.images.catalog import LOAD
        from cluster.load.measurement import CounterMeasurement, LoadMeasurement

        load = self.settings.load.made()
        if kind == "metrics":
            return CounterMeasurement(self.backend, load)
        image = next((one.id for one in self.images if one.app == LOAD), None)
        if image is None:
            raise SurroundingsError("the load image was not built; give rerun=[build]")
        at_once = self.settings.profile.at_once
        return LoadMeasurement(self.backend, self.workloads, load, image, at_once, f"{self.session}-load")


@contextmanager
def connected(settings: Settings, inputs: Mapping[str, Path]) -> Iterator[Running]:
    """The live cluster that `inputs` tell of.

    Args:
        settings: of the run.
        inputs: output folders of the steps `setup` and `build`.

    Raises:
        InputError: there are no applications to run.
        SurroundingsError: a host cannot be reached.
    """
    check_live(settings)
    from cluster.backend import open_backend
    from cluster.images.build import read_images
    from cluster.images.catalog import load_catalog
    from cluster.provision.hosts import Fleet
    from cluster.provision.inventory import Inventory

    names = settings.apps.names or []
    space = ColocationSpace(tuple(names), settings.cluster.slots or 1)
    workloads = load_catalog([Path(folder) for folder in settings.apps.workloads], names)
    images = read_images(inputs["build"] / "images.json")
    inventory = Inventory.load(inputs["setup"] / "inventory.json")
    with in_use(settings), Fleet(inventory, settings.connect.made()) as fleet:
        backend = open_backend("swarm", fleet, workloads, images, settings.launch.made())
        yield Running(settings, space, workloads, images, backend)


def undeploy(settings: Settings) -> list[str]:
    """Remove the deployment, and what interrupted measurements left; caches too where nothing else runs.

    Returns:
        What was removed, in words.

    Raises:
        SurroundingsError: there is no inventory, or a host cannot be reached.
    """
    check_live(settings)
    from cluster.backend import open_backend
    from cluster.provision.hosts import Fleet
    from cluster.provision.inventory import Inventory

    path = cluster_state(settings) / "inventory.json"
    if not path.is_file():
        raise SurroundingsError(f"{path}: there is none, so cluster {settings.cluster.name!r} is not set up")
    with in_use(settings), Fleet(Inventory.load(path), settings.connect.made()) as fleet:
        backend = open_backend("swarm", fleet, (), (), settings.launch.made())
        session = str(settings.deploy.made().session)
        removed = [one.where for one in backend.standing(session)]
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


def made_ready(settings: Settings, progress: Progress) -> dict[str, Path]:
    """Output folders of setup and build, done now; Prefect has no part in it.

    Raises:
        StepError: one of them failed.
    """
    check_live(settings)
    asked = settings.model_copy(update={"stages": ["setup", "build"], "rerun": [], "until": None})
    outcome = run_steps(make_chain(asked, progress), lambda step, do: do(progress))
    return {name: record.folder for name, record in outcome.records.items()}


def run_stage(settings: Settings, stage: str, progress: Progress, command: str) -> Outcome:
    """Do one stage on the live cluster for a verb, with what is already known and nothing that takes hours.

    Profile and simulator are taken where they are finished under these settings, or read from
    `profile.path`; they are never measured. Prefect has no part in it.

    Raises:
        StepError: setup, build or the stage failed.
    """
    check_live(settings)
    asked = settings.model_copy(update={"stages": [stage], "rerun": [], "until": None})
    chain = make_chain(asked, progress, command)
    known = [step for step in chain.steps if step.stage in MEASURING]
    if not settings.profile.path:
        finished = reusable(known, chain.store)
        # fitting takes a second; what takes hours is not begun here
        known = [step for step in known if step.name in finished or "profile" in finished]
    kept = {step.name for step in known}
    steps = [
        replace(step, inputs=tuple(name for name in step.inputs if name in kept))
        if step.stage == stage
        else step
        for step in chain.steps
        if step.stage not in MEASURING or step.name in kept
    ]
    return run_steps(replace(chain, steps=steps), lambda step, do: do(chain.progress))


def known_profile(inputs: Mapping[str, Path]) -> Profile | None:
    """The profile among the inputs, if there is one."""
    folder = inputs.get("profile")
    return None if folder is None else load_profile(folder / "profile.npz")


def known_tables(inputs: Mapping[str, Path], space: ColocationSpace) -> Tables | None:
    """The simulator's tables among the inputs, if they are of this space."""
    from metis.simulate.simulator import FittedSimulator

    folder = inputs.get("simulator")
    if folder is None:
        return None
    tables = FittedSimulator.load(folder / "simulator.npz").tables
    return tables if tables.space == space else None


def alone_rps(profile: Profile | None) -> dict[str, float]:
    """Stand-alone RPS by application, when they were profiled; empty where nobody wrote it down."""
    told: Any = (profile.provenance if profile else {}).get("alone_rps") or {}
    return {str(app): float(value) for app, value in dict(told).items()}
