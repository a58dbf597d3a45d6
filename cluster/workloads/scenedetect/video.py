"""A short seeded video: scenes of differing colours, with cuts between them, as compressed frames."""

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.workloads.common.environment import number

Frame = NDArray[np.uint8]

FRAMES, WIDTH, HEIGHT = 300, 320, 180  # at scale 1: twelve seconds
RATE = 25
SHORTEST = 15  # frames of a scene, at least
LONGEST = 24
GRAIN = 1  # levels of noise, as a camera has: keeps frames from compressing to nothing


@dataclass(frozen=True)
class VideoShape:
    """What sizes a video.

    Attributes:
        frames: how many.
        width: pixels.
        height: pixels.
    """

    frames: int = FRAMES
    width: int = WIDTH
    height: int = HEIGHT

    @classmethod
    def scaled(cls, scale: float) -> "VideoShape":
        """About `scale` times the pixels: half (by exponent) of it in frames, half in their size."""
        share = scale**0.5
        side = min(1.0, scale) ** 0.25
        frames = max(2 * LONGEST, round(FRAMES * (share if scale <= 1 else scale)))
        return cls(frames, max(16, round(WIDTH * side)), max(9, round(HEIGHT * side)))


def make_video(shape: VideoShape, seed: int = 0) -> tuple[bytes, list[int]]:
    """A video and the first frames of its scenes but the first.

    A line of JSON (frames, width, height, rate, lengths) and then each frame, RGB, compressed by itself.
    """
    rng = np.random.default_rng(seed)
    cuts = _cuts(shape.frames, rng)
    across = np.linspace(0, 1, shape.width, dtype=np.float32)[None, :, None]
    down = np.linspace(0, 1, shape.height, dtype=np.float32)[:, None, None]
    parts: list[bytes] = []
    for scene, (start, stop) in enumerate(zip([0, *cuts], [*cuts, shape.frames], strict=True)):
        low, high = _colours(scene, rng)
        for frame in range(stop - start):
            # a slow pan: neighbours within a scene differ little
            drift = np.float32(frame * 0.004)
            light = (across + down) / 2 + 0.1 * np.sin(6 * (across + drift))
            grain = rng.integers(-GRAIN, GRAIN + 1, (shape.height, shape.width, 1))
            picture = low + (high - low) * np.clip(light, 0, 1) + grain
            parts.append(zlib.compress(np.clip(picture, 0, 255).astype(np.uint8).tobytes(), 6))
    head = {"frames": shape.frames, "width": shape.width, "height": shape.height, "rate": RATE}
    line = json.dumps({**head, "lengths": [len(part) for part in parts]}).encode()
    return line + b"\n" + b"".join(parts), cuts


def read_frames(video: bytes) -> Iterator[Frame]:
    """The frames of a video, uint8 [height, width, 3].

    Raises:
        ValueError: it is damaged.
    """
    line, _, rest = video.partition(b"\n")
    try:
        head = json.loads(line)
        shape = (head["height"], head["width"], 3)
        start = 0
        for length in head["lengths"]:
            yield np.frombuffer(zlib.decompress(rest[start : start + length]), np.uint8).reshape(shape)
            start += length
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise ValueError(f"not a video: {error}") from None


def _cuts(frames: int, rng: np.random.Generator) -> list[int]:
    cuts = [int(rng.integers(SHORTEST + 1, LONGEST))]
    while frames - cuts[-1] > LONGEST:
        cuts.append(cuts[-1] + int(rng.integers(SHORTEST + 1, LONGEST)))
    return [cut for cut in cuts if cut < frames]


def _colours(scene: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The two ends of a scene's palette: neighbours are bright and dark in turn, and of another hue."""
    strong, weak = (200, 60) if scene % 2 else (90, 10)
    low = np.full(3, weak, np.float32)
    high = np.full(3, weak, np.float32)
    low[scene % 3] = high[scene % 3] = strong
    high[(scene + 1) % 3] += float(rng.integers(20, 40))
    return low, high


if __name__ == "__main__":
    made, _ = make_video(VideoShape.scaled(number("WORK_SCALE", 1.0)))
    Path("/srv/video.bin").write_bytes(made)
