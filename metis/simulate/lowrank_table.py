"""Low-rank models written out over a space that is tabulated."""

import numpy as np

from metis.measure.profile import SHARES, Profile
from metis.problem.tables import Tables
from metis.simulate.lowrank_oracle import LowRankOracle
from metis.simulate.simulator import Doubt, FittedSimulator


def written_out(
    oracle: LowRankOracle, profile: Profile, report: dict[str, float], *, overwrite: bool, seed: int
) -> FittedSimulator:
    """Write an oracle out over a tabulated space, with its doubts.

    Args:
        oracle: what was fitted.
        profile: what it was fitted to.
        report: of its fidelity.
        overwrite: whether measured rows stand over predicted ones.
        seed: of what co-locations deviate by in draws.
    """
    space, ids = oracle.space, profile.space.index(profile.colocations)
    tables, doubts = {}, {}
    for name, table in oracle.tables.quantities.items():
        fits, values = oracle.fits[name], profile.quantity(name)
        measured = np.isfinite(values) & np.isfinite(fits.alone) & overwrite & (profile.weights == 1)[:, None]
        tables[name] = table.copy()
        tables[name][ids] = np.where(measured, values, table[ids])
        spread = fits.spread(space.counts)
        sign = 1.0 if name in SHARES else -1.0
        middle = fits.expected.log_shares(space.counts)
        rng = np.random.default_rng([seed, len(fits.members)])
        beside = spread > 0
        draws = np.zeros((len(fits.members), *table.shape), dtype=np.float16)
        for k, member in enumerate(fits.members):
            own = rng.normal(0.0, fits.own, table.shape) if fits.own else 0.0
            draws[k] = np.where(beside, sign * (member.log_shares(space.counts) - middle) + own, 0.0)
        spread[ids] = np.where(measured, 0.0, spread[ids])
        draws[:, ids] = np.where(measured, 0.0, draws[:, ids])
        doubts[name] = Doubt(spread, draws)
    return FittedSimulator(Tables(space, tables), report, doubts)
