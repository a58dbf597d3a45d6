"""Placements tried on a live cluster: deployed and loaded; in the end what ran before runs again."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cluster.load.run import circumstances_of
from flows.engine.console import say
from flows.live.rebalancing import under_way
from flows.live.session import LiveSession
from flows.live.state import TRIAL, cluster_state
from metis.errors import InputError, MetisError, SurroundingsError
from metis.files import written_whole
from metis.measure.circumstances import Circumstances, disturbance
from metis.operate.trial_journal import Load
from metis.problem.counts import IntArray
from metis.wording import amount

if TYPE_CHECKING:
    from cluster.deployment import Change
    from cluster.host_counters import HostCounters
    from cluster.load.generator import LoadResult
    from cluster.spec import Container

Held = dict[str, dict[int, str]]  # application by slot, by node


@dataclass
class LiveSite:
    """Placements tried in place of what a deployment runs; see `metis.operate.trial_rounds.Site`.

    Attributes:
        session: the live cluster, kept from others.
        note: receives what is changed now, in words.
    """

    session: LiveSession
    note: Callable[[str], None] = lambda words: None

    def deploy(self, placement: IntArray) -> int:
        """Start and stop what differs from what runs, on all nodes at once; return how many are started."""
        changes = self.session.plan(placement)
        self._refuse(changes)
        return self._carry_out(changes, len(self.session.nodes), self.note)

    def fits(self, placement: IntArray) -> None:
        """Refuse a placement that this cluster has no room for as it is.

        Raises:
            InputError: says what stands against it.
        """
        against = self.session.obstacles(self.session.plan(placement))
        if against:
            raise InputError(f"{'; '.join(against)}; nothing was changed")

    def measure(self) -> Load:
        """Load all that runs, and read the counters of its nodes before and after."""
        return self._measured(self.session.standing())

    def alone(self, app: str) -> Load:
        """Load one container of an application alone on a node; other nodes keep what runs there, unloaded.

        The node is the one on which the fewest containers are started and stopped for it.
        """
        runs, column = self.session.placement(), self.session.space.apps.index(app)
        kept = np.minimum(runs[:, column], 1)
        node = int(np.argmin(runs.sum(axis=1) - 2 * kept))
        runs[node] = 0
        runs[node, column] = 1
        self.deploy(runs)
        name = self.session.nodes[node]
        return self._measured([one for one in self.session.standing() if one.node == name])

    def _measured(self, standing: "Sequence[Container]") -> Load:
        before = self._counters()
        results = self.session.source("load")(standing)
        after = self._counters()
        for one in standing:
            result = results.get(one.name, "was not loaded")
            if isinstance(result, str):
                raise SurroundingsError(f"{one.where}, under load: {result}")
        known: dict[str, LoadResult] = {
            name: one for name, one in results.items() if not isinstance(one, str)
        }
        return _load(
            [(one.node, one.slot, one.app, known[one.name].rps) for one in standing],
            {node: circumstances_of(before[node], after[node], known) for node in before},
            self.session.settings.load.most_taken,
        )

    def put_back(self, held: Held) -> None:
        """Make what ran before run again, each container in its slot."""
        # not by `note`: a run that was interrupted ends at its next report, and this is to be done before
        self._carry_out(self.session.plan_back(held), self.session.settings.deploy.at_once, _said)

    def _refuse(self, changes: "Sequence[Change]") -> None:
        against = self.session.obstacles(changes)
        if against:
            raise SurroundingsError("; ".join(against))

    def _carry_out(self, changes: "Sequence[Change]", at_once: int, note: Callable[[str], None]) -> int:
        from cluster.deployment import carry_out

        def report(done: int, total: int, nodes: str) -> None:
            if nodes:
                note(f"changing {nodes}")

        carry_out(self.session.backend, changes, at_once, report)
        return sum(len(change.start) for change in changes)

    def _counters(self) -> "dict[str, HostCounters]":
        """Return the counters of every node; empty ones where a node does not say."""
        from cluster.host_counters import HostCounters
        from cluster.provision.inventory import Host

        backend = self.session.backend

        def read(host: Host) -> HostCounters:
            try:
                return backend.counters(host, self.session.name)
            except SurroundingsError:
                return HostCounters()

        hosts = backend.inventory.workers
        with ThreadPoolExecutor(max_workers=min(len(hosts), 16)) as pool:
            return dict(zip((host.name for host in hosts), pool.map(read, hosts), strict=True))


def _load(
    containers: Sequence[tuple[str, int, str, float]],
    beside: Mapping[str, Circumstances],
    most_taken: float,
) -> Load:
    """Return a load with what went on at the nodes meanwhile; the worst of it says whether it counts."""
    generator = next(iter(beside.values()), Circumstances())
    limit = Circumstances(generator=generator.generator, late=generator.late)
    saturated = disturbance(limit, min(most_taken, 0.99))
    why = ((node, disturbance(found, most_taken)) for node, found in beside.items())
    disturbed = next((f"{node}: {words}" for node, words in why if words), "")
    kept: dict[str, Any] = {node: found.as_dict() for node, found in beside.items()}
    return Load(tuple(containers), "" if saturated else disturbed, saturated, kept)


@contextmanager
def in_place_of(session: LiveSession, note: Callable[[str], None]) -> Iterator[LiveSite]:
    """Try placements within the block in place of what a deployment runs, which runs again at its end.

    What ran before is kept in a file until it runs again, so that a trial that was killed, or could not put
    it back, does so when it goes on.

    Args:
        session: the live cluster, kept from others.
        note: receives what is changed now, in words.

    Raises:
        InputError: what runs could not be put back.
        SurroundingsError: moves are under way, or what ran before does not start again.
    """
    settings = session.settings
    going = under_way(settings)
    if going:
        raise SurroundingsError(
            f"moves are under way here (wave {going.made + 1} of {len(going.steps)}): the command that began "
            "them goes on, with rebalance.back=true it takes them back"
        )
    session.backend.sweep_jobs(f"{session.name}-load")
    path = cluster_state(settings) / TRIAL
    held = _kept(path, session.name)
    if held is None:
        held = _stands(session)
        _keep(path, session.name, held)
    else:
        say("  a trial was stopped here: what ran before it runs again after this one")
    site = LiveSite(session, note)
    try:
        yield site
    finally:
        count = sum(map(len, held.values()))
        say(f"  putting back what ran before: {amount(count, 'container') if count else 'nothing'}")
        try:
            site.put_back(held)
        except MetisError as error:
            raise SurroundingsError(
                f"what ran before the trial does not run again: {error}; the same command tries again"
            ) from error
        path.unlink(missing_ok=True)


def _said(words: str) -> None:
    say(f"  {words}")


def _stands(session: LiveSession) -> Held:
    held: Held = {}
    for one in session.standing():
        if one.app not in session.space.apps or one.node not in session.nodes:
            raise InputError(
                f"{one.app} on {one.node} runs in deployment {session.name!r} and could not be put back "
                "after a trial: name it among apps.names, or give deploy.session=NAME of another deployment"
            )
        held.setdefault(one.node, {})[one.slot] = one.app
    return held


def _keep(path: Path, session: str, held: Held) -> None:
    with written_whole(path) as file:
        file.write(json.dumps({"session": session, "held": held}, indent=1).encode())


def _kept(path: Path, session: str) -> Held | None:
    """Return what ran before a trial that was stopped; None where there is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["session"] != session:
            raise InputError(
                f"{path}: a trial of deployment {document['session']!r} was stopped here; give "
                f"deploy.session={document['session']} to go on with it"
            )
        return {
            str(node): {int(slot): str(app) for slot, app in slots.items()}
            for node, slots in document["held"].items()
        }
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SurroundingsError(f"{path}: is no record of a trial ({error!r}); move it away") from None
