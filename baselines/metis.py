"""Schedulers of the value learner: the whole cluster filled at once, or a group dealt to sub-clusters."""

from collections.abc import Callable

from baselines.contract import Entry, Materials, improved
from baselines.local_search import IMPROVER
from metis.learn.value.scheduler import HighLevel, ValueScheduler
from metis.learn.value.settings import DecodeSettings
from metis.problem.scheduler import PlaceFunction


def _build(highlevel: HighLevel) -> Callable[[Materials], PlaceFunction]:
    """Return the function that builds the value learner's scheduler with this high level."""

    def build(materials: Materials) -> PlaceFunction:
        decode = materials.settings("decode", DecodeSettings)
        return ValueScheduler(materials.trained("value"), highlevel, decode).arrange

    return build


def _build_best(materials: Materials) -> PlaceFunction:
    """Fill the whole cluster at once, then search locally: the best of ours."""
    return improved(_build("flat")(materials), IMPROVER.build(materials))


SCHEDULER = Entry(_build_best, ("decode", *IMPROVER.sections), learner="value", learns=True)
FLAT = Entry(_build("flat"), ("decode",), learner="value", learns=True)
DEAL = Entry(_build("deal"), ("decode",), learner="value", learns=True)
LEARNED = Entry(_build("learned"), ("decode",), learner="value", learns=True)
