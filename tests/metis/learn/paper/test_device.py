"""TensorFlow's device and its lines: chatter is dropped, all else passed on; no GPU is said."""

import os

import pytest

from flows.configuration.settings import Settings
from flows.placing.decisions import open_device
from metis.learn.paper import device
from metis.learn.paper.device import LearnSettings, open_tensorflow, without_chatter

CHATTER = (
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    b"I0000 00:00:1795667790.825134    2312 cudart_stub.cc:31] Could not find cuda drivers on your machine\n"
    b"2026-11-26 04:36:59.123456: E external/local_xla/xla/stream_executor/cuda/cuda_fft.cc:485] Unable to\n"
)


def test_chatter_is_dropped_and_all_else_passed_on_in_order(capfd):
    with without_chatter():
        os.write(2, b"before\n" + CHATTER + b"F0000 00:00:1.0 fatal stays\n  group: 1 of 3")
        os.write(2, b", 2:10 left\n")
    os.write(2, b"after\n")
    expected = "before\nF0000 00:00:1.0 fatal stays\n  group: 1 of 3, 2:10 left\nafter\n"
    assert capfd.readouterr().err == expected


def test_standard_error_is_put_back_where_the_block_fails(capfd):
    with pytest.raises(ZeroDivisionError), without_chatter():
        raise ZeroDivisionError
    os.write(2, CHATTER)
    assert capfd.readouterr().err.encode() == CHATTER


@pytest.mark.parametrize("asked", ["cpu", "gpu"])
def test_a_gpu_is_used_where_it_is_asked_for_and_there(asked, monkeypatch, capsys):
    monkeypatch.setattr(device, "open_tensorflow", lambda wanted: wanted)
    open_device(Settings(learn=LearnSettings(device=asked)))
    assert capsys.readouterr().err == ""


def test_a_gpu_that_is_not_there_is_said_to_be_off(capsys):
    assert open_tensorflow("gpu") == "cpu"  # conftest hides it, if there is one
    open_device(Settings(learn=LearnSettings(device="gpu")))
    said = capsys.readouterr().err
    assert said == "learn.device=gpu: TensorFlow sees no GPU here; learning on the CPU\n"
