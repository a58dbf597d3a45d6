"""The contract between registry and schedulers: what a scheduler's file exports and is built from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.scheduler import Placed, PlaceFunction, WidePlaceFunction
from metis.problem.tables import Tables
from metis.problem.worth import Worth

Chosen = TypeVar("Chosen")

# called with what is known midway: `share` of the work done (0 to 1), `value` of the best placement so far
Progress = Callable[[Mapping[str, Any]], None]
ImproveFunction = Callable[[IntArray, Cluster, FloatArray], Placed]
WideImproveFunction = Callable[[IntArray, Cluster, Worth], Placed]
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Materials:
    """Materials that a scheduler may need beside group, cluster and worth.

    Attributes:
        tables: the simulator's tables.
        options: settings objects by section, such as `{"medea": MedeaSettings(draws=0)}`; a section that
            is missing has its defaults.
        weights: returns the trained weights of a learner (`value`: ValueWeights, `paper`: SubSchedulers).
        progress: receives what a scheduler that takes its time knows midway; None for none.
    """

    tables: Tables
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: Callable[[str], Any] | None = None
    progress: Progress | None = None

    def settings(self, section: str, kind: type[Chosen]) -> Chosen:
        """Return the settings of a section, of class `kind`; its defaults where none are given.

        Raises:
            InputError: the options hold something else under this name.
        """
        return settings_of(self.options, section, kind)

    def trained(self, learner: str) -> Any:
        """Return the trained weights of `learner`.

        Raises:
            InputError: these materials hold no weights.
        """
        return trained_by(self.weights, learner)


@dataclass(frozen=True)
class WideMaterials:
    """Materials of a scheduler where co-locations are too many to tabulate.

    Attributes:
        options: settings objects by section; a section that is missing has its defaults.
        progress: receives what a scheduler that takes its time knows midway; None for none.
        weights: returns the trained weights of a learner (`prices`: PriceWeights).
    """

    options: Options = field(default_factory=dict)
    progress: Progress | None = None
    weights: Callable[[str], Any] | None = None

    def settings(self, section: str, kind: type[Chosen]) -> Chosen:
        """Return the settings of a section; see `Materials.settings`."""
        return settings_of(self.options, section, kind)

    def trained(self, learner: str) -> Any:
        """Return the trained weights of `learner`; see `Materials.trained`."""
        return trained_by(self.weights, learner)


def trained_by(weights: Callable[[str], Any] | None, learner: str) -> Any:
    """Return the trained weights of `learner`.

    Raises:
        InputError: the materials hold no weights.
    """
    if weights is None:
        raise InputError(f"this scheduler needs trained weights: give Materials.weights for {learner!r}")
    return weights(learner)


def settings_of(options: Options, section: str, kind: type[Chosen]) -> Chosen:
    """Return the settings of a section, of class `kind`; its defaults where none are given.

    Raises:
        InputError: the options hold something else under this name.
    """
    chosen = options.get(section)
    if chosen is None:
        return kind()
    if not isinstance(chosen, kind):
        raise InputError(f"options[{section!r}] is a {type(chosen).__name__}: give a {kind.__name__}")
    return chosen


@dataclass(frozen=True)
class Entry:
    """A scheduler as its file exports it: how it is built and what it reads.

    Attributes:
        build: makes the place function.
        sections: sections of settings that it reads.
        learner: whose trained weights it needs, `value` or `paper`; None for no training beforehand.
        learns: whether it learns at all, be it for each group anew.
        wide: makes the place function for spaces too large to tabulate; None where it needs a table.
        wide_sections: sections of settings that it reads there.
        wide_learner: whose trained weights it needs there, `prices`; None for no training beforehand.
    """

    build: Callable[[Materials], PlaceFunction]
    sections: tuple[str, ...] = ()
    learner: str | None = None
    learns: bool = False
    wide: Callable[[WideMaterials], WidePlaceFunction] | None = None
    wide_sections: tuple[str, ...] = ()
    wide_learner: str | None = None


@dataclass(frozen=True)
class Improver:
    """An improvement that may follow a scheduler after `+`, as its file exports it.

    Attributes:
        build: makes the function that improves a placement [nodes, apps] of new containers.
        sections: sections of settings that it reads.
        wide: makes the same for spaces too large to tabulate.
    """

    build: Callable[[Materials], ImproveFunction]
    sections: tuple[str, ...] = ()
    wide: Callable[[WideMaterials], WideImproveFunction] | None = None


def improved(
    place: Callable[[IntArray, Cluster, Any], Placed], improve: Callable[[IntArray, Cluster, Any], Placed]
) -> Callable[[IntArray, Cluster, Any], Placed]:
    """Return a place function that runs `place`, then `improve` on its placement; both traces are joined."""

    def place_and_improve(group: IntArray, cluster: Cluster, worth: Any) -> Placed:
        placement, trace = place(group, cluster, worth)
        better, steps = improve(placement, cluster, worth)
        return better, {**trace, **steps}

    return place_and_improve
