"""The chain as one Prefect flow: every step is a task that waits for the steps whose output it reads."""

import shlex
from contextvars import ContextVar
from typing import Any

# prefect's engine wants to be imported before what it orchestrates
from prefect import flow, task
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed, Failed
from prefect.utilities.annotations import quote

from flows.engine.memo import Memo
from flows.prefect.artifacts import StepProgress, show_page, show_results, show_run
from flows.prefect.logs import one_line_per_failure, run_name
from flows.prefect.parameters import NONE, Overrides, Rerun, Size, Stages, Until, words_of
from flows.stages.chain import asked_for, chosen_steps
from metis.errors import MetisError

# the run of `metis run`, whose progress and results this process shows; a served run has none
OWN: ContextVar[Memo] = ContextVar("OWN")


@flow(
    description="The whole chain, setup to report: what is finished under the same settings is reused.",
    flow_run_name=run_name,
    persist_result=False,
)
def pipeline(
    overrides: Overrides = NONE,
    stages: Stages = None,
    rerun: Rerun = NONE,
    until: Until = None,
    size: Size = None,
) -> State[Any]:
    """Run the chain; see `description`."""
    from flows.prefect.served import served_memo, served_state

    if OWN.get(None) is not None:
        return run_chain(OWN.get())
    return served_state(lambda: run_chain(served_memo(words_of(overrides, stages, rerun, until, size))))


@task(persist_result=False)  # without tags: for each, Prefect's server is asked for a slot, up to two seconds
def step_task(memo: Memo, name: str) -> State[Any]:
    """Find or make one step."""
    try:
        record = memo.obtain(name, StepProgress(name, memo.progress))
    except MetisError as error:
        memo.failures.append(error)
        one_line_per_failure()
        return Failed(message=str(error))  # an exception would show as a traceback
    except BaseException as error:
        memo.failures.append(error)
        raise
    show_run(memo, name, record)
    if name not in memo.done:
        return Completed(name="Reused", message="finished before under the same settings")
    return Completed(message=f"{record.seconds:.1f} s, {record.cpu_seconds:.1f} CPU s")


def run_chain(memo: Memo) -> State[Any]:
    """Submit every step of a run as a task; return the state that the flow run is to end with."""
    futures: dict[str, PrefectFuture[Any]] = {}

    def submit(name: str) -> None:
        step = memo.step(name)
        reads = [futures[other] for other in (*step.inputs, *step.after) if other in futures]
        own = step_task.with_options(name=name, task_run_name=name)
        unvisited: Any = quote(memo)  # Prefect is not to look for futures inside it
        futures[name] = own.submit(memo=unvisited, name=name, wait_for=reads, return_state=False)

    try:
        for step in chosen_steps(memo.settings):
            if memo.failures or not asked_for(step, memo.settings):
                continue
            if step.stage.timed:
                wait(list(futures.values()))  # nothing runs beside what measures its own seconds
            if step.after:  # hosts are made ready only for what is not finished
                wait([futures[name] for name in step.inputs if name in futures])
                for name in step.after if memo.find(step.name) is None else ():
                    if name not in futures:
                        submit(name)
            submit(step.name)
            if step.stage.timed:
                wait([futures[step.name]])
        wait(list(futures.values()))
    except (KeyboardInterrupt, TerminationSignal):  # Prefect's own, of a SIGTERM during its flow
        memo.interrupted.set()
        raise
    return _ended(memo)


def run_as_flow(memo: Memo) -> str | None:
    """Run the chain as a flow run of this process; return why it did not come to its end, None where it did.

    What failed in a step is in `memo.failures`.
    """
    token = OWN.set(memo)
    try:
        unchecked = pipeline.with_options(validate_parameters=False)  # they were composed already
        state = unchecked(shlex.split(memo.command)[2:], return_state=True)
    finally:
        OWN.reset(token)
    if memo.failures or state.is_completed():
        return None
    return f"Prefect ended the run as {state.name} ({' '.join(str(state.message).split())[:150]})"


def _ended(memo: Memo) -> State[Any]:
    if memo.failures:
        failure = memo.failures[0]
        if not isinstance(failure, MetisError):
            raise failure
        return Failed(message=str(failure))
    outcome = memo.outcome()
    show_results(outcome)
    show_page(memo, outcome)
    reused = len(outcome.records) - len(outcome.done)
    return Completed(message=f"{len(outcome.done)} steps done, {reused} reused")
