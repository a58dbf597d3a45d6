"""A run of the chain: as a Prefect flow where that is asked for, else one step after another."""

from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.memo import Outcome
from flows.engine.work import Progress, no_progress
from flows.stages.chain import chosen_steps, found, open_memo, run_steps


def run_chain(settings: Settings, progress: Progress = no_progress, command: str = "metis run") -> Outcome:
    """Run the chain: steps that are finished under the same key are reused.

    When all are, neither Prefect nor any server is started.

    Raises:
        InputError: the settings ask for a stage that does not exist.
        StepError: a step failed; what was finished before stays finished.
        SurroundingsError: the tracking store cannot be opened.
    """
    chosen_steps(settings)  # a mistyped stage is refused before anything starts
    memo = open_memo(settings, progress, command)
    outcome = found(memo)
    if outcome is not None:
        return outcome
    if not settings.tracking.orchestrate:
        return run_steps(memo)
    try:
        from flows.prefect import server

        server.prepare(memo.store.root)
        from flows.pipeline import run_as_flow  # prefect's engine wants to be imported first

        server.create_database()
        from flows.prefect.logs import keep_from_terminal
    except ImportError as error:
        say(f"Prefect is not here ({error}): the steps run without it")
        return run_steps(memo)
    keep_from_terminal()
    return run_as_flow(memo)
