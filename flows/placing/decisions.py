"""Decisions of a scheduler for groups: made one after another, saved and loaded."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from baselines.contract import Materials, WideMaterials
from baselines.registry import make_scheduler, make_wide_scheduler, sections_of, timed_place
from flows.configuration.objects import make_cluster
from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.work import TIMINGS, read_json
from metis.errors import InputError
from metis.files import load_arrays, save_arrays, written_whole
from metis.inputs.archives import MAX_BYTES
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.oracle import Oracle, worth_of
from metis.problem.placement_files import named_nodes
from metis.problem.scheduler import Decision, Scheduler
from metis.problem.tables import Tables
from metis.problem.worth import Worth

FILE, TRACES = "decisions.npz", "traces.json"
Report = Callable[[float, int, str], None]
REPORT_AFTER, REPORT_EVERY = 1.0, 0.5  # seconds: quick decisions pay nothing for what is reported midway


@dataclass(frozen=True)
class Decisions:
    """The decisions of one scheduler, one per group.

    Attributes:
        placements: int [groups, nodes, apps], new containers.
        seconds: wall time of each decision after one warm-up, [groups].
        cpu_seconds: CPU time of the process meanwhile, all its threads, [groups].
        traces: further results of the scheduler, such as a bound, per group.
    """

    placements: IntArray
    seconds: FloatArray
    cpu_seconds: FloatArray
    traces: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, made: Sequence[Decision]) -> "Decisions":
        """Return single decisions, one per group, together."""
        return cls(
            np.stack([decision.placement for decision in made]),
            np.array([decision.seconds for decision in made]),
            np.array([decision.cpu_seconds for decision in made]),
            [decision.trace for decision in made],
        )

    @classmethod
    def joined(cls, parts: "Sequence[Decisions]") -> "Decisions":
        """Return the decisions for groups that were placed in parts, in order."""
        return cls(
            np.concatenate([part.placements for part in parts]),
            np.concatenate([part.seconds for part in parts]),
            np.concatenate([part.cpu_seconds for part in parts]),
            [trace for part in parts for trace in part.traces],
        )

    def save(
        self, folder: Path, groups: IntArray, apps: Sequence[str], before: Mapping[str, Any] | None = None
    ) -> None:
        """Write placements and traces, and the seconds beside them.

        Args:
            folder: of the step.
            groups: int [groups, apps].
            apps: their names.
            before: what ran before, as `before_placing` returns it.
        """
        arrays = {"placements": self.placements, "groups": groups, "apps": list(apps), **(before or {})}
        save_arrays(folder / FILE, arrays)
        kept = [{k: v for k, v in trace.items() if not _differs(k)} for trace in self.traces]
        with written_whole(folder / TRACES) as file:
            file.write(json.dumps(kept, indent=1, sort_keys=True).encode())
        rows = [f"{s!r},{c!r}" for s, c in zip(self.seconds.tolist(), self.cpu_seconds.tolist(), strict=True)]
        with written_whole(folder / TIMINGS) as file:
            file.write("\n".join(["seconds,cpu_seconds", *rows, ""]).encode())

    @classmethod
    def load(cls, folder: Path) -> "Decisions":
        """Read what `save` wrote."""
        stored = load_arrays(folder / FILE)
        timings = np.loadtxt(folder / TIMINGS, delimiter=",", skiprows=1, ndmin=2)
        return cls(stored["placements"], timings[:, 0], timings[:, 1], read_json(folder / TRACES))


def _differs(name: str) -> bool:
    """Whether a part of a trace differs each time: seconds, and learning curves, which hold some."""
    return name.endswith("seconds") or name == "curve"


def scheduler_for(
    settings: Settings,
    name: str,
    known: Tables | Oracle,
    weights: Callable[[str], Any] | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Callable[[Mapping[str, Any]], None] | None = None,
) -> Scheduler:
    """Return the scheduler called `name` under these settings.

    Args:
        settings: of the run.
        name: of the scheduler.
        known: the simulator's tables, or an oracle where co-locations are too many for them.
        weights: gives the trained weights of a learner by its name.
        options: sections of settings that replace those of `settings`.
        progress: receives what a scheduler that takes its time knows midway.
    """
    tables = known if isinstance(known, Tables) and not settings.stated else None
    sections = sections_of(name, wide=tables is None)
    if "learn" in sections:
        open_device(settings)
    given = options or {}
    chosen = {s: given[s] if s in given else getattr(settings, s) for s in sections}
    if tables is None:
        return make_wide_scheduler(name, WideMaterials(chosen, progress, weights))
    return make_scheduler(name, Materials(tables, chosen, weights, progress))


def open_device(settings: Settings) -> None:
    """Start TensorFlow on the device asked for, before any clock runs, and say where it has none such."""
    from metis.learn.paper.device import open_tensorflow

    asked = settings.learn.device
    used = open_tensorflow(asked)
    if used != asked:
        say(f"learn.device={asked}: TensorFlow sees no GPU here; learning on the {used.upper()}")


def place_groups(
    scheduler: Scheduler,
    settings: Settings,
    known: Tables | Oracle,
    groups: IntArray,
    midway: "Midway | None" = None,
    *,
    timed: bool = True,
) -> Decisions:
    """Place each of `groups` [groups, apps] on the same cluster; where `timed`, the first one warms up.

    With `groups.arrive` they come one after another, and what was placed before stays.
    """
    cluster = make_cluster(settings, known.space)
    refuse_too_many(len(groups), cluster)
    objective = settings.objective
    made: list[Decision] = []
    for i, group in enumerate(groups):
        worth = worth_of(objective, group, cluster, known)
        if midway:
            midway.begin(i, len(groups), group, cluster, worth)
        place = partial(timed_place, scheduler) if timed and not i else scheduler.place
        made.append(place(group, cluster, worth))
        if settings.groups.arrive:
            cluster = replace(cluster, existing=cluster.existing + made[-1].placement)
        if midway:
            midway.end(i + 1, len(groups))
    return Decisions.of(made)


class Midway:
    """Reports midway: the share of all groups that is placed, and the ratio of the best to the bound."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._done, self._groups = 0, 1
        self._since = time.monotonic()
        self._bound: Callable[[], float] = lambda: 0.0

    def begin(
        self, done: int, groups: int, group: IntArray, cluster: Cluster, worth: FloatArray | Worth
    ) -> None:
        """Report that one more group is being placed."""
        self._done, self._groups, self._since = done, groups, time.monotonic() + REPORT_AFTER

        @cache
        def bound() -> float:
            from metis.program.relaxation import relax

            return relax(worth, group, cluster).bound if isinstance(worth, np.ndarray) else 0.0

        self._bound = bound
        self._report(done, groups, "")

    def end(self, done: int, groups: int) -> None:
        """Report that `done` groups are placed."""
        self._report(done, groups, "")

    def __call__(self, row: Mapping[str, Any]) -> None:
        """Report an event of the scheduler, if it is time."""
        if time.monotonic() < self._since:
            return
        self._since = time.monotonic() + REPORT_EVERY
        best, bound = row.get("best", row.get("value")), row.get("bound")
        bound = self._bound() if bound is None else bound
        known = f", {best / bound:.2%} of the bound" if best is not None and bound > 0 else ""
        self._report(self._done + row.get("share", 0.0), self._groups, known)


def before_placing(settings: Settings, known: Tables | Oracle) -> dict[str, Any]:
    """Return the containers that ran before, int [nodes, apps], and their nodes' names; empty without any.

    A plan by the id of a run holds them, too: deployed without them, it would stop them.
    """
    cluster = make_cluster(settings, known.space)
    if cluster.empty:
        return {}
    named = named_nodes(Path(settings.existing or ""), known.space.apps)
    if cluster.stated is not None and (settings.problem or settings.cluster.types):
        named = cluster.stated.nodes  # in whose order it is
    return {"existing": cluster.existing, **({"nodes": list(named)} if named else {})}


def refuse_too_many(groups: int, cluster: Cluster) -> None:
    """Refuse groups whose placements no machine holds at once.

    Raises:
        InputError: says how much they would take, and of what.
    """
    size = groups * cluster.existing.nbytes
    if size > MAX_BYTES:
        raise InputError(
            f"{groups:,} groups on {cluster.nodes:,} nodes: their placements take {size:,} bytes, at most "
            f"{MAX_BYTES:,} are held; give fewer groups"
        )


def cluster_before(decided: Decisions, i: int, settings: Settings, known: Tables | Oracle) -> Cluster:
    """Return the cluster that group i met: where groups arrive, with those placed before it."""
    start = make_cluster(settings, known.space)
    if not settings.groups.arrive:
        return start
    return replace(start, existing=start.existing + decided.placements[:i].sum(axis=0))
