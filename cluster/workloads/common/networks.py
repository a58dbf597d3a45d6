"""Writes networks as ONNX graphs, with seeded random weights, and runs them on one thread.

`onnx` is needed to write, at an image's build; `onnxruntime` to run.
"""

import hashlib
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
OPSET = 17
IR_VERSION = 8  # the oldest that has this opset: any onnxruntime of the last years reads it


class GraphBuilder:
    """Adds nodes one after the other; each method returns the name of its output.

    Args:
        seed: of the weights.
    """

    def __init__(self, seed: int) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.parameters = 0  # learned ones; running means and variances are not
        self._rng = np.random.default_rng(seed)

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node of one output."""
        from onnx import helper

        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, values: FloatArray, learned: bool = True) -> str:
        """An array that the graph holds."""
        from onnx import numpy_helper

        name = f"weight{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        self.parameters += values.size if learned else 0
        return name

    def convolution(
        self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = True
    ) -> str:
        """A square convolution, padded so that stride alone changes the size; variance-keeping weights."""
        deviation = np.sqrt(2.0 / (inputs * kernel * kernel))
        shape = (outputs, inputs, kernel, kernel)
        weights = self._rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation)
        operands = [x, self.weight(weights)]
        if bias:
            operands.append(self.weight(np.zeros(outputs, np.float32)))
        edge = kernel // 2
        sizes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [edge] * 4}
        return self.node("Conv", *operands, **sizes)

    def normalised(self, x: str, channels: int, gain: float = 1.0) -> str:
        """Batch normalisation with the statistics of a trained network's: mean 0, variance 1."""
        learned = [np.full(channels, gain, np.float32), np.zeros(channels, np.float32)]
        held = [np.zeros(channels, np.float32), np.ones(channels, np.float32)]
        names = [self.weight(a) for a in learned] + [self.weight(a, learned=False) for a in held]
        return self.node("BatchNormalization", x, *names)

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        """A fully connected layer."""
        weights = self._rng.standard_normal((inputs, outputs), dtype=np.float32) / np.float32(inputs**0.5)
        return self.node("Gemm", x, self.weight(weights), self.weight(np.zeros(outputs, np.float32)))

    def model(self, name: str, inputs: tuple[int, ...], last: str, outputs: tuple[int, ...]) -> bytes:
        """The finished model, serialised: float32 `x` of shape `inputs` to `y` of shape `outputs`."""
        from onnx import TensorProto, checker, helper

        self.nodes.append(helper.make_node("Identity", [last], ["y"], name="y"))
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, outputs)],
            self.weights,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="metis",
        )
        checker.check_model(model)
        data: bytes = model.SerializeToString()
        return data


class Network:
    """A model that runs on one thread.

    Args:
        model: the path of the ONNX file, or its bytes.
    """

    def __init__(self, model: Path | bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        given = model if isinstance(model, bytes) else str(model)
        self._session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        wanted = self._session.get_inputs()[0]
        self._input = wanted.name
        self.shape: tuple[int | str | None, ...] = tuple(wanted.shape)

    def run(self, x: FloatArray) -> FloatArray:
        """The first output for `x`."""
        output: FloatArray = self._session.run(None, {self._input: x})[0]
        return output

    def side(self, default: int) -> int:
        """Pixels a side that it takes; `default` where it takes any."""
        height = self.shape[2] if len(self.shape) == 4 else None
        return height if isinstance(height, int) and height > 0 else default


def fetch_model(url: str, digest: str | None, path: Path) -> None:
    """Download a model at an image's build; refuse one that is not what was asked for.

    Args:
        url: of an ONNX file.
        digest: its SHA-256 in hexadecimal; None for no check.
        path: where to write it.
    """
    with urllib.request.urlopen(url, timeout=60) as response:
        data = response.read()
    found = hashlib.sha256(data).hexdigest()
    if digest and found != digest.lower():
        raise SystemExit(f"the model has SHA-256 {found}, not {digest}")
    path.write_bytes(data)
    shape = Network(path).shape
    if len(shape) != 4 or shape[1] != 3:
        raise SystemExit(f"the model takes {shape}; give one that takes [n, 3, height, width]")


def build_model(name: str, made: Any, path: Path) -> None:
    """Write the model of an image: of `MODEL_URL` where given, else what `made()` makes.

    Args:
        name: of the application's folder; stands for `{name}` in `MODEL_URL`.
        made: makes the model and the number of its parameters.
        path: where to write it.
    """
    url = os.environ.get("MODEL_URL", "").replace("{name}", name)
    if url:
        fetch_model(url, os.environ.get("MODEL_SHA256") or None, path)
        print(f"{name}: model downloaded, {path.stat().st_size} bytes", file=sys.stderr)
        return
    data, parameters = made()
    path.write_bytes(data)
    print(f"{name}: {parameters} parameters, {len(data)} bytes", file=sys.stderr)
