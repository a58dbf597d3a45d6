"""Metis as published (SC 2020): a high level learned for each group over frozen sub-schedulers."""

from baselines.contract import Entry, Materials
from metis.learn.paper.high_level import HighLevelSettings, PaperScheduler
from metis.problem.scheduler import PlaceFunction


def _build(materials: Materials) -> PlaceFunction:
    settings = materials.settings("highlevel", HighLevelSettings)
    return PaperScheduler(materials.trained("paper"), settings, progress=materials.progress)


SCHEDULER = Entry(_build, ("highlevel", "learn"), learner="paper", learns=True)
