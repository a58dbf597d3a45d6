"""A run of the chain: as a Prefect flow where that is asked for, else one step after another."""

from contextlib import suppress

from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.memo import Memo, Outcome
from flows.engine.work import Progress, no_progress
from flows.stages.chain import check_problems, chosen_steps, found, open_memo, run_steps
from metis.errors import MetisError, SurroundingsError


def run_chain(settings: Settings, progress: Progress = no_progress, command: str = "metis run") -> Outcome:
    """Run the chain: steps that are finished under the same key are reused.

    When all are, neither Prefect nor any server is started. Where Prefect is not there, does not come up, or
    is lost midway, one line says so and the steps run without it.

    Raises:
        InputError: the settings ask for a stage that does not exist, or for groups that cannot be placed.
        StepError: a step failed; what was finished before stays finished.
        SurroundingsError: the tracking store cannot be opened.
    """
    chosen_steps(settings)  # a mistyped stage is refused before anything starts
    memo = open_memo(settings, progress, command)
    outcome = found(memo)
    if outcome is not None:
        return outcome
    check_problems(memo.settings)
    if settings.tracking.orchestrate:
        without = _as_flow(memo)
        if memo.failures:
            raise memo.failures[0]
        if without is None:
            return memo.outcome()
        say(f"{without}: the steps run without Prefect")
    return run_steps(memo)


def _as_flow(memo: Memo) -> str | None:
    """Run the chain as a flow; return why it did not come to its end, None where it did or a step failed."""
    from flows.prefect import server

    try:
        with server.of_a_run(memo.store.root, lambda: _opened(memo)):
            from flows.pipeline import run_as_flow  # prefect's engine wants to be imported first
            from flows.prefect.logs import keep_from_terminal

            keep_from_terminal()
            return run_as_flow(memo)
    except ImportError as error:
        return f"Prefect is not here ({error})"
    except SurroundingsError as error:
        return str(error)
    except MetisError:
        raise
    except Exception as error:
        # whatever Prefect, its client or its server stumbles over; a step's own failure is in the memo
        return f"Prefect failed ({type(error).__name__}: {' '.join(str(error).split())[:150]})"


def _opened(memo: Memo) -> None:
    """Open the tracking store, which takes seconds in a new folder; the first step reports a failure."""
    with suppress(MetisError):
        _ = memo.store.experiment
