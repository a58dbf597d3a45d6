"""What ends a flow from outside ends its steps."""

from threading import Event
from types import SimpleNamespace

import pytest


@pytest.mark.parametrize("sigterm", [False, True])
def test_steps_in_threads_hear_of_an_interrupt_and_of_a_sigterm(monkeypatch, sigterm):
    """Prefect makes an exception of its own of a SIGTERM while a flow runs."""
    from prefect.exceptions import TerminationSignal

    from flows import pipeline

    how = TerminationSignal(signal=15) if sigterm else KeyboardInterrupt()

    def interrupted(settings):
        raise how

    memo = SimpleNamespace(settings=None, interrupted=Event())
    monkeypatch.setattr(pipeline, "chosen_steps", interrupted)
    with pytest.raises(type(how)):
        pipeline.run_chain(memo)
    assert memo.interrupted.is_set()
