"""Content-aware scene detection: a cut is where hue, saturation and brightness change much at once."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from cluster.workloads.scenedetect.video import SHORTEST, Frame

THRESHOLD = 27.0


def to_hsv(frame: Frame) -> NDArray[np.float32]:
    """Hue (0 to 180), saturation and value (0 to 255) of RGB pixels, float32 [height, width, 3]."""
    rgb = frame.astype(np.float32)
    value, least = rgb.max(axis=-1), rgb.min(axis=-1)
    spread = value - least
    safe = np.where(spread > 0, spread, 1)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    hue = np.where(
        value == red,
        (green - blue) / safe,
        np.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = np.where(spread > 0, (hue * 30) % 180, 0)
    saturation = np.where(value > 0, 255 * spread / np.where(value > 0, value, 1), 0)
    return np.stack([hue, saturation, value], axis=-1).astype(np.float32)


def content_change(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Mean absolute difference of two HSV frames, over pixels and channels."""
    return float(np.abs(after - before).mean())


def find_cuts(frames: Iterable[Frame], threshold: float = THRESHOLD, shortest: int = SHORTEST) -> list[int]:
    """First frames of all scenes but the first.

    Args:
        frames: uint8 [height, width, 3] each.
        threshold: change above which a cut is seen.
        shortest: frames of a scene, at least: a flash is not a scene.
    """
    cuts: list[int] = []
    before: NDArray[np.float32] | None = None
    for place, frame in enumerate(frames):
        hsv = to_hsv(frame)
        long_enough = place - (cuts[-1] if cuts else 0) >= shortest
        if before is not None and long_enough and content_change(before, hsv) > threshold:
            cuts.append(place)
        before = hsv
    return cuts
