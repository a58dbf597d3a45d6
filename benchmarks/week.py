"""Figures of a simulated week: benchmarks/week.py [--seeds N] [--nodes N] [--hours N].

Policies look after the same life of a cluster on the embedded testbed: the descheduler-like rule and greedy
with the best moves at several numbers of moves an hour, ours at several costs of a move. The last lines
are the bar: the fewest moves with which ours reaches what the descheduler-like rule reaches at best.
"""

import argparse

import numpy as np
from rich import table as rich_table
from rich.console import Console

from baselines.greedy import place_greedy
from baselines.spread import place_spread
from flows.placing.week import place_first_fit
from metis.measure.testbed import load_embedded
from metis.operate.life import draw_life
from metis.operate.policies import Arriving, Descheduled, Foresighted, Policy, Rebalanced
from metis.operate.settings import RebalanceSettings, WeekSettings
from metis.operate.week import simulate_week
from metis.problem.counts import FloatArray
from metis.problem.objectives import MeanRps

PLANS = RebalanceSettings(gap=1e-3)
EVICTED = (1, 5, 10)
MOVED = (1, 3)
COSTS = (1000.0, 3.0, 1.0, 0.3)  # the first: no move pays
MOST = 5  # moves of ours in an hour


def policies(ahead: float) -> dict[str, Policy]:
    """The policies side by side, by name."""
    found: dict[str, Policy] = {
        "first_fit": Arriving(place_first_fit),
        "spread": Arriving(place_spread),
        "greedy": Arriving(place_greedy),
    }
    found |= {f"greedy+descheduler, {k} an hour": Descheduled(place_greedy, k) for k in EVICTED}
    found |= {f"greedy+rebalance, {k} an hour": Rebalanced(place_greedy, k, PLANS) for k in MOVED}
    found |= {f"metis, a move costs {c:g} h": Foresighted(place_greedy, MOST, ahead, c, PLANS) for c in COSTS}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--nodes", type=int, default=27)
    parser.add_argument("--hours", type=int, default=168)
    options = parser.parse_args()
    testbed, settings = load_embedded(), WeekSettings(hours=options.hours)
    space = testbed.space
    rows: dict[str, list[list[float]]] = {}
    for seed in options.seeds:
        life = draw_life(settings, options.nodes, space.slots, len(space.apps), seed)
        allowed = np.ones(space.size, dtype=bool)
        week = simulate_week(life, policies(settings.ahead), testbed.truth(), MeanRps(), allowed, settings)
        for name, kept in week.kept.items():
            share = week.share(kept)
            above = float(np.dot(kept.above, week.containers) / week.containers.sum())
            numbers = [
                share.mean(),
                share.min(),
                sum(kept.moves),
                kept.loops,
                kept.swings,
                above,
                kept.cpu_seconds,
            ]
            rows.setdefault(name, []).append(numbers)
    shown = rich_table.Table(
        "policy", "of the bound", "worst hour", "moves", "loops", "swings", "at the SLO", "CPU s",
        title=f"{options.hours} hours on {options.nodes} nodes, mean over seeds {options.seeds}",
    )  # fmt: skip
    means = {name: np.mean(numbers, axis=0) for name, numbers in rows.items()}
    for name, (mean, worst, moves, loops, swings, above, cpu) in means.items():
        counts = [f"{moves:.1f}", f"{loops:.1f}", f"{swings:.1f}"]
        shown.add_row(name, f"{mean:.2%}", f"{worst:.2%}", *counts, f"{above:.1%}", f"{cpu:.1f}")
    Console(width=120).print(shown)
    best = max((name for name in means if "descheduler" in name), key=lambda name: float(means[name][0]))
    print(f"best of the descheduler-like rule: {in_words(best, means)}")
    ours = [name for name in means if name.startswith("metis") and means[name][0] >= means[best][0]]
    if ours:
        fewest = min(ours, key=lambda name: float(means[name][2]))
        print(f"at least as good with the fewest moves: {in_words(fewest, means)}")


def in_words(name: str, means: dict[str, FloatArray]) -> str:
    """A policy with its mean value and moves."""
    return f"{name}: {means[name][0]:.2%} with {means[name][2]:.1f} moves"


if __name__ == "__main__":
    main()
