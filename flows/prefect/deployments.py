"""The chain and each of its stages as flows with typed parameters, for `metis serve` and `prefect.yaml`.

All compose the same configuration as `metis run`, after the overrides that `METIS_OVERRIDES` holds for the
whole process. A stage's flow does that stage, and what it reads where that is not finished.
"""

import shlex
from collections.abc import Sequence
from typing import Any, cast

# prefect's engine wants to be imported before what it orchestrates
from prefect import Flow, flow, serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, State
from prefect.deployments.runner import RunnerDeployment
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.schedules import Cron, Schedule
from prefect.states import Failed
from prefect.types.entrypoint import EntrypointType

from flows.configuration.settings import ServeSettings
from flows.engine.chain import Outcome, make_chain
from flows.pipeline import run_in_flow, run_name
from flows.prefect.parameters import (
    NONE,
    STAGES,
    Again,
    Overrides,
    Rerun,
    Size,
    Stages,
    Until,
    base_words,
    composed,
    listed,
    sized,
)
from metis.errors import InputError, MetisError

TAG = "metis"


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
    """See its description."""
    asked = [*listed("stages", stages), *listed("rerun", rerun), *([f"until={until}"] if until else [])]
    return _run([*sized(size), *overrides, *asked])


def _stage_flow(stage: str) -> Flow[..., State[Any]]:
    """The flow of one stage."""

    def run_stage(overrides: Overrides = NONE, size: Size = None, rerun: Again = False) -> State[Any]:
        asked = [*listed("stages", [stage]), *listed("rerun", [stage] if rerun else [])]
        return _run([*sized(size), *overrides, *asked])

    # Prefect finds a flow again by the name of its function in this module
    run_stage.__name__ = run_stage.__qualname__ = stage
    described = f"{STAGES[stage]} What it reads and is not finished is done first; nothing after it is."
    return flow(description=described, flow_run_name=run_name, persist_result=False)(run_stage)


STAGE_FLOWS = {stage: _stage_flow(stage) for stage in STAGES}
globals().update(STAGE_FLOWS)


def _run(words: Sequence[str]) -> State[Any]:
    """Run the chain within this flow run; where it fails, the last line of the log is what goes on."""
    ended: list[Outcome | BaseException] = []
    command = shlex.join(["metis", "run", *base_words(), *words])
    try:
        state = run_in_flow(make_chain(composed(words), command=command), ended)
    except MetisError as error:
        ended.append(error)
        state = Failed(message=str(error))
    if ended and isinstance(ended[0], MetisError):
        get_run_logger().error("metis: %s", ended[0])
        get_run_logger().error("prefect flow-run retry %s", flow_run.id)
    return state


def deployments(chosen: ServeSettings) -> list[RunnerDeployment]:
    """The chain and every stage, to be served.

    Raises:
        InputError: the schedule is none.
    """
    try:
        schedule = Cron(chosen.cron, timezone=chosen.timezone) if chosen.cron else None
        whole = _deployment(pipeline, chosen, chosen.limit, schedule)
    except ValueError as error:
        told = " ".join(str(error).partition("[type=")[0].split())
        raise InputError(f"serve.cron {chosen.cron!r}, serve.timezone {chosen.timezone!r}: {told}") from None
    # a stage twice at once would do the same work twice
    return [whole, *(_deployment(each, chosen, 1) for each in STAGE_FLOWS.values())]


def _deployment(
    each: Flow[..., Any], chosen: ServeSettings, limit: int, schedule: Schedule | None = None
) -> RunnerDeployment:
    made = each.to_deployment(
        name=chosen.name,
        description=each.description,
        tags=[TAG, each.name],
        concurrency_limit=ConcurrencyLimitConfig(
            limit=limit, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE
        ),
        schedule=schedule,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    return cast(RunnerDeployment, made)


def serve_until_stopped(chosen: ServeSettings) -> None:
    """Register the deployments and run what is asked of them, until Ctrl-C or SIGTERM."""
    serve(*deployments(chosen), limit=chosen.limit, print_starting_message=False)
