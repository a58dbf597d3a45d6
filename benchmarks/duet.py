"""Width of the 95 % interval of a ratio against seconds of load, taking turns and one after the other.

python benchmarks/duet.py [--rounds N] [--seconds N] [--out FIGURE.svg]

On a lab of its own (`make lab-deps`), two applications (tests/lab/workloads) share a node. One after the
other: rounds of a run of each alone and one of both, as `load.duet=false` measures them, the interval that of
two means. In turn: one duet that takes as many seconds of load, its paired interval after each cycle. Both on
the lab as it is, and beside a noisy neighbour: a process of the other worker that burns their common core for
5 to 20 s, and pauses as long. Bar: the same width in half of the seconds. What others took of the core
meanwhile stands beside.
"""

import argparse
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median, stdev

import numpy as np
from rich.console import Console
from rich.table import Table

from cluster.images.build import build, read_images, write_images
from cluster.images.catalog import LOAD, load_catalog
from cluster.images.distribution import distribute
from cluster.load.duet import DuetResult, load_in_turns, turns_of
from cluster.load.loadimage.slices import ratio, student
from cluster.provision.hosts import Fleet
from cluster.provision.lab import lab
from cluster.swarm import membership as swarm
from cluster.testbed import ClusterTestbed
from flows.live.profile import live_testbed
from tests.lab.profiling import WORKLOADS, settings_for, work_in

NAMES = ["Light", "Heavy"]
NOISE = """
import random, time
ends = time.time() + {seconds}
while time.time() < ends:
    until = time.time() + random.uniform(5, 20)
    while time.time() < until: pass
    time.sleep(random.uniform(5, 20))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6, help="one after the other")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a run")
    parser.add_argument("--out", type=Path, help="SVG figure")
    given = parser.parse_args()
    table = Table(title=f"{given.rounds} rounds of three runs of {given.seconds:g} s, and as long in turn")
    for heading in ("", "one after the other", "in turn", "as narrow after", "of", "others took (median)"):
        table.add_column(heading)
    curves = {}
    with tempfile.TemporaryDirectory() as place, prepared(Path(place)) as folder:
        for name in ("as it is", "noisy neighbour"):
            old, new, taken = measured(folder, given.rounds, given.seconds, noisy=name != "as it is")
            curves[name] = (old, new)
            print(name, old, new, taken, flush=True)
            (total, width), last = old[-1], new[-1]
            soon = next((seconds for seconds, reached in new if reached <= width), float("nan"))
            row = (f"± {width:.1%}", f"± {last[1]:.1%}", f"{soon:.0f} s", f"{total:.0f} s", f"{taken:.0%}")
            table.add_row(name, *row)
            Console().print(name, row)
    Console().print(table)
    if given.out:
        given.out.write_bytes(figure(curves))


@contextmanager
def prepared(folder: Path) -> Iterator[Path]:
    """Outputs of setup and build: a lab, and images on its nodes; it is gone afterwards."""
    name, state = f"bench-{uuid.uuid4().hex[:8]}", folder / "state"
    for each in ("setup", "build"):
        (folder / each).mkdir()
    try:
        inventory = lab.up(state, name, 2)
        with Fleet(inventory) as fleet:
            inventory = swarm.prepare(fleet)
            inventory.save(folder / "setup" / "inventory.json")
            settings = settings_for(inventory)
            images = distribute(
                fleet, build(load_catalog([WORKLOADS], NAMES), settings.images), settings.images
            )
        write_images(folder / "build" / "images.json", images)
        yield folder
    finally:
        lab.down(state, name)


def measured(
    folder: Path, rounds: int, seconds: float, *, noisy: bool
) -> tuple[list[tuple[float, float]], list[tuple[float, float]], float]:
    """Seconds of load and width, one after the other and in turn, and what others took in the median."""
    settings = work_in(folder).settings
    load = replace(settings.load, duration=seconds, warm_up=1.0, most_taken=1.0, duet=False)
    inputs = {name: folder / name for name in ("setup", "build")}
    with live_testbed(replace(settings, load=load), inputs) as testbed:
        hog = 3.0 * rounds * seconds * 6 if noisy else 0.0
        with neighbour(testbed, hog):
            runs, taken = sequence(testbed, rounds)
            budget = 3 * rounds * seconds
            found = duet(testbed, replace(load, duration=budget, precision=0.0), folder)
    old = [
        (3 * seconds * n, max(apart(*(one[:n] for one in pair)) for pair in runs))
        for n in range(2, rounds + 1)
    ]
    each = found.seconds / found.cycles
    widths = [max(half(of[:n], to[:n]) for of, to in found.rates) for n in range(2, found.cycles + 1)]
    return old, [(each * (n + 2), width) for n, width in enumerate(widths)], taken


def sequence(testbed: ClusterTestbed, rounds: int) -> tuple[list[tuple[list[float], list[float]]], float]:
    """Rates of each application beside the other and alone, by round, and what others took."""
    counts = np.array([[1, 0], [0, 1], [1, 1]])
    ids = testbed.space.index(counts).tolist()
    raw, taken = [], []
    for _ in range(rounds):
        notes = testbed.measure(counts, seed=0).provenance["notes"]
        raw.append([notes[i]["raw"] for i in ids])
        taken += [notes[i]["circumstances"].get("taken", float("nan")) for i in ids]
    return [([one[2][a] for one in raw], [one[a][a] for one in raw]) for a in range(2)], median(taken)


def duet(testbed: ClusterTestbed, load: object, folder: Path) -> DuetResult:
    """One duet of the co-location of both."""
    sender = next(one.id for one in read_images(folder / "build" / "images.json") if one.app == LOAD)
    inventory = testbed.backend.inventory
    worker, client = inventory.workers[0], inventory.clients[0]
    with testbed.backend.paired(worker.name, [1, 1], 0, "profile") as (containers, alone):
        targets = [testbed._target(one) for one in containers]
        mixed = {one.app: [one.name] for one in containers}
        turns = turns_of(mixed, {app: alone[app].name for app in mixed})
        return load_in_turns(testbed.backend, client, targets, turns, load, sender, "profile")


@contextmanager
def neighbour(testbed: ClusterTestbed, seconds: float) -> Iterator[None]:
    """A process of the other worker, on the core that both share; none for 0 seconds."""
    fleet, host = testbed.backend.fleet, testbed.backend.inventory.workers[1]
    pid = ""
    if seconds:
        (script := NOISE.format(seconds=seconds)).encode()
        fleet.run(host, "cat > /tmp/noise.py", stdin=script)
        pid = fleet.run(host, "nohup python3 /tmp/noise.py >/dev/null 2>&1 & echo $!").strip()
    try:
        yield
    finally:
        if pid:
            fleet.run(host, f"kill {pid}", check=False)


def apart(of: list[float], to: list[float]) -> float:
    """Half width of the interval of the ratio of two means, as a share of it."""
    spread = sum((stdev(each) / fmean(each)) ** 2 / len(each) for each in (of, to))
    return student(2 * len(of) - 2) * spread**0.5


def half(of: list[float], to: list[float]) -> float:
    """Half width of the interval of a ratio of pairs, as a share of it."""
    value, found = ratio(of, to)
    return found / value if value > 0 else float("inf")


def figure(curves: dict[str, tuple[list[tuple[float, float]], list[tuple[float, float]]]]) -> bytes:
    """SVG: width against seconds of load."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    from flows.report.elements import svg_of

    drawn = Figure(figsize=(9.0, 3.6), layout="constrained")
    FigureCanvasSVG(drawn)
    for axes, (name, (old, new)) in zip(drawn.subplots(1, 2, sharey=True), curves.items(), strict=True):
        axes.plot(*zip(*old, strict=True), color="#b2432f", marker="o", label="one after the other")
        axes.plot(*zip(*new, strict=True), color="#2f6db2", label="in turn")
        axes.set_title(name)
        axes.set_yscale("log")
        axes.set_xlabel("seconds of load")
        axes.set_ylabel("half width of the 95 % interval")
        axes.legend(frameon=False)
    return svg_of(drawn)


if __name__ == "__main__":
    main()
