"""Enlarges one image a request to twice its side."""

import hashlib
import time
from pathlib import Path

import numpy as np

from cluster.workloads.common.environment import Environment, read_environment
from cluster.workloads.common.images import PictureSource, shrunk
from cluster.workloads.common.networks import Network
from cluster.workloads.common.server import Unit, WorkResult, serve
from cluster.workloads.isr.graph import SIDE


def make_unit(environment: Environment, network: Network) -> Unit:
    """A unit of work: fetch a picture, enlarge it."""
    pictures = PictureSource("isr", environment)
    side = network.side(SIDE)

    def unit() -> WorkResult:
        picture, source, fetch = pictures.next()
        begun = time.perf_counter()
        pixels = shrunk(picture, side).astype(np.float32) / 255
        large = network.run(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]))[0]
        bytes_ = (np.clip(large, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
        result = {"shape": list(bytes_.shape), "sha256": hashlib.sha256(bytes_.tobytes()).hexdigest()[:16]}
        return WorkResult(source, fetch, time.perf_counter() - begun, result)

    return unit


if __name__ == "__main__":
    environment = read_environment()
    serve(make_unit(environment, Network(Path("/srv/model.onnx"))), environment)
