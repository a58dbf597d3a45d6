"""The figure over acquisitions, from the histories that `explore.py --csv` wrote.

for a in optimistic thompson uncertainty random; do
    python benchmarks/explore.py --acquisition $a --csv $a.csv; done
python benchmarks/explore_figure.py *.csv --out explore.svg
"""

import argparse
from pathlib import Path

import pandas as pd

from flows.report.exploration import exploration_figure


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("histories", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("explore.svg"))
    options = parser.parse_args()
    histories = pd.concat([pd.read_csv(path) for path in options.histories], ignore_index=True)
    options.out.write_bytes(exploration_figure(histories))
    for at in (64, 128, 192):
        reached = histories[histories["measurements"] <= at]
        last = reached.sort_values("measurements").groupby(["acquisition", "seed"])["ratio"].last()
        print(f"after {at}:", last.groupby("acquisition").mean().round(4).to_dict())
    print(f"{len(histories)} rounds of {histories.groupby('acquisition')['seed'].nunique().to_dict()} seeds")


if __name__ == "__main__":
    main()
