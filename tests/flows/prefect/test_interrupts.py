"""What ends a flow from outside ends its steps."""

from threading import Event
from types import SimpleNamespace

import pytest
from prefect.exceptions import TerminationSignal

from flows import pipeline


@pytest.mark.parametrize("how", [KeyboardInterrupt(), TerminationSignal(signal=15)])
def test_steps_in_threads_hear_of_an_interrupt_and_of_a_sigterm(monkeypatch, how):
    """Prefect makes an exception of its own of a SIGTERM while a flow runs."""

    def interrupted(settings):
        raise how

    memo = SimpleNamespace(settings=None, interrupted=Event())
    monkeypatch.setattr(pipeline, "chosen_steps", interrupted)
    with pytest.raises(type(how)):
        pipeline.run_chain(memo)
    assert memo.interrupted.is_set()
