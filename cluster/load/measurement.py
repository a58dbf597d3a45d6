"""What running containers reach now: by load of ours, or by their own counters, as measurements."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cluster.images.catalog import Workload
from cluster.load.generator import Answer, Target, load_from
from cluster.provision.inventory import Host
from cluster.settings import LoadSettings
from cluster.swarm.services import Container
from metis.errors import SurroundingsError
from metis.measure.profile import MEASURES, make_profile
from metis.operate.watch import Live
from metis.problem.counts import IntArray
from metis.problem.space import ColocationSpace

if TYPE_CHECKING:
    from cluster.provision.hosts import Fleet

Heard = Mapping[str, Answer | str]  # by service: what it reached, or why nobody knows
Source = Callable[[Sequence[Container]], Heard]

MOST_TARGETS = 400  # of one Locust process, whose plan must fit an environment variable
MOST_RPS = 20.0  # normalised; what claims more is a mistake, not a measurement
SCRAPER = Path(__file__).with_name("scraper.py")
SCRAPE_TIMEOUT = 60.0
METRICS = "/metrics"


def target_of(container: Container, workload: Workload, settings: LoadSettings) -> Target:
    """A container as a target of load: users and limit are the application's own where it has them."""
    sla = settings.sla if workload.sla is None else workload.sla
    users = workload.users or settings.users
    url = f"{container.origin}{workload.path}"
    return Target(container.service, url, users=users, sla=sla, timeout=settings.timeout)


class ByLoad:
    """Measures containers by load, as when profiling; the load comes on top of whatever else they get.

    Args:
        fleet: the hosts; every client sends a share of the load.
        workloads: of the applications.
        settings: of the load.
        image: tag of the load image on the clients.
        at_once: nodes loaded at a time; None for all. Nodes that share a processor disturb one another.
        session: by which what is left of an interrupted load is found.
    """

    def __init__(
        self,
        fleet: "Fleet",
        workloads: Iterable[Workload],
        settings: LoadSettings,
        image: str,
        at_once: int | None = None,
        session: str = "live",
    ) -> None:
        self._fleet = fleet
        self._workloads = {one.name: one for one in workloads}
        self._settings = settings
        self._image = image
        self._at_once = at_once
        self._session = session

    def __call__(self, containers: Sequence[Container]) -> Heard:
        """What each of the containers reached, by service."""
        clients = self._fleet.inventory.clients
        nodes = list(dict.fromkeys(one.node for one in containers))
        heard: dict[str, Answer | str] = {}
        for chosen in _chunks(nodes, containers, self._at_once, MOST_TARGETS * len(clients)):
            shares: dict[str, list[Target]] = {client.name: [] for client in clients}
            for i, node in enumerate(chosen):
                share = shares[clients[i % len(clients)].name]
                for one in containers:
                    if one.node == node:
                        share.append(target_of(one, self._workloads[one.app], self._settings))
            asked = [client for client in clients if shares[client.name]]
            for answers in self._fleet.each(asked, lambda client, s=shares: self._load(client, s)).values():  # type: ignore[misc]
                heard |= answers
        return heard

    def _load(self, client: Host, shares: Mapping[str, Sequence[Target]]) -> dict[str, Answer]:
        share = shares[client.name]
        return load_from(self._fleet, client, share, self._settings, self._image, self._session)


def _chunks(
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


class ByMetrics:
    """Measures containers by their own counters, read twice: adds no load.

    What they reach so is what they were asked for; it is comparable with a profile only where clients keep
    them as busy as profiling did.

    Args:
        fleet: the hosts; the first client reads.
        seconds: between the two readings.
    """

    def __init__(self, fleet: "Fleet", seconds: float) -> None:
        self._fleet = fleet
        self._seconds = seconds

    def __call__(self, containers: Sequence[Container]) -> Heard:
        """What each of the containers reached, by service."""
        client = self._fleet.inventory.clients[0]
        urls = [f"{one.origin}{METRICS}" for one in containers]
        script = f"{SCRAPER.read_text(encoding='utf-8')}\nmain({json.dumps(urls)}, {self._seconds!r})\n"
        timeout = SCRAPE_TIMEOUT + 2 * self._seconds
        told = json.loads(self._fleet.run(client, "python3 -", stdin=script, timeout=timeout))
        return {one.service: _rate(*told[url]) for one, url in zip(containers, urls, strict=True)}


def _rate(before: Mapping[str, Any], after: Mapping[str, Any]) -> Answer | str:
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
    return Answer((requests - failures) / seconds, nan, nan, requests, failures, seconds)


def live_profile(
    space: ColocationSpace,
    nodes: Sequence[str],
    running: IntArray,
    containers: Sequence[Container],
    heard: Heard,
    alone: Mapping[str, float],
    most_failures: float = 0.5,
) -> Live:
    """Measurements of whole co-locations out of what single containers reached.

    A node of which any container is not known says nothing: what it holds is then not what was meant.
    Several nodes of one co-location give its median, several containers of one application on a node their
    mean.

    Args:
        space: applications and slots.
        nodes: names, one per row of `running`.
        running: what runs, int [nodes, apps].
        containers: all that were asked.
        heard: what each of them reached, by service.
        alone: RPS of one container of each application alone on a node, when it was profiled.
        most_failures: share of failed requests above which a container counts as not known.

    Raises:
        SurroundingsError: an application has no stand-alone RPS to compare with.
    """
    missing = [app for app in space.apps if not alone.get(app, 0) > 0]
    if missing:
        raise SurroundingsError(
            f"the profile has no stand-alone RPS of {missing[0]}: only one measured on a live cluster does"
        )
    by_node = {node: [one for one in containers if one.node == node] for node in nodes}
    rows, measures, silent = [], [], {}
    for node, counts in zip(nodes, running, strict=True):
        if not by_node[node]:
            continue
        told = _node(space, counts, by_node[node], heard, alone, most_failures)
        if isinstance(told, str):
            silent[node] = told
        else:
            rows.append(counts)
            measures.append(told)
    shape = (-1, len(space.apps))
    columns = {name: np.array([one[name] for one in measures]).reshape(shape) for name in MEASURES}
    counts = np.array(rows, dtype=np.int64).reshape(shape)
    return Live(make_profile(space.apps, space.slots, counts, columns, {"source": "live"}), silent)


def _node(
    space: ColocationSpace,
    counts: IntArray,
    containers: Sequence[Container],
    heard: Heard,
    alone: Mapping[str, float],
    most_failures: float,
) -> dict[str, list[float]] | str:
    """Measures per application of one node, or why there are none."""
    measured: dict[str, list[float]] = {name: [float("nan")] * len(space.apps) for name in MEASURES}
    for column, app in enumerate(space.apps):
        answers = []
        for one in (one for one in containers if one.app == app):
            answer = heard.get(one.service, "was not measured")
            wrong = answer if isinstance(answer, str) else _absurd(answer, alone[app], most_failures)
            if isinstance(answer, str) or wrong:
                return f"{app} in slot {one.slot}: {wrong}"
            answers.append(answer)
        if len(answers) != counts[column]:
            return f"{len(answers)} of {counts[column]} containers of {app} run"
        if answers:
            for name in MEASURES:
                values = [float(getattr(one, name)) for one in answers]
                # as when profiling: requests are counted together, what a container reaches is averaged
                together = np.sum if name in ("requests", "failures") else np.mean
                measured[name][column] = float(together(values)) / (alone[app] if name == "rps" else 1.0)
    return measured


def _absurd(answer: Answer, alone: float, most_failures: float) -> str:
    if answer.requests and answer.failures > most_failures * answer.requests:
        return f"{answer.failures} of {answer.requests} requests failed ({answer.error or 'no reason told'})"
    if not 0 < answer.rps <= MOST_RPS * alone:
        return f"reached {answer.rps:g} requests/s, alone it reached {alone:g}"
    return ""
