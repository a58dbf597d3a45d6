"""Alibaba's containers of 2018: cost of a placement above the proven bound.

python benchmarks/tianchi.py DIR [--seconds 300] [--seeds 1] [--out plan.csv]
"""

import argparse
from pathlib import Path

from metis.problem.folders import write_rows
from metis.problem.load_cost import LoadCost
from metis.problem.tianchi import read_tianchi
from metis.program.packing import pack


def main() -> None:
    """Print a line for each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    statement, at_first = read_tianchi(given.data)
    print(f"at first: {LoadCost().total(statement, at_first):,.2f}")
    for seed in range(given.seeds):
        packed = pack(statement, LoadCost(), given.seconds, seed)
        cost = f"{packed.cost:,.2f}, {packed.cost / packed.bound - 1:.2%} above {packed.bound:,.2f}"
        spent = f"{packed.seconds:.0f} s, {packed.cpu_seconds:.0f} CPU-s"
        print(f"seed {seed}: {cost}; {packed.nodes:,} nodes; {spent}")
        if given.out:
            write_rows(given.out, statement, packed.rows)


if __name__ == "__main__":
    main()
