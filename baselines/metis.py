"""Schedulers of our learners: the value learner's, and columns by learned prices.

The value learner fills the whole cluster at once, or deals a group to sub-clusters. Where co-locations are
too many to tabulate, a network predicts prices, by which columns are searched.
"""

from collections.abc import Callable
from functools import partial

from baselines.columns import ColumnsSettings, place_columns
from baselines.contract import Entry, Materials, WideMaterials, improved
from baselines.local_search import IMPROVER
from metis.learn.value.scheduler import HighLevel, ValueScheduler
from metis.learn.value.settings import DecodeSettings
from metis.problem.scheduler import PlaceFunction, WidePlaceFunction


def _build(highlevel: HighLevel) -> Callable[[Materials], PlaceFunction]:
    """Return the function that builds the value learner's scheduler with this high level."""

    def build(materials: Materials) -> PlaceFunction:
        decode = materials.settings("decode", DecodeSettings)
        return ValueScheduler(materials.trained("value"), highlevel, decode).arrange

    return build


def _build_best(materials: Materials) -> PlaceFunction:
    """Fill the whole cluster at once, then search locally: the best of ours."""
    return improved(_build("flat")(materials), IMPROVER.build(materials))


def _build_wide(materials: WideMaterials) -> WidePlaceFunction:
    """Search columns by the prices that a network predicts."""
    chosen = materials.settings("columns", ColumnsSettings)
    predict = materials.trained("prices").prices
    return partial(place_columns, settings=chosen, progress=materials.progress, predict=predict)


SCHEDULER = Entry(
    _build_best,
    ("decode", *IMPROVER.sections),
    learner="value",
    learns=True,
    wide=_build_wide,
    wide_sections=("columns",),
    wide_learner="prices",
)
FLAT = Entry(_build("flat"), ("decode",), learner="value", learns=True)
DEAL = Entry(_build("deal"), ("decode",), learner="value", learns=True)
LEARNED = Entry(_build("learned"), ("decode",), learner="value", learns=True)
