"""Stage subscheduler: train a learner on sub-clusters, once for all groups."""

import pandas as pd

from flows.engine.work import Work
from flows.placing.training import save_weights, train_weights
from metis.files import written_whole
from metis.simulate.simulator import FittedSimulator


def run(work: Work) -> None:
    """Write `weights.npz` and the learning curve `curve.csv`; a training that was killed goes on."""
    tables = FittedSimulator.load(work.inputs["simulator"] / "simulator.npz").tables
    weights, curve = train_weights(work.settings, work.part, tables, work.scratch, work.progress)
    save_weights(work.settings, weights, tables, work.folder / "weights.npz")
    with written_whole(work.folder / "curve.csv") as file:
        file.write(pd.DataFrame(curve).to_csv(index=False).encode())
    work.recording.curve(curve)
