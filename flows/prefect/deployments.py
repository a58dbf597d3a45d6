"""The chain and each of its stages as deployments, for `metis serve` and `prefect.yaml`.

All compose the same configuration as `metis run`, after the overrides that `METIS_OVERRIDES` holds for the
whole process. A stage's flow does that stage, and what it reads where that is not finished.
"""

from typing import Any, cast

# prefect's engine wants to be imported before what it orchestrates
from prefect import Flow, flow, serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, State
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron, Schedule
from prefect.types.entrypoint import EntrypointType

from flows.configuration.sections import ServeSettings
from flows.pipeline import pipeline, run_chain
from flows.prefect.logs import end_quietly, run_name
from flows.prefect.parameters import NONE, Again, Overrides, Size, words_of
from flows.prefect.served import served_memo, served_state
from flows.stages.chain import CHAIN
from metis.errors import InputError

__all__ = ["STAGE_FLOWS", "deployments", "pipeline", "serve_until_stopped"]
TAG = "metis"


def _stage_flow(stage: str, about: str) -> Flow[..., State[Any]]:
    """Return the flow of one stage."""

    def run_stage(overrides: Overrides = NONE, size: Size = None, rerun: Again = False) -> State[Any]:
        words = words_of(overrides, [stage], [stage] if rerun else [], None, size)
        return served_state(lambda: run_chain(served_memo(words)))

    # Prefect finds a flow again by the name of its function in this module
    run_stage.__name__ = run_stage.__qualname__ = stage
    described = f"{about} What it reads and is not finished is done first; nothing after it is."
    return flow(description=described, flow_run_name=run_name, persist_result=False)(run_stage)


STAGE_FLOWS = {stage.name: _stage_flow(stage.name, stage.about) for stage in CHAIN}
globals().update(STAGE_FLOWS)


def deployments(chosen: ServeSettings) -> list[RunnerDeployment]:
    """Return the chain and every stage, to be served.

    Raises:
        InputError: the schedule is none.
    """
    try:
        schedule = Cron(chosen.cron, timezone=chosen.timezone) if chosen.cron else None
        whole = _deployment(pipeline, chosen, chosen.limit, schedule)
    except ValueError as error:
        reason = " ".join(str(error).partition("[type=")[0].split())
        raise InputError(
            f"serve.cron {chosen.cron!r}, serve.timezone {chosen.timezone!r}: {reason}"
        ) from None
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
    end_quietly()
    serve(*deployments(chosen), limit=chosen.limit, print_starting_message=False)
