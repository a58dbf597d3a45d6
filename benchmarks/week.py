"""Figures of a simulated week: benchmarks/week.py [--seeds N] [--nodes N] [--hours N] [--apps N --slots N].

Policies look after the same life of a cluster on the embedded testbed, or on a synthetic one of `--apps`
applications, another one for each seed: the descheduler-like rule and greedy with the best moves at several
numbers of moves an hour, ours at several costs of a move. The bar is printed for each seed and for the mean:
the fewest moves with which ours reaches what the descheduler-like rule reaches at best.
"""

import argparse

import numpy as np
from rich import table as rich_table
from rich.console import Console

from baselines.greedy import place_greedy
from baselines.spread import place_spread
from flows.placing.week import place_first_fit
from metis.measure.synthetic import SyntheticModel
from metis.measure.testbed import EmbeddedTestbed, load_embedded
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
    parser.add_argument("--apps", type=int, help="of a synthetic testbed instead of the embedded one")
    parser.add_argument("--slots", type=int, default=4, help="of its nodes")
    options = parser.parse_args()
    settings = WeekSettings(hours=options.hours)
    rows: dict[str, list[list[float]]] = {}
    for seed in options.seeds:
        testbed = load_embedded()
        if options.apps:
            testbed = EmbeddedTestbed(SyntheticModel.drawn(options.apps, seed), options.slots, noise=0.0)
        space = testbed.space
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
        latest = {name: np.array(numbers[-1]) for name, numbers in rows.items()}
        print(f"seed {seed}: {bar(latest)}", flush=True)
    source = f"{options.apps} synthetic applications" if options.apps else "the embedded testbed"
    shown = rich_table.Table(
        "policy", "of the bound", "worst hour", "moves", "loops", "swings", "at the SLO", "CPU s",
        title=f"{options.hours} hours on {options.nodes} nodes of {source}, mean over seeds {options.seeds}",
    )  # fmt: skip
    means = {name: np.mean(numbers, axis=0) for name, numbers in rows.items()}
    for name, (mean, worst, moves, loops, swings, above, cpu) in means.items():
        counts = [f"{moves:.1f}", f"{loops:.1f}", f"{swings:.1f}"]
        shown.add_row(name, f"{mean:.2%}", f"{worst:.2%}", *counts, f"{above:.1%}", f"{cpu:.1f}")
    Console(width=120).print(shown)
    print(f"mean: {bar(means)}")


def bar(reached: dict[str, FloatArray]) -> str:
    """What the descheduler-like rule reaches at best, and ours with the fewest moves that is as good."""
    best = max((name for name in reached if "descheduler" in name), key=lambda name: float(reached[name][0]))
    ours = [name for name in reached if name.startswith("metis") and reached[name][0] >= reached[best][0]]
    fewest = min(ours, key=lambda name: float(reached[name][2]), default=None)
    shown = "nothing of ours is as good" if fewest is None else in_words(fewest, reached)
    return f"{in_words(best, reached)}; {shown}"


def in_words(name: str, reached: dict[str, FloatArray]) -> str:
    """A policy with its mean value, moves and loops."""
    share, _, moves, loops = reached[name][:4]
    return f"{name}: {share:.2%} with {moves:.1f} moves, {loops:.1f} loops"


if __name__ == "__main__":
    main()
