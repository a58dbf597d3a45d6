"""The flow itself: the only module that imports Prefect's engine."""

from collections.abc import Callable

from prefect import flow, task

from flows.pipeline import Chain, Outcome, run_steps
from flows.steps import Step
from flows.store import Record


def run_as_flow(chain: Chain) -> Outcome:
    """Run the steps as tasks of one flow, one after another."""

    def perform(step: Step, do: Callable[[], Record]) -> Record:
        # stages are tasks: a synchronous subflow takes a second to leave
        return task(name=step.name, tags=[step.stage], persist_result=False)(do)()

    @flow(name="pipeline", persist_result=False, validate_parameters=False)
    def pipeline() -> Outcome:
        return run_steps(chain, perform)

    return pipeline()
