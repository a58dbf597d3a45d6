"""Classifies one image a request, as a model server does."""

import time
from pathlib import Path

import numpy as np

from cluster.workloads.common.environment import Environment, read_environment
from cluster.workloads.common.images import PictureSource, shrunk
from cluster.workloads.common.networks import Network
from cluster.workloads.common.server import Unit, WorkResult, serve
from cluster.workloads.mms.graph import SIDE

# mean and deviation of a photograph's channels, as ResNet-152 is fed
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


def make_unit(environment: Environment, network: Network) -> Unit:
    """A unit of work: fetch a picture, classify it."""
    pictures = PictureSource("mms", environment)
    side = network.side(SIDE)

    def unit() -> WorkResult:
        picture, source, fetch = pictures.next()
        begun = time.perf_counter()
        pixels = shrunk(picture, side).astype(np.float32) / 255
        x = np.ascontiguousarray(((pixels - MEAN) / DEVIATION).transpose(2, 0, 1)[None], np.float32)
        logits = network.run(x)[0]
        odds = np.exp(logits - logits.max())
        best = np.argsort(odds)[::-1][:5]
        result = {"classes": best.tolist(), "odds": [round(float(odds[i] / odds.sum()), 6) for i in best]}
        return WorkResult(source, fetch, time.perf_counter() - begun, result)

    return unit


if __name__ == "__main__":
    environment = read_environment()
    serve(make_unit(environment, Network(Path("/srv/model.onnx"))), environment)
