"""Axes: a value's place in per cent of the width, and ticks at round numbers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike, NDArray

from flows.report.words import duration

NARROWEST = 1e-5  # a smaller range is rounding, and its ticks would look alike
MOST_TICKS = 5  # as many as a telephone's width can label


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic axis from `low` (0 %) to `high` (100 %) with labelled ticks."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    def at(self, values: ArrayLike) -> NDArray[np.float64]:
        """Places of `values` in per cent, clipped to the axis; any shape."""
        numbers = np.asarray(values, dtype=np.float64)
        if self.logarithmic:
            numbers = np.log10(np.maximum(numbers, self.low))
            low, high = np.log10([self.low, self.high])
        else:
            low, high = self.low, self.high
        return np.asarray(np.clip((numbers - low) / (high - low) * 100, 0, 100))

    def place(self, value: float) -> str:
        """The place of one value as an SVG length."""
        return f"{float(self.at(value)):.2f}%"

    def grid(self) -> Markup:
        """A line over the full height at every tick."""
        return Markup("").join(vertical(self.place(value), "grid") for value, _ in self.ticks)

    def labels(self) -> Markup:
        """The tick labels, for an SVG of 18 px height."""
        return Markup("").join(
            Markup('<text class="tick" x="{}" y="13">{}</text>').format(self.place(value), label)
            for value, label in self.ticks
        )


def vertical(place: str, kind: str) -> Markup:
    """A vertical line over the full height, of the CSS class `kind`."""
    return Markup('<line class="{}" x1="{}" x2="{}" y1="0" y2="100%"/>').format(kind, place, place)


def linear(
    values: Iterable[float], *, zero: bool = False, label: Callable[[float], str] | None = None
) -> Scale:
    """A linear axis a little wider than the finite `values`, round ticks; from 0 with `zero`."""
    known = _finite(values)
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    if zero:
        low = min(0.0, low)
    if high - low < NARROWEST * max(1.0, abs(low), abs(high)):
        low, high = (low if zero else low - 0.05 * max(1.0, abs(low))), high + 0.05 * max(1.0, abs(high))
    margin = 0.03 * (high - low)
    low, high = (low if zero else low - margin), high + margin
    step = _round_step((high - low) / MOST_TICKS)
    # rounding keeps 0.30000000000000004 from costing a tick
    ticks = np.arange(np.ceil(round(low / step, 6)), np.floor(round(high / step, 6)) + 1) * step
    digits = next(d for d in range(13) if d == 12 or abs(step * 10**d - round(step * 10**d)) < 1e-6)
    name = label or (lambda value: f"{value:.{digits}f}")
    return Scale(low, high, tuple((float(t), name(float(t))) for t in ticks))


def logarithmic_seconds(values: Iterable[float]) -> Scale:
    """A logarithmic axis of durations around the finite positive `values`, from decade to decade."""
    known = _finite(values)
    known = known[known > 0]
    low, high = (known.min(), known.max()) if known.size else (0.1, 1.0)
    first, last = int(np.floor(np.log10(low) + 1e-9)), int(np.ceil(np.log10(high) - 1e-9))
    last = max(last, first + 1)
    every = -(-(last - first) // (MOST_TICKS - 1))
    ticks = tuple((10.0**e, duration(10.0**e, exact=True)) for e in range(first, last + 1, every))
    return Scale(10.0**first, 10.0**last, ticks, logarithmic=True)


def _finite(values: Iterable[float]) -> NDArray[np.float64]:
    numbers = np.asarray(list(values), dtype=np.float64)
    return numbers[np.isfinite(numbers)]


def _round_step(rough: float) -> float:
    power = 10.0 ** np.floor(np.log10(rough))
    return float(next(power * unit for unit in (1, 2, 2.5, 5, 10) if power * unit >= rough * 0.999))
