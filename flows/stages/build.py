"""Stage build: the images of the applications, on every host that runs them."""

from pathlib import Path

from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.declaration import Stage
from flows.engine.keys import digest
from flows.engine.work import Work
from flows.stages.shared import workload_digests


def run(work: Work) -> None:
    """Write `images.json`; what is there already is neither built nor distributed again."""
    from cluster.images.build import build, write_images
    from cluster.images.catalog import load_catalog
    from cluster.images.distribution import distribute
    from cluster.provision.hosts import Fleet
    from cluster.provision.inventory import Inventory

    settings = work.settings
    folders = [Path(folder) for folder in settings.apps.workloads]
    workloads = load_catalog(folders, settings.apps.names or [])
    inventory = Inventory.load(work.inputs["setup"] / "inventory.json")
    done: list[str] = []

    def report(line: str) -> None:
        done.append(line)
        say(f"  {line}")

    say(f"  looking at the images of {', '.join(settings.apps.names or ())}")
    built = build(workloads, settings.images, report=report)
    with Fleet(inventory, settings.connect, lambda line: say(f"  {line}")) as fleet:
        known = distribute(fleet, built, settings.images, report=report)
    write_images(work.folder / "images.json", known)
    work.recording.metrics({"images": len({one.tag for one in known}), "built_or_brought": len(done)})


def _arguments(settings: Settings) -> str:
    """Return digests of the build arguments: one may be a secret, and is not to be recorded."""
    return digest(settings.images.arguments)


STAGE = Stage(
    name="build",
    about="Build the applications' images and bring them to every node.",
    run=run,
    settings=("images",),
    unkeyed=("images.arguments", "apps", "connect"),
    derived={"workloads": workload_digests, "arguments": _arguments},
    after=lambda settings: ("setup",),
    present=lambda settings: settings.cluster.live and bool(settings.apps.names),
    always=lambda settings: True,
)
