"""A chain under Prefect's engine: its steps as tasks of one flow run, told in Prefect's UI."""

import logging
import shlex
from collections.abc import Sequence
from typing import Any

from prefect import flow, task
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.engine.chain import Chain, Do, Outcome, Perform, run_steps
from flows.engine.declaration import Step
from flows.engine.store import Record
from flows.prefect.artifacts import StepProgress, show_page, show_results, show_run
from metis.errors import MetisError

RUN_LOGGERS = [logging.getLogger(f"prefect.{name}") for name in ("flow_runs", "task_runs")]


class _OneLine(logging.Filter):
    """For a failure that was told in one line: no traceback, and no surprise of Prefect's."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return not record.getMessage().startswith("Engine execution exited")


ONE_LINE = _OneLine()


def run_as_flow(chain: Chain) -> Outcome:
    """Run the chain as a flow of this process.

    Raises:
        StepError: a step failed.
    """
    for logger in RUN_LOGGERS:
        logger.propagate = False  # the UI has these lines; we say our own
    ended: list[Outcome | BaseException] = []

    @flow(name="pipeline", flow_run_name=run_name, persist_result=False, validate_parameters=False)
    def pipeline(overrides: Sequence[str]) -> State[Any]:
        del overrides  # they are recorded, so that `prefect flow-run retry` can run the same again
        return run_in_flow(chain, ended)

    pipeline(shlex.split(chain.command)[2:], return_state=True)
    match ended:
        case [Outcome() as outcome]:
            return outcome
        case [BaseException() as error]:
            raise error
    raise RuntimeError("Prefect ended the flow run before it began")


def run_in_flow(chain: Chain, ended: list[Outcome | BaseException]) -> State[Any]:
    """Run the steps within a flow run; the state that it is to end with, with one line that says why.

    Args:
        chain: to run.
        ended: gets the outcome, or what was raised.
    """
    try:
        outcome = run_steps(chain, _as_task(chain))
    except MetisError as error:
        ended.append(error)
        return Failed(message=str(error))  # an exception would show as a traceback
    except BaseException as error:
        ended.append(error)
        raise
    ended.append(outcome)
    reused = len(outcome.records) - len(outcome.done)
    show_results(outcome)
    show_page(chain, outcome)
    return Completed(message=f"{len(outcome.done)} steps done, {reused} reused")


def run_name() -> str:
    """What a flow run is called: its flow, and what was asked of it."""
    words = flow_run.parameters.get("overrides") or []
    return " ".join([str(flow_run.flow_name), *map(str, words)])[:120]


def _as_task(chain: Chain) -> Perform:
    # stages are tasks: a synchronous subflow takes a second to leave

    def perform(step: Step, do: Do) -> Record:
        ended: list[Record | BaseException] = []

        # without tags: for each, Prefect asks its server for a slot, which takes up to two seconds
        @task(name=step.name, task_run_name=step.name, persist_result=False)
        def doing() -> State[Any]:
            try:
                record = do(StepProgress(step.name, chain.progress))
            except MetisError as error:
                ended.append(error)
                for logger in RUN_LOGGERS:
                    logger.addFilter(ONE_LINE)
                return Failed(message=str(error))
            except BaseException as error:
                ended.append(error)
                raise
            ended.append(record)
            show_run(chain, step.name, record)
            return Completed(message=f"{record.seconds:.1f} s")

        doing(return_state=True)
        match ended:
            case [Record() as record]:
                return record
            case [BaseException() as error]:
                raise error
        raise RuntimeError(f"{step.name}: Prefect ended the task before it began")

    return perform
