"""Logs of Prefect: names of runs, and failures in one line without a traceback."""

import logging
import warnings

from prefect.runtime import flow_run

RUN_LOGGERS = [logging.getLogger(f"prefect.{name}") for name in ("flow_runs", "task_runs")]


class _OneLine(logging.Filter):
    """Filter that drops the traceback of a failure that was reported in one line already."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return not record.getMessage().startswith("Engine execution exited")


ONE_LINE = _OneLine()


def one_line_per_failure() -> None:
    """Let failures from now on be logged in one line."""
    for logger in RUN_LOGGERS:
        logger.addFilter(ONE_LINE)


def keep_from_terminal() -> None:
    """Keep the lines of Prefect's runs from the terminal: its UI has them, and `metis run` prints its own."""
    for logger in RUN_LOGGERS:
        logger.propagate = False


class _Ending(logging.Filter):
    """Filter that drops what Prefect's runner says about ending: whoever ended it knows."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(("SIGTERM received", "Pausing all", "All deployments have"))


def end_quietly() -> None:
    """Let a runner that is ended say nothing about it."""
    logging.getLogger("prefect.runner").addFilter(_Ending())
    # its handler of signals leaves a coroutine behind
    warnings.filterwarnings("ignore", message=r"coroutine 'Runner\.astop'", category=RuntimeWarning)


def run_name() -> str:
    """Return the name of a flow run: its flow, and its overrides."""
    words = flow_run.parameters.get("overrides") or []
    return " ".join([str(flow_run.flow_name), *map(str, words)])[:120]
