"""TensorFlow opened once, on the device asked for, without the lines that its C++ part prints."""

import os
import re
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Literal

from metis.settings import settings

Device = Literal["cpu", "gpu"]

# what absl, CUDA's loader and XLA print on standard error whatever the log level, but for fatal lines
CHATTER = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog"
    rb"|[IWE]\d{4} \d\d:\d\d:[\d.]+ "
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] "
)
PARTIAL_AFTER = 0.1  # seconds after which a line without its end is passed on: progress bars print such


@settings("learn")
class LearnSettings:
    """Where the networks of the paper's learners run.

    Attributes:
        device: `cpu`, or `gpu`: the first one that TensorFlow sees; where it sees none, a line says so and
            the CPU is used. Results of the two differ from the first rounding on.
    """

    device: Device = "cpu"


@cache
def open_tensorflow(device: Device) -> Device:
    """Import TensorFlow and choose its device; return the one that is used.

    The choice holds for this process: a later call with another device returns what the first one chose
    where TensorFlow has used it already.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    if device == "cpu":
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    with without_chatter():
        import tensorflow as tf

        present = tf.config.list_physical_devices("GPU")
        with suppress(RuntimeError):  # it has begun on another device
            tf.config.set_visible_devices(present[:1] if device == "gpu" else [], "GPU")
        tf.constant(0.0)  # opens the device, of which it prints, too
        return "gpu" if tf.config.list_logical_devices("GPU") else "cpu"


@contextmanager
def without_chatter() -> Iterator[None]:
    """Drop lines of `CHATTER` from standard error within the block, those of C++ code included."""
    sys.stderr.flush()
    kept = os.dup(2)
    read, write = os.pipe()
    os.dup2(write, 2)
    os.close(write)
    passing = threading.Thread(target=_pass_on, args=(read, kept), daemon=True)
    passing.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)  # closes the pipe, which ends the thread
        passing.join()
        os.close(read)
        os.close(kept)


def _pass_on(read: int, to: int) -> None:
    """Copy bytes from `read` to `to` until the end, all lines but chatter."""
    waiting = b""
    while True:
        ready, _, _ = select.select([read], [], [], PARTIAL_AFTER)
        received = os.read(read, 65536) if ready else b""
        *lines, waiting = (waiting + received).split(b"\n")
        os.write(to, b"".join(line + b"\n" for line in lines if not CHATTER.match(line)))
        if not CHATTER.match(waiting) and (not ready or not received):
            os.write(to, waiting)
            waiting = b""
        if ready and not received:
            return
