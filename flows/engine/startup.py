"""Start and end of our processes, made quicker, and the environment that MLflow is to find."""

import atexit
import gc
import os
from functools import cache

# left alone, MLflow tries for four minutes before it reports that no server responds
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}
QUIET = {  # no telemetry, no log of its own, no line on standard output for every run
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # eight processes beside every server, each with MLflow in memory, for jobs on traces of language models
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
THRESHOLDS = (100_000, 20, 20)


@cache  # once in a process
def go_easy_on_garbage() -> None:
    """Collect garbage less often, and not at the end of the process.

    Our libraries are some 2,400 modules: with Python's own thresholds the collector takes a quarter of the
    time of importing them, and over a second to walk them all once more when the process ends.
    """
    gc.set_threshold(*THRESHOLDS)
    atexit.register(gc.freeze)


def prepare_mlflow() -> None:
    """Set MLflow's environment, before MLflow is imported."""
    for name, value in (PATIENCE | QUIET).items():
        os.environ.setdefault(name, value)
