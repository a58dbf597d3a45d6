"""Schedulers by truth where the default run's profile was explored: python benchmarks/truth.py --seeds 3.

Runs `metis run seed=S` for each seed in a folder of its own, and prints shares of the true optimum and the
leads over the next scheduler, each with its 95 % interval over the groups.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

METIS = str(Path(sys.executable).with_name("metis"))
WORDS = ["schedulers=[optimum,metis,greedy+local_search]", "tracking.orchestrate=false", "output=json"]


def one_seed(seed: int, words: list[str]) -> dict[str, Any]:
    """The schedulers of a run's JSON document."""
    with tempfile.TemporaryDirectory() as folder:
        command = [METIS, "run", f"seed={seed}", f"tracking.path={folder}", *WORDS, *words]
        document = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    found: dict[str, Any] = document["schedulers"]
    return found


def shown(measure: dict[str, Any]) -> str:
    """A mean and the half width of its interval, in per cent."""
    return f"{measure['mean']:.2%} ± {measure['half_width']:.2%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("words", nargs="*", help="further overrides, such as explore.most_runs=2")
    options = parser.parse_args()
    table = Table("seed", "metis", "greedy+local_search", "optimum (simulator)", "leads over the next")
    for seed in range(options.seeds):
        found = one_seed(seed, options.words)
        columns = [shown(found[name]["true_ratio"]) for name in ("metis", "greedy+local_search", "optimum")]
        leads = [f"{name} {shown(one['to_the_next'])}" for name, one in list(found.items())[:-1]]
        table.add_row(str(seed), *columns, ", ".join(leads))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
