"""Intervals of a trial, and of what it predicts: python benchmarks/trial.py --part rounds|predicted.

`rounds`: trials rehearsed on the embedded testbed, in which two placements of a group take turns. By how many
rounds are made: the width of the paired interval, the share of trials in which it holds the true difference,
and in which equal placements tie; then of trials that look after every round and stop.

`predicted`: simulators fitted to little of the embedded testbed, and groups placed by what they predict. The
share of nominal 80 % intervals of single RPS that hold the truth, and what five rounds measure, each with its
95 % interval by drawing the fits anew (bootstrap).
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from baselines.greedy import place_greedy
from baselines.spread import place_spread
from metis.measure.intervals import LEVEL
from metis.measure.profile_files import load_profile
from metis.measure.testbed import EmbeddedTestbed, list_colocations, load_embedded
from metis.operate.rehearsal import Rehearsal
from metis.operate.settings import TrialSettings
from metis.operate.trial import differences, separated
from metis.operate.trial_journal import TrialJournal
from metis.operate.trial_prediction import COVERED, Predicted, coverage, predict
from metis.operate.trial_rounds import Rounds
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.evaluation import reached_on
from metis.problem.groups import draw_groups
from metis.problem.objectives import MeanRps
from metis.problem.tables import Tables
from metis.program.colocation_program import solve_colocation_program
from metis.simulate.fitting import fit_simulator
from metis.simulate.replay import FileTestbed
from metis.simulate.settings import SimulatorSettings
from metis.simulate.simulator import FittedSimulator

NODES, CONTAINERS, LOOKS = 40, 200, 20
NOISE, SHARED = 0.05, 0.03  # of a container in a load, and of a load


def pairs_of(truth: Tables, rng: np.random.Generator, count: int) -> list[tuple[IntArray, IntArray]]:
    """Return pairs of placements of the same drawn group: as Swarm spreads it, and as drawn."""
    found = []
    for group in draw_groups(count, CONTAINERS, len(truth.space.apps), rng):
        cluster = Cluster(truth.space, NODES)
        apps = rng.permutation(np.repeat(np.arange(len(group)), group))
        drawn = np.zeros((NODES, len(group)), dtype=np.int64)
        np.add.at(drawn, (np.arange(len(apps)) % NODES, apps), 1)
        found.append((place_spread(group, cluster, np.zeros(truth.space.size))[0], drawn))
    return found


def mean_of(placement: IntArray, truth: Tables) -> float:
    """Return the true mean RPS over containers."""
    reached = reached_on(placement, Cluster(truth.space, NODES), truth)
    return float((reached * placement).sum() / placement.sum())


def tried(
    truth: Tables, placements: tuple[IntArray, IntArray], seed: int, rounds: int, early: bool
) -> tuple[FloatArray, Rounds]:
    """Return the mean RPS of a rehearsed trial by round, and the trial."""
    names = tuple(f"node-{i}" for i in range(NODES))
    site = Rehearsal(Cluster(truth.space, NODES), truth, names, NOISE, seed, shared=SHARED)
    units = dict.fromkeys(truth.space.apps, 1.0)
    journal = TrialJournal(None, truth.space.apps, names, (("a",), ("b",)), placements, units)
    made = Rounds(site, journal, TrialSettings(rounds=rounds, early=early, seed=seed))
    made.run()
    return journal.means(), made


def by_rounds(trials: int) -> None:
    """Print width and coverage of paired intervals, over a fixed number of rounds and stopped early."""
    truth, rng = load_embedded().truth(), np.random.default_rng(0)
    made = pairs_of(truth, rng, trials)
    differ = [mean_of(b, truth) - mean_of(a, truth) for a, b in made]
    runs = [tried(truth, pair, seed, LOOKS, False)[0] for seed, pair in enumerate(made)]
    same = [tried(truth, (a, a[::-1]), trials + i, LOOKS, False)[0] for i, (a, _) in enumerate(made)]
    table = Table("rounds", "half width", "holds the truth", "equal ones tie")
    for rounds in (3, 5, 10, 20):
        found = [differences(run[:rounds])[1] for run in runs]
        holds = np.mean([one.holds(true) for one, true in zip(found, differ, strict=True)])
        ties = np.mean([differences(run[:rounds])[1].holds(0.0) for run in same])
        width = np.mean([one.half for one in found])
        table.add_row(str(rounds), f"{width:.4f}", f"{holds:.1%}", f"{ties:.1%}")
    for name, level in (("looks, ordinary", LEVEL), ("looks, repeated", None)):
        table.add_row(name, *_stopped(runs, same, differ, level))
    Console(width=110).print(table)
    print(f"true difference {np.mean(np.abs(differ)):.4f} in the mean, of {trials} pairs")


def _stopped(
    runs: list[FloatArray], same: list[FloatArray], differ: list[float], level: float | None
) -> tuple[str, str, str]:
    """Return half width, coverage and ties of trials that look after every round and stop, with rounds."""
    from metis.operate.trial import look_level

    chosen = level or look_level(LOOKS)

    def end(run: FloatArray) -> int:
        return next((n for n in range(3, LOOKS + 1) if separated(differences(run[:n], 0, chosen))), LOOKS)

    ends = [end(run) for run in runs]
    found = [differences(run[:n], 0, chosen)[1] for run, n in zip(runs, ends, strict=True)]
    holds = np.mean([one.holds(true) for one, true in zip(found, differ, strict=True)])
    ties = np.mean([differences(run[: end(run)], 0, chosen)[1].holds(0.0) for run in same])
    width = np.mean([one.half for one in found])
    return f"{width:.4f} in {np.mean(ends):.1f} rounds", f"{holds:.1%}", f"{ties:.1%}"


def placements_by(fitted: FittedSimulator, group: IntArray) -> dict[str, IntArray]:
    """Return the placements of a group by name, made by what a simulator predicts."""
    cluster = Cluster(fitted.tables.space, NODES)
    worth = MeanRps().bind(group, cluster, fitted.tables)
    return {
        "spread": place_spread(group, cluster, worth)[0],
        "greedy": place_greedy(group, cluster, worth)[0],
        "optimum": solve_colocation_program(worth, group, cluster, mip_rel_gap=1e-4).placement,
    }


def by_prediction(testbed: EmbeddedTestbed | FileTestbed, chosen: argparse.Namespace) -> None:
    """Print how many nominal 80 % intervals of single RPS hold, by profile and scheduler."""
    head = (
        "measured",
        "placed by",
        "hold the truth",
        "hold 5 rounds",
        "mean RPS off by",
        "\N{PLUS-MINUS SIGN} said",
    )
    table = Table(*head)
    for share in map(float, chosen.shares.split(",")):
        counted: dict[str, list[Covered]] = {}
        for seed in range(chosen.first, chosen.first + chosen.seeds):
            fitted = _fitted(testbed, share, seed, chosen.noise)
            truth = testbed.truth()
            rng = np.random.default_rng(seed)
            for group in draw_groups(chosen.groups, CONTAINERS, len(truth.space.apps), rng):
                named = placements_by(fitted, group)
                cluster = Cluster(fitted.tables.space, NODES)
                calibration = fitted.doubts["rps"].calibration
                found = predict(
                    list(named.values()), cluster, fitted.tables, list(fitted.drawn()), calibration
                )
                for name, one in zip(named, found, strict=True):
                    counted.setdefault(name, []).append(_covered(one, truth, seed, rng))
        counted["all of them"] = [row for rows in counted.values() for row in rows]
        for name, rows in counted.items():
            off = np.mean([abs(row.off) for row in rows])
            said = np.mean([row.said for row in rows])
            held, seen = (_share(rows, what) for what in ("truth", "rounds"))
            table.add_row(f"{share:.1%}", name, held, seen, f"{off:.4f}", f"{said:.4f}")
    Console(width=110).print(table)


class Covered(NamedTuple):
    """Intervals of one placement: how many there are and hold, and the error of its mean RPS."""

    seed: int
    truth: tuple[int, int]
    rounds: tuple[int, int]
    off: float
    said: float


def _share(rows: list[Covered], what: str) -> str:
    """Return the share that holds, and its 95 % interval by drawing fits, with all of theirs, anew."""
    counts = np.array([getattr(row, what) for row in rows])
    seeds = np.array([row.seed for row in rows])
    by_fit = np.array([counts[seeds == seed].sum(axis=0) for seed in np.unique(seeds)])
    drawn = np.random.default_rng(0).integers(0, len(by_fit), (2000, len(by_fit)))
    again = by_fit[drawn].sum(axis=1)
    low, high = np.quantile(again[:, 0] / again[:, 1], [0.025, 0.975])
    return f"{counts[:, 0].sum() / counts[:, 1].sum():.1%} ({low:.0%}-{high:.0%})"


def _fitted(
    testbed: EmbeddedTestbed | FileTestbed, share: float, seed: int, noise: float | None
) -> FittedSimulator:
    profile = testbed.measure(list_colocations(testbed.space, "share", share=share, seed=seed), seed)
    return fit_simulator(profile, SimulatorSettings(kind="ensemble", held_out=0.0, seed=seed, noise=noise))


def _covered(one: Predicted, truth: Tables, seed: int, rng: np.random.Generator) -> Covered:
    placement = one.placement
    true = reached_on(placement, Cluster(truth.space, NODES), truth)
    known = np.where(placement > 0, true, np.nan)[None, None]
    noise = NOISE / np.sqrt(np.maximum(placement, 1))
    rounds = known * np.exp(noise * rng.standard_normal((5, 1, *placement.shape)))
    mean = float((true * placement).sum() / placement.sum())
    held, seen = coverage([one], known, COVERED), coverage([one], rounds, COVERED)
    return Covered(seed, held, seen, one.mean - mean, one.half)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("rounds", "predicted"), required=True)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--groups", type=int, default=3)
    parser.add_argument("--shares", default="0.01,0.02,0.05,0.2")
    parser.add_argument(
        "--noise", type=float, help="simulator.noise; without, what the profile says of itself"
    )
    parser.add_argument("--table", type=Path, help="a full profile as the truth, instead of the embedded one")
    options = parser.parse_args()
    began = time.process_time()
    if options.part == "rounds":
        by_rounds(options.trials)
    else:
        testbed = FileTestbed(load_profile(options.table)) if options.table else load_embedded()
        by_prediction(testbed, options)
    print(f"{time.process_time() - began:.1f} CPU-s")


if __name__ == "__main__":
    main()
