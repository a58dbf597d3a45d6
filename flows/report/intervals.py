"""Paired 95 % intervals over groups, by Student's t."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from metis.measure.intervals import ALONE, LEVEL, TIE, Interval, interval
from metis.simulate.simulator import error_of

__all__ = ["ALONE", "LEVEL", "TIE", "Interval", "interval", "lead", "predicted", "predicted_lead"]
DRAWN = "drawn_"  # columns of results: the value, were a draw of the simulator's belief true


def lead(results: pd.DataFrame, one: str, other: str, column: str) -> Interval:
    """Return by how much the scheduler `one` exceeds `other`, as a share of the mean of `other`.

    The interval is paired: over the differences, group by group, of the groups that both placed.

    Args:
        results: one row per scheduler and group, see `flows.report.data.ReportData`.
        one: a scheduler.
        other: the scheduler that it is compared with.
        column: of `results`, for instance `true_value`.
    """
    table = results.pivot(index="group", columns="scheduler", values=column)
    if one not in table or other not in table:
        return interval([])
    both = table[[one, other]].dropna()
    scale = abs(float(both[other].mean())) if len(both) else 0.0
    if not scale > 0:
        return interval([])  # there is no share of nothing
    return interval((both[one] - both[other]) / scale)


def predicted(results: pd.DataFrame, name: str) -> Interval:
    """Return the predicted value of a scheduler, mean over groups, with the simulator's own error.

    Its half width says how wrong the simulator may be, not how groups differ; NaN where it does not know.
    """
    mine = results[results["scheduler"] == name]
    return _over_draws(float(mine["value"].mean()), mine[drawn_columns(results)].mean().to_numpy())


def predicted_lead(results: pd.DataFrame, one: str, other: str) -> Interval:
    """Return by how much `one` is predicted to exceed `other`, with the simulator's own error.

    Both are valued on the same draws, so that an error which both placements share does not count. Over the
    groups that both placed; see `lead` for the arguments.
    """
    found = lead(results, one, other, "value")
    drawn = drawn_columns(results)
    shared = set.intersection(*(set(results["group"][results["scheduler"] == name]) for name in (one, other)))
    both = results[results["group"].isin(list(shared))]
    first, second = (both[both["scheduler"] == name][drawn].mean().to_numpy() for name in (one, other))
    scale = np.where(second == 0, np.nan, np.abs(second))
    return _over_draws(found.mean, (first - second) / scale)


def drawn_columns(results: pd.DataFrame) -> list[str]:
    """Return the columns of values under draws of the simulator's belief; none where it has no draws."""
    return [str(name) for name in results.columns if str(name).startswith(DRAWN)]


def _over_draws(mean: float, drawn: ArrayLike) -> Interval:
    numbers = np.asarray(drawn, dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    return Interval(mean, error_of(numbers), len(numbers))
