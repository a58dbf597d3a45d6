"""What several suites share: the published data where it is at hand, and a full profile of the testbed."""

import gc
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from flows.engine.startup import go_easy_on_garbage
from tests import preloaded

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ROOT.parent / "shared" / "published"

BROWSER = (  # arguments of chromium: as root, without a screen, and asking for nothing by itself
    *("--no-sandbox", "--headless", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)

# before anything imports them: no telemetry, no chatter, no GPU, and one thread for linear algebra: more of
# them wait for one another in a loop beside pytest-xdist's workers
for name, value in {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}.items():
    os.environ.setdefault(name, value)
# as in the Makefile: what a test imports, and the processes that it starts, is compiled once
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# a shell's background job ignores Ctrl-C, and so would every process that a test starts and interrupts
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


go_easy_on_garbage()  # before the tests are collected, which imports much

# on a busy machine no time that an example takes says that something is wrong
settings.register_profile("metis", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("metis")

# libraries that take up to ten CPU-seconds to import, and the tests that do so in their own process: these
# run in one of pytest-xdist's workers, and the others never import it
HEAVY = {
    "tensorflow": (
        *("tests/metis/learn/paper/", "tests/metis/learn/prices/", "tests/golden/test_schedulers.py"),
        *("tests/baselines/test_divide_conquer.py", "tests/baselines/test_vanilla_rl.py"),
        *("tests/baselines/test_registry.py", "tests/flows/stages/test_placing.py"),
        "tests/pipeline/test_learned.py",
    ),
    "prefect": (
        *("tests/flows/prefect/", "tests/flows/engine/test_leftovers.py"),
        "tests/flows/command/test_serve.py",
    ),
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Distribute files as `--dist loadfile` does, those of a heavy library as if they were one."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class LoadLibraryScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            for library, places in HEAVY.items():
                if nodeid.startswith(places):
                    return library
            return super()._split_scope(nodeid)

    return LoadLibraryScheduling(config, log)


def pytest_collection_finish():
    """Keep what was imported by now out of the garbage collector's walks, a second of each full one."""
    gc.freeze()


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
def made_database(tmp_path_factory):
    """Return the path of an MLflow database with its tables and no run, which the first call makes."""

    def make(path):
        from mlflow import MlflowClient

        MlflowClient(f"sqlite:///{path}").search_experiments()

    return lambda: _once(tmp_path_factory, "mlflow.db", make)


@pytest.fixture(scope="session")
def empty_database(made_database):
    """Path of an MLflow database with its tables and no run: making the tables takes seconds."""
    return made_database()


@pytest.fixture(scope="session", autouse=True)
def _databases_are_copies(made_database, tmp_path_factory):
    """Let a store begin with a copy of what is made already; the tests of creating make their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(preloaded.MADE, str(_shared(tmp_path_factory) / "made"))
        patch.setattr(
            "flows.engine.database.create", lambda path, artifacts: shutil.copy(made_database(), path)
        )
        yield


@pytest.fixture(scope="session")
def empty_prefect(tmp_path_factory):
    """Path of a Prefect database with its tables and no run, made in a process that may import Prefect."""
    code = "import sys; from pathlib import Path; from flows.prefect.database import create_database as make"

    def make(path):
        command = [sys.executable, "-c", f"{code}; make(Path(sys.argv[1]))", str(path.parent)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        environment |= {
            "PREFECT_HOME": str(path.parent),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        }
        preloaded.run(command, check=True, env=environment, cwd=ROOT)

    return _once(tmp_path_factory, "prefect.db", make)


@pytest.fixture
def created_anew(monkeypatch):
    """Let the processes that a test starts create their databases as a user's do."""
    monkeypatch.delenv(preloaded.MADE)


def _shared(factory):
    """The folder that all of pytest-xdist's workers share."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def _once(factory, name, make):
    """Return the path of a file that one of pytest-xdist's workers makes for all of them."""
    shared = _shared(factory)
    with FileLock(shared / f"{name}.lock"):
        made = shared / "made" / name
        if not made.is_file():
            made.parent.mkdir(exist_ok=True)
            beside = shared / "beside" / name
            beside.parent.mkdir(exist_ok=True)
            make(beside)
            beside.replace(made)
    return made


@pytest.fixture
def tracking(tmp_path, empty_database):
    """A new tracking folder, `mlruns` in the test's own folder, as the override that names it."""
    folder = tmp_path / "mlruns"
    folder.mkdir()
    shutil.copy(empty_database, folder)
    return f"tracking.path={folder}"


@pytest.fixture
def orchestrated(tracking, tmp_path, empty_prefect):
    """The same folder with Prefect's database in it, for what runs under a Prefect server of its own."""
    folder = tmp_path / "mlruns" / "prefect"
    folder.mkdir()
    shutil.copy(empty_prefect, folder)
    return tracking


@pytest.fixture(scope="module")
def browser():
    """A real browser; without one the test is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=BROWSER)
        yield opened
        opened.close()
