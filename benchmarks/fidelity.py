"""R2 of simulators on co-locations that they were not fitted to, few applications or many.

    python benchmarks/fidelity.py                        the published seven applications
    python benchmarks/fidelity.py --apps 30 --rows 230   the synthetic testbed

Few: `--rows` random co-locations are fitted to, all others judged. Many: applications alone and random mixes
are fitted to, 500 full nodes judged.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from metis.measure.profile_files import load_profile
from metis.measure.synthetic import SyntheticModel
from metis.measure.testbed import EmbeddedTestbed, draw_mixes, list_colocations
from metis.simulate.fidelity import fidelity
from metis.simulate.fitting import fit_simulator, oracle_of
from metis.simulate.settings import DOUBTING, SimulatorSettings

KINDS = ("lowrank", "ensemble", "boosted", "forest")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--published", type=Path, default=Path(__file__).parents[2] / "shared" / "published")
    parser.add_argument("--apps", type=int, help="of the synthetic testbed")
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 400, 1300])
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    for rows in chosen.rows:
        for kind in KINDS:
            begun = time.process_time()
            found = many(chosen, rows, kind) if chosen.apps else few(chosen, rows, kind)
            seconds = time.process_time() - begun
            print(f"{rows} rows, {kind}: R2 {found['r2']:.4f}, {seconds:.1f} CPU-s", flush=True)


def few(chosen, rows, kind):
    profile = load_profile(chosen.published / "0905-6435results-normed.npz")
    order = np.random.default_rng(chosen.seed).permutation(len(profile))
    settings = SimulatorSettings(kind=kind, held_out=0)
    fitted = fit_simulator(profile.rows(np.sort(order[:rows])), settings)
    others = profile.rows(np.sort(order[rows:]))
    predicted = fitted.tables.rps[profile.space.index(others.colocations)]
    return fidelity(others.rps, predicted, others.present, profile.apps)


def many(chosen, rows, kind):
    model = SyntheticModel.drawn(chosen.apps, chosen.seed)
    testbed = EmbeddedTestbed(model, 8, 0.02)
    wanted = list_colocations(testbed.space, "mixes", seed=chosen.seed, mixes=rows - chosen.apps)
    profile = testbed.measure(wanted, chosen.seed)
    noise = 0.02 if kind in DOUBTING else None
    settings = SimulatorSettings(kind=kind, held_out=0, members=1, noise=noise)
    fresh = draw_mixes(testbed.space, 750, seed=chosen.seed + 1000)
    fresh = fresh[fresh.sum(axis=1) == 8][:500]
    predicted = oracle_of(profile, settings)[0].quantities_of(fresh, ("rps",))["rps"]
    return fidelity(model.rps(fresh), predicted, fresh > 0, model.apps)


if __name__ == "__main__":
    main()
