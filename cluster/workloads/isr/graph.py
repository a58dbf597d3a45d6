"""Residual dense network, 2x (Zhang et al., CVPR 2018), as an ONNX graph, and its smaller likenesses."""

import os
from dataclasses import dataclass
from pathlib import Path

from cluster.workloads.common.environment import number
from cluster.workloads.common.networks import GraphBuilder, build_model

SIDE = 100


@dataclass(frozen=True)
class DenseShape:
    """What sizes a residual dense network.

    Attributes:
        side: pixels a side of the small image.
        blocks: residual dense blocks (D in the paper).
        layers: convolutions in each (C).
        growth: channels that each adds (G).
        width: channels between the blocks (G0).
    """

    side: int = SIDE
    blocks: int = 16
    layers: int = 8
    growth: int = 64
    width: int = 64

    def scaled(self, scale: float) -> "DenseShape":
        """About `scale` times the multiplications; 1 and more are the shape itself.

        They grow with the square of the side, with depth, with the square of the layers, and with the
        square of the channels.
        """
        share = min(1.0, scale)
        return DenseShape(
            side=max(24, round(self.side * share**0.125)),
            blocks=max(1, round(self.blocks * share**0.25)),
            layers=max(2, round(self.layers * share**0.125)),
            growth=max(8, 4 * round(self.growth * share**0.125 / 4)),
            width=max(8, 4 * round(self.width * share**0.125 / 4)),
        )


def read_shape(text: str) -> DenseShape:
    """The shape that `text` names as DxCxG, such as `16x8x64`.

    Raises:
        SystemExit: it names none.
    """
    try:
        blocks, layers, growth = (int(word) for word in text.split("x"))
    except ValueError:
        raise SystemExit(f"RDN {text!r}: give blocks x layers x growth, such as 16x8x64") from None
    if min(blocks, layers, growth) < 1:
        raise SystemExit(f"RDN {text!r}: give 1 or more of each")
    return DenseShape(blocks=blocks, layers=layers, growth=growth)


def make_rdn(shape: DenseShape, seed: int = 0) -> tuple[bytes, int]:
    """A serialised model and its number of parameters.

    The model takes float32 [1, 3, side, side] of 0 to 1 to [1, 3, 2 side, 2 side].
    """
    made, width = GraphBuilder(seed), shape.width
    shallow = made.convolution("x", 3, width, kernel=3)
    x = made.convolution(shallow, width, width, kernel=3)
    outputs = []
    for _ in range(shape.blocks):
        x = _dense_block(made, x, shape)
        outputs.append(x)
    x = made.node("Concat", *outputs, axis=1)
    x = made.convolution(x, shape.blocks * width, width, kernel=1)
    x = made.convolution(x, width, width, kernel=3)
    x = made.node("Add", x, shallow)
    x = made.convolution(x, width, 4 * width, kernel=3)
    x = made.node("DepthToSpace", x, blocksize=2, mode="CRD")
    x = made.convolution(x, width, 3, kernel=3)
    side = shape.side
    return made.model("rdn", (1, 3, side, side), x, (1, 3, 2 * side, 2 * side)), made.parameters


def _dense_block(made: GraphBuilder, x: str, shape: DenseShape) -> str:
    """Every layer sees the outputs of all before it; a 1x1 convolution joins them, beside a shortcut."""
    seen, channels = x, shape.width
    for _ in range(shape.layers):
        new = made.node("Relu", made.convolution(seen, channels, shape.growth, kernel=3))
        seen = made.node("Concat", seen, new, axis=1)
        channels += shape.growth
    return made.node("Add", made.convolution(seen, channels, shape.width, kernel=1), x)


if __name__ == "__main__":
    chosen = read_shape(os.environ.get("RDN") or "16x8x64").scaled(number("WORK_SCALE", 1.0))
    build_model("isr", lambda: make_rdn(chosen), Path("/srv/model.onnx"))
