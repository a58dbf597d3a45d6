"""Sub-schedulers that several files need, trained once."""

import pytest

from metis.learn.paper.reinforce import ReinforceSettings
from metis.learn.paper.sub_scheduler import (
    SubSchedulerSettings,
    train_sub_schedulers,
)
from metis.problem.objectives import MeanRps
from tests.metis.learn.paper.hostile import hostile_tables


@pytest.fixture(scope="session")
def sub_schedulers():
    chosen = SubSchedulerSettings(
        nodes=3, ranges=1, steps=150, learn=ReinforceSettings(episodes=32, hidden=16, learning_rate=2e-2)
    )
    return train_sub_schedulers(MeanRps(), hostile_tables(), chosen, seed=3)
