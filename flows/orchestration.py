"""The flow itself: the only module that imports Prefect's engine."""

from collections.abc import Callable, Sequence

from prefect import flow, task

from flows.pipeline import Outcome, run_steps
from flows.settings import Settings
from flows.steps import Step
from flows.store import Record, Store
from flows.work import Progress


def run_as_flow(settings: Settings, steps: Sequence[Step], store: Store, progress: Progress) -> Outcome:
    """Run the steps as tasks of one flow, one after another."""

    def perform(step: Step, do: Callable[[], Record]) -> Record:
        # stages are tasks: a synchronous subflow takes a second to leave
        return task(name=step.name, tags=[step.stage], persist_result=False)(do)()

    @flow(name="pipeline", persist_result=False, validate_parameters=False)
    def pipeline() -> Outcome:
        return run_steps(settings, steps, store, progress, perform)

    return pipeline()
