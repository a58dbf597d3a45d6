"""Running containers measured, by load or by their own counters, and whole co-locations out of these."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cluster.images.catalog import Workload
from cluster.load.generator import LoadResult, Target, load_from
from cluster.load.scoring import combine, implausible, refusal
from cluster.provision.inventory import Host
from cluster.settings import LoadSettings
from cluster.spec import Container
from metis.errors import SurroundingsError
from metis.measure.profile import MEASURES, make_profile
from metis.operate.watch import LiveMeasurement
from metis.problem.counts import IntArray
from metis.problem.space import ColocationSpace

if TYPE_CHECKING:
    from cluster.backend import Backend

Results = Mapping[
    str, LoadResult | str
]  # by name of the container; a string says why there is none that counts
Source = Callable[[Sequence[Container]], Results]

MOST_TARGETS = 400  # of one Locust process, whose targets must fit an environment variable
SCRAPER = Path(__file__).with_name("scraper.py")
SCRAPE_TIMEOUT = 60.0
METRICS = "/metrics"


def target_of(container: Container, workload: Workload, settings: LoadSettings) -> Target:
    """A container as a target of load; users and limit of the application prevail over the settings."""
    return Target(
        name=container.name,
        url=f"{container.origin}{workload.path}",
        users=workload.users or settings.users,
        sla=settings.sla if workload.sla is None else workload.sla,
        timeout=settings.timeout,
    )


class LoadMeasurement:
    """Measures containers by load, as profiling does; the load comes on top of whatever else they get.

    Args:
        backend: of the cluster; every client sends a share of the load.
        workloads: of the applications.
        settings: of the load.
        image: tag or id of the load image on the clients.
        at_once: nodes loaded at a time; None for all. Nodes that share a processor disturb one another.
        session: by which what is left of an interrupted load is found.
    """

    def __init__(
        self,
        backend: "Backend",
        workloads: Iterable[Workload],
        settings: LoadSettings,
        image: str,
        at_once: int | None = None,
        session: str = "live",
    ) -> None:
        self._backend = backend
        self._workloads = {one.name: one for one in workloads}
        self._settings = settings
        self._image = image
        self._at_once = at_once
        self._session = session

    def __call__(self, containers: Sequence[Container]) -> Results:
        """What each of the containers reached, by name, or why it does not count."""
        clients = self._backend.inventory.clients
        nodes = list(dict.fromkeys(one.node for one in containers))
        found: dict[str, LoadResult | str] = {}
        for chosen in chunks(nodes, containers, self._at_once, MOST_TARGETS * len(clients)):
            shares: dict[str, list[Target]] = {client.name: [] for client in clients}
            for i, node in enumerate(chosen):
                here = [one for one in containers if one.node == node]
                targets = [target_of(one, self._workloads[one.app], self._settings) for one in here]
                shares[clients[i % len(clients)].name] += targets
            loading = [(client, shares[client.name]) for client in clients if shares[client.name]]
            with ThreadPoolExecutor(max_workers=len(loading)) as pool:
                for results in pool.map(lambda pair: self._load(*pair), loading):
                    found |= results
        return scored(found, self._settings.most_failures)

    def _load(self, client: Host, targets: Sequence[Target]) -> dict[str, LoadResult]:
        return load_from(self._backend, client, targets, self._settings, self._image, self._session)


def chunks(
    nodes: Sequence[str], containers: Sequence[Container], at_once: int | None, most: int
) -> list[list[str]]:
    """Nodes in turns: at most `at_once`, and at most `most` containers, but at least one node."""
    held = {node: sum(one.node == node for one in containers) for node in nodes}
    turns: list[list[str]] = []
    for node in nodes:
        full = not turns or len(turns[-1]) == at_once
        if full or sum(held[other] for other in turns[-1]) + held[node] > most:
            turns.append([])
        turns[-1].append(node)
    return turns


class CounterMeasurement:
    """Measures containers by their own counters, read twice; adds no load.

    What they reach so is what clients requested of them. It is comparable with a profile only where clients
    keep them as busy as profiling did.

    Args:
        backend: of the cluster; the first client reads.
        settings: of the load; its `duration` lies between the two readings.
    """

    def __init__(self, backend: "Backend", settings: LoadSettings) -> None:
        self._backend = backend
        self._settings = settings

    def __call__(self, containers: Sequence[Container]) -> Results:
        """What each of the containers reached, by name, or why it does not count."""
        client, seconds = self._backend.inventory.clients[0], self._settings.duration
        urls = [f"{one.origin}{METRICS}" for one in containers]
        script = f"{SCRAPER.read_text(encoding='utf-8')}\nmain({json.dumps(urls)}, {seconds!r})\n"
        read = json.loads(self._backend.run_script(client, script, SCRAPE_TIMEOUT + 2 * seconds))
        rates = {one.name: _rate(*read[url]) for one, url in zip(containers, urls, strict=True)}
        return scored(rates, self._settings.most_failures)


def scored(found: Results, most_failures: float) -> Results:
    """Results that count, and why others do not; see `cluster.load.scoring.refusal`."""
    return {
        name: one if isinstance(one, str) else refusal(one, most_failures) or one
        for name, one in found.items()
    }


def _rate(before: Mapping[str, Any], after: Mapping[str, Any]) -> LoadResult | str:
    """RPS between two readings, or why there is none."""
    for reading in (before, after):
        if reading.get("error"):
            return str(reading["error"])
    seconds = float(after["at"] - before["at"])
    requests = int(after["requests"] - before["requests"])
    failures = int(after["failures"] - before["failures"])
    if requests < 0 or failures < 0:
        return "was started anew between two readings of its counters"
    nan = float("nan")
    return LoadResult((requests - failures) / seconds, nan, nan, requests, failures, seconds)


def live_profile(
    space: ColocationSpace,
    nodes: Sequence[str],
    running: IntArray,
    containers: Sequence[Container],
    results: Results,
    alone: Mapping[str, float],
) -> LiveMeasurement:
    """Measurements of whole co-locations, from the results of single containers.

    A node with a container that has no result that counts is left out, with the reason: its co-location is
    not the one that was meant. Several nodes of one co-location give its median.

    Args:
        space: applications and slots.
        nodes: names, in the order of the rows of `running`.
        running: what runs, int [nodes, apps].
        containers: all that were measured.
        results: of each of them, by name.
        alone: RPS of one container of each application alone on a node, when it was profiled.

    Raises:
        SurroundingsError: an application has no stand-alone RPS to compare with.
    """
    missing = [app for app in space.apps if not alone.get(app, 0) > 0]
    if missing:
        raise SurroundingsError(
            f"the profile has no stand-alone RPS of {missing[0]}: only one measured on a live cluster does"
        )
    by_node = {node: [one for one in containers if one.node == node] for node in nodes}
    rows, measures, silent, places = [], [], {}, []
    for place, (node, counts) in enumerate(zip(nodes, running, strict=True)):
        if not by_node[node]:
            continue
        found = _node(space, counts, by_node[node], results, alone)
        if isinstance(found, str):
            silent[node] = found
        else:
            rows.append(counts)
            measures.append(found)
            places.append(place)
    shape = (-1, len(space.apps))
    columns = {name: np.array([one[name] for one in measures]).reshape(shape) for name in MEASURES}
    counts = np.array(rows, dtype=np.int64).reshape(shape)
    source = {"source": "live"}
    single = {
        place: make_profile(
            space.apps,
            space.slots,
            counts[i : i + 1],
            {name: values[i : i + 1] for name, values in columns.items()},
            source,
        )
        for i, place in enumerate(places)
    }
    return LiveMeasurement(make_profile(space.apps, space.slots, counts, columns, source), silent, single)


def _node(
    space: ColocationSpace,
    counts: IntArray,
    containers: Sequence[Container],
    results: Results,
    alone: Mapping[str, float],
) -> dict[str, list[float]] | str:
    """Measures per application of one node, or why there are none."""
    measured: dict[str, list[float]] = {name: [float("nan")] * len(space.apps) for name in MEASURES}
    for column, app in enumerate(space.apps):
        counted = []
        for one in (one for one in containers if one.app == app):
            result = results.get(one.name, "was not measured")
            wrong = result if isinstance(result, str) else implausible(result.rps, alone[app])
            if isinstance(result, str) or wrong:
                return f"{app} in slot {one.slot}: {wrong}"
            counted.append(result)
        if len(counted) != counts[column]:
            return f"{len(counted)} of {counts[column]} containers of {app} run"
        if counted:
            for name, value in combine(counted).items():
                measured[name][column] = value / (alone[app] if name == "rps" else 1.0)
    return measured
