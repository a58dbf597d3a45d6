"""What several suites share: the published data where it is at hand, and a full profile of the testbed."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ROOT.parent / "shared" / "published"

# before anything imports them: no telemetry, no chatter, no GPU
for name, value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}.items():
    os.environ.setdefault(name, value)


@pytest.fixture(scope="session")
def published():
    """The folder of the published data; without it the test is skipped."""
    if not PUBLISHED.is_dir():
        pytest.skip(
            f"the published data is not at hand ({PUBLISHED.name} beside the project's shared folder)"
        )
    return PUBLISHED


@pytest.fixture(scope="session")
def measured(published):
    """The profile of all 6,435 co-locations, read from the published file."""
    from metis.measure.published import read_published

    return read_published(published / "0905-6435results-normed.npz")


@pytest.fixture(scope="session")
def full_profile(tmp_path_factory):
    """Path of a noiseless profile of the packaged applications on nodes of 3 slots: 120 co-locations."""
    from metis.measure.testbed import load_embedded

    testbed = load_embedded(slots=3, noise=0.0)
    path = tmp_path_factory.mktemp("profiles") / "full.npz"
    testbed.measure(testbed.space.counts[1:], seed=0).save(path)
    return path


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """Path of an MLflow database with its tables and no run: making the tables takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def tracking(tmp_path, empty_database):
    """A new tracking folder, `mlruns` in the test's own folder, as the override that names it."""
    folder = tmp_path / "mlruns"
    folder.mkdir()
    shutil.copy(empty_database, folder)
    return f"tracking.path={folder}"
