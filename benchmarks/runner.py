"""Groups and load ranges side by side against one process: python benchmarks/runner.py.

Two Dask workers on this machine, started before the clock; placements and weights must be equal.
"""

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from distributed import Client, LocalCluster

from flows.configuration.compose import compose_plain
from flows.configuration.sections import RunnerSettings
from flows.configuration.settings import Settings, validated
from flows.engine.executor import executor_of
from flows.engine.work import no_progress
from flows.placing.decisions import Decisions
from flows.placing.groups import _place_some
from flows.placing.training import train_weights
from metis.measure.testbed import load_embedded
from metis.problem.groups import draw_groups
from metis.problem.tables import Tables


def place(settings: Settings, tables: Tables, groups: int, runner: RunnerSettings) -> tuple[Decisions, float]:
    """Decisions of Medea for `groups` groups of 400 containers, and the seconds they took."""
    drawn = draw_groups(groups, 400, len(tables.space.apps), np.random.default_rng(1))
    one = partial(_place_some, settings, "medea", tables, None, {})
    with executor_of(runner) as chosen:
        start = time.perf_counter()
        parts = [drawn[list(rows)] for rows in chosen.parts(len(drawn))]
        made = Decisions.joined(chosen.map(one, parts))
        return made, time.perf_counter() - start


def train(settings: Settings, tables: Tables, runner: RunnerSettings) -> tuple[list[np.ndarray], float]:
    """Weights of the paper's sub-schedulers, and the seconds they took."""
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        chosen = replace(settings, runner=runner)
        weights, _ = train_weights(chosen, "paper", tables, Path(folder), no_progress)
        return list(weights.weights), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=300, help="updates per load range")
    options = parser.parse_args()
    words = ["cluster.nodes=81", f"paper.steps={options.steps}", "paper.ranges=6"]
    settings, tables = validated(compose_plain(words)), load_embedded().truth()
    here = RunnerSettings()
    cluster = LocalCluster(
        n_workers=options.workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    )
    with cluster, Client(cluster) as client:
        spread = RunnerSettings(kind="dask", address=client.scheduler.address)
        place(settings, tables, options.workers * 4, spread)  # imports
        far, with_dask = place(settings, tables, options.groups, spread)
        near, alone = place(settings, tables, options.groups, here)
        assert np.array_equal(far.placements, near.placements)
        print(f"Medea, {options.groups} groups: {alone:.1f} s, {options.workers} workers {with_dask:.1f} s")
        print(f"speed-up {alone / with_dask:.2f}")
        far_weights, with_dask = train(settings, tables, spread)
        near_weights, alone = train(settings, tables, here)
        same = all(np.array_equal(a, b) for a, b in zip(far_weights, near_weights, strict=True))
        assert same, "weights differ"
        print(f"6 load ranges: {alone:.1f} s, {options.workers} workers {with_dask:.1f} s")
        print(f"speed-up {alone / with_dask:.2f}")


if __name__ == "__main__":
    main()
