"""What suites about deployments share: one server, because each takes ten seconds to start."""

import shutil
import socket

import pytest

from tests.pipeline import served as serving
from tests.pipeline.test_chain import SMALL


@pytest.fixture(scope="session")
def served(tmp_path_factory, empty_database, empty_prefect):
    """A running `metis serve` of the shrunk chain."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "mlruns" / "prefect").mkdir(parents=True)
    shutil.copy(empty_database, folder / "mlruns")
    shutil.copy(empty_prefect, folder / "mlruns" / "prefect")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    yearly = "serve.cron='0 3 1 1 *'"
    process, running = serving.start(folder, [*SMALL, "schedulers=[greedy]", yearly], port)
    yield running
    assert serving.stop(process) == 0
    assert not (folder / "mlruns" / "prefect" / "server.json").exists()
    with socket.socket() as probe:  # its server went with it
        assert probe.connect_ex(("127.0.0.1", port)) != 0
