"""A run of a deployment: its parameters composed, its failure logged with the command that resumes."""

from collections.abc import Callable, Sequence
from typing import Any

from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Failed

from flows.engine.memo import Memo
from flows.engine.secrets import masked_command
from flows.engine.startup import go_easy_on_garbage
from flows.prefect.parameters import base_words, composed
from flows.stages.chain import check_problems, chosen_steps, open_memo
from metis.errors import MetisError


def served_memo(words: Sequence[str]) -> Memo:
    """Return the memo of a served run.

    Args:
        words: overrides, after those that `METIS_OVERRIDES` holds for the whole process.

    Raises:
        InputError: a word is not understood, or a value out of range; says which.
    """
    go_easy_on_garbage()
    settings = composed(words)
    chosen_steps(settings)
    memo = open_memo(settings, command=masked_command(["metis", "run", *base_words(), *words]))
    check_problems(memo.settings)
    return memo


def served_state(run: Callable[[], State[Any]]) -> State[Any]:
    """Return the state that `run` ends with; the last line logged of a failure is what resumes it."""
    try:
        state = run()
    except MetisError as error:
        state = Failed(message=str(error))
    if state.is_failed():
        get_run_logger().error("metis: %s", state.message)
        get_run_logger().error("prefect flow-run retry %s", flow_run.id)
    return state
