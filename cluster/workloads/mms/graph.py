"""ResNet-152 (He et al., CVPR 2016, table 1) as an ONNX graph, and its smaller likenesses."""

from dataclasses import dataclass
from pathlib import Path

from cluster.workloads.common.environment import number
from cluster.workloads.common.networks import GraphBuilder, build_model

SIDE, WIDTH, BLOCKS, CLASSES = 224, 64, (3, 8, 36, 3), 1000
EXPANSION = 4


@dataclass(frozen=True)
class ResNetShape:
    """What sizes a residual network of bottleneck blocks.

    Attributes:
        side: pixels a side of the image.
        width: channels after the first layer; stage i has 2^i times as many inside its blocks.
        blocks: in each of the four stages.
    """

    side: int = SIDE
    width: int = WIDTH
    blocks: tuple[int, ...] = BLOCKS

    @classmethod
    def scaled(cls, scale: float) -> "ResNetShape":
        """About `scale` times the multiplications of ResNet-152; 1 and more are ResNet-152 itself.

        They grow with depth, the square of the width and the square of the side. A half of the shrinking
        (by exponent) is taken from the width, a quarter each from side and depth: any of them alone
        would leave no likeness at 0.01.
        """
        share = min(1.0, scale)
        width = max(8, 4 * round(WIDTH * share**0.25 / 4))
        side = max(32, 32 * round(SIDE * share**0.125 / 32))
        return cls(side, width, tuple(max(1, round(blocks * share**0.25)) for blocks in BLOCKS))


def make_resnet(shape: ResNetShape, seed: int = 0) -> tuple[bytes, int]:
    """A serialised model, float32 [1, 3, side, side] to [1, 1000] logits, and its number of parameters."""
    made = GraphBuilder(seed)
    x = made.convolution("x", 3, shape.width, kernel=7, stride=2, bias=False)
    x = made.node("Relu", made.normalised(x, shape.width))
    x = made.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = shape.width
    for stage, blocks in enumerate(shape.blocks):
        inside = shape.width * 2**stage
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            x = _bottleneck(made, x, channels, inside, stride)
            channels = inside * EXPANSION
    x = made.node("Flatten", made.node("GlobalAveragePool", x))
    x = made.dense(x, channels, CLASSES)
    return made.model("resnet", (1, 3, shape.side, shape.side), x, (1, CLASSES)), made.parameters


def _bottleneck(made: GraphBuilder, x: str, channels: int, inside: int, stride: int) -> str:
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; the stride is in the middle one."""
    outside = inside * EXPANSION
    y = made.convolution(x, channels, inside, kernel=1, bias=False)
    y = made.node("Relu", made.normalised(y, inside))
    y = made.convolution(y, inside, inside, kernel=3, stride=stride, bias=False)
    y = made.node("Relu", made.normalised(y, inside))
    y = made.convolution(y, inside, outside, kernel=1, bias=False)
    # a small gain keeps fifty blocks of random weights from growing without bound
    y = made.normalised(y, outside, gain=0.2)
    if channels != outside or stride != 1:
        x = made.convolution(x, channels, outside, kernel=1, stride=stride, bias=False)
        x = made.normalised(x, outside)
    return made.node("Relu", made.node("Add", x, y))


if __name__ == "__main__":
    build_model(
        "mms", lambda: make_resnet(ResNetShape.scaled(number("WORK_SCALE", 1.0))), Path("/srv/model.onnx")
    )
