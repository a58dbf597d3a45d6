"""Stage build: the images of the applications, on every host that runs them."""

from pathlib import Path

from cluster.images.build import build, write_images
from cluster.images.catalog import load_catalog
from cluster.images.distribution import distribute
from cluster.provision.hosts import Fleet
from cluster.provision.inventory import Inventory
from flows.console import say
from flows.work import Work


def run(work: Work) -> None:
    """Write `images.json`; what is there already is neither built nor brought again."""
    settings = work.settings
    images = settings.images.made()
    folders = [Path(folder) for folder in settings.apps.workloads]
    workloads = load_catalog(folders, settings.apps.names or [])
    inventory = Inventory.load(work.inputs["setup"] / "inventory.json")
    done: list[str] = []

    def tell(text: str) -> None:
        done.append(text)
        say(f"  {text}")

    built = build(workloads, images, report=tell)
    with Fleet(inventory, settings.connect.made()) as fleet:
        known = distribute(fleet, built, images, report=tell)
    write_images(work.folder / "images.json", known)
    work.recording.metrics({"images": len({one.tag for one in known}), "built_or_brought": len(done)})
