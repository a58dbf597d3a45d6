"""How often `watch` names what was planted: benchmarks/diagnosis.py [--seeds N] [--nodes N] [--noise X].

Containers of the packaged applications stand on nodes at random; profile and look are as noisy. Planted:
nothing, a bad node (0.4 to 0.8 of its RPS, by application up to a tenth more or less), a changed application,
both, or everything. Right: of what was named, what was planted. Found: of what was planted, what was named.
"""

import argparse
from collections.abc import Mapping

import numpy as np
from rich.console import Console
from rich.table import Table

from metis.measure.testbed import load_embedded
from metis.operate.diagnosis import Diagnosis, diagnose

PLANTED = ("nothing", "node", "application", "node and application", "everything")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--nodes", type=int, default=12)
    parser.add_argument("--noise", type=float, default=0.05)
    given = parser.parse_args()
    table = Table(title=f"{given.seeds} looks each, {given.nodes} nodes, noise {given.noise:g}")
    for heading in ("planted", "named", "of these rightly", "of what was planted found"):
        table.add_column(heading)
    rates = load_embedded(slots=4, noise=0.0)
    for planted in PLANTED:
        named = right = there = 0
        for seed in range(given.seeds):
            truth, found = look(rates, planted, given.nodes, given.noise, seed)
            named, right, there = named + len(found), right + len(found & truth), there + len(truth)
        row = (f"{named}", f"{right / named:.1%}" if named else "-", f"{right / there:.1%}" if there else "-")
        table.add_row(planted, *row)
    Console().print(table)


def look(rates: object, planted: str, nodes: int, noise: float, seed: int) -> tuple[set[str], set[str]]:
    """What was planted, and what was named."""
    rng = np.random.default_rng(seed)
    space = rates.space
    full = np.flatnonzero((space.totals >= 3) & ((space.counts > 0).sum(axis=1) >= 2))
    ids = rng.choice(full, nodes)
    present = space.counts[ids] > 0
    change, truth = np.zeros(present.shape), set[str]()
    if "node" in planted:
        n = int(rng.integers(nodes))
        change[n] += np.log(rng.uniform(0.4, 0.8)) + rng.uniform(-0.1, 0.1, present.shape[1])
        truth.add(f"node {n}")
    if "application" in planted:
        often = np.flatnonzero(present.sum(axis=0) >= 2)
        a = int(rng.choice(often))
        change[:, a] += np.log(rng.uniform(0.4, 0.8))
        truth.add(f"app {a}")
    if planted == "everything":
        change += np.log(rng.uniform(0.4, 0.8))
        truth.add("everything")
    # both sides of the difference are measured once
    seen = change + noise * (rng.standard_normal(present.shape) - rng.standard_normal(present.shape))
    found = diagnose(np.where(present, seen, np.nan), np.full(present.shape, np.sqrt(2) * noise))
    return truth, names(found)


def names(found: Diagnosis) -> set[str]:
    """What a diagnosis names."""
    parts: Mapping[str, Mapping[int, float]] = {"node": found.nodes, "app": found.apps}
    named = {f"{kind} {i}" for kind, each in parts.items() for i in each}
    return named | ({"everything"} if found.everything is not None else set())


if __name__ == "__main__":
    main()
