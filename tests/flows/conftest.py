"""What the tests of flows share: settings from words, one store, and what little stages need as inputs."""

import shutil
from functools import cache
from uuid import uuid4

import pytest

from flows.configuration.compose import compose_plain
from flows.configuration.sections import TrackingSettings
from flows.configuration.settings import validated
from flows.engine.memo import Memo
from flows.engine.store import Store
from flows.engine.work import Work
from flows.stages.chain import STAGES

# a learner that learns next to nothing, in a tenth of a second
UNTRAINED = [
    *("value.steps=2", "value.max_nodes=6", "value.episodes=8", "value.updates=2", "value.hidden=[8,8]"),
    *("dealer.steps=1", "dealer.episodes=2"),
]
SMALL = [
    *("profile=file", "simulator=table", "cluster.nodes=6", "cluster.slots=3", "group.size=9"),
    *("groups.count=2", "schedulers=[greedy]", "scheduler=greedy", "tracking.orchestrate=false", *UNTRAINED),
]


@cache
def settings_of(*words):
    """Return the settings that these overrides make."""
    return validated(compose_plain(list(words)))


@pytest.fixture(scope="session")
def store(tmp_path_factory, empty_database):
    """The tracking store of the small chain, shared by all tests."""
    folder = tmp_path_factory.mktemp("small") / "mlruns"
    folder.mkdir()
    shutil.copy(empty_database, folder)
    return Store(TrackingSettings(path=str(folder)))


@pytest.fixture(scope="session")
def small(store, full_profile):
    """The words of the small chain: the full profile of nodes with 3 slots, as the simulator's table."""
    return [*SMALL, f"profile.path={full_profile}", f"tracking.path={store.root}"]


@pytest.fixture(scope="session")
def memo_of(store, small):
    """Open a memo of the small chain, under more overrides where they are given."""

    def memo(*words):
        return Memo(settings_of(*small, *words), STAGES, store)

    return memo


@pytest.fixture(scope="session")
def do(store):
    """Run a stage's function by itself, with what it declares and the records that it reads; its record."""

    def run(stage, settings, inputs=None, part=""):
        step, inputs = stage.step(settings, part), inputs or {}
        runs = {name: record.run_id for name, record in inputs.items()}
        with store.recording(step.name, stage.name, uuid4().hex, runs, step.values(), {}) as recording:
            stage.run(
                Work(
                    settings=step.settings(),
                    folder=recording.folder,
                    scratch=store.root / "checkpoints" / uuid4().hex,
                    inputs={name: record.folder for name, record in inputs.items()},
                    recording=recording,
                    derived=step.derived(),
                    part=part,
                )
            )
        return store.record(recording.run_id)

    return run
