"""Stage trial: schedulers tried against one another, on a live cluster or rehearsed on the testbed."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.configuration.objects import make_cluster
from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.declaration import Stage
from flows.engine.work import Work
from flows.placing.trial import (
    Contest,
    check_units,
    contest_of,
    document_of,
    predictions,
    refuse_units,
    rehearsal,
    trial_steps,
)
from flows.stages.shared import (
    LIVE,
    MEASURED,
    PROBLEM,
    TESTBED,
    asks_for,
    packaged_coefficients,
    workload_digests,
)
from metis.errors import InputError
from metis.operate.rehearsal import Rehearsal
from metis.problem.counts import IntArray
from metis.problem.placement_files import names_of_nodes
from metis.wording import amount

if TYPE_CHECKING:
    from flows.live.session import LiveSession
    from metis.operate.trial_journal import TrialJournal
    from metis.operate.trial_rounds import Site

RESULT, JOURNAL, PAGE = "trial.json", "journal.json", "trial.html"
DONE = "done"  # file of a trial that ended, so that `rerun` begins anew and a stopped one goes on


def run(work: Work) -> None:
    """Write `trial.json`, what was found, and `journal.json`, every measurement; the page as an artifact."""
    from flows.placing.tables import known_in
    from flows.report.trial import trial_page
    from metis.operate.trial_rounds import Rounds

    settings = work.settings
    path = work.scratch / JOURNAL
    if work.again and (work.scratch / DONE).exists():
        for old in (path, work.scratch / DONE):
            old.unlink(missing_ok=True)
    simulator = known_in(work.inputs["simulator"])

    def progress(done: int, total: int) -> None:
        work.progress("measurements", done, total)

    with _site(work, path) as (site, journal):
        rounds = Rounds(site, journal, settings.trial, lambda line: say(f"  {line}"), progress)
        if isinstance(site, Rehearsal):  # no time passes but that which loads would take
            rounds.clock = rounds.now = site.clock
        ended = rounds.run()
        done = len(journal.measured) + len(journal.alone)
        progress(done, done)
    found = document_of(journal, settings, predictions(settings, simulator, journal), ended)
    work.write_json(RESULT, found)
    work.write(JOURNAL, path.read_bytes())
    (work.recording.about / PAGE).write_text(trial_page(found), encoding="utf-8")
    _record(work, found)
    (work.scratch / DONE).touch()


@contextmanager
def _site(work: Work, path: Path) -> "Iterator[tuple[Site, TrialJournal]]":
    """Open the place where placements are tried, and the journal, of an earlier command or new."""
    if work.settings.cluster.live:
        with _live(work, path) as found:
            yield found
    else:
        yield _rehearsed(work, path)


def _rehearsed(work: Work, path: Path) -> "tuple[Site, TrialJournal]":
    from flows.placing.tables import known_in, tables_of

    settings = work.settings
    cluster = make_cluster(settings, tables_of(known_in(work.inputs["simulator"])).space)
    contest = contest_of(work.inputs, settings, cluster.space)
    nodes = cluster.stated.nodes if cluster.stated else names_of_nodes(None, cluster)
    if cluster.stated is None:
        contest = Contest(contest.schedulers, _near(contest.placements, contest.placements[0]))
    journal = _journal(path, contest, cluster.space.apps, tuple(nodes))
    if not settings.trial.alone:
        journal.units = dict.fromkeys(cluster.space.apps, 1.0)
    return rehearsal(settings, cluster, tuple(nodes), journal.loads), journal


@contextmanager
def _live(work: Work, path: Path) -> "Iterator[tuple[Site, TrialJournal]]":
    from flows.live.session import alone_rps, connected, known_profile
    from flows.live.trial import in_place_of
    from metis.operate.trial_rounds import most_loads

    settings = work.settings
    with connected(settings, work.inputs, "trial") as session:
        contest = contest_of(work.inputs, settings, session.space)
        placements = _on_nodes(contest, session, settings)

        def note(words: str) -> None:
            done = len(journal.measured) + len(journal.alone)
            most = most_loads(settings.trial, len(journal.placements), len(journal.without_unit))
            work.progress("measurements", done, most, f", {words}")

        journal = _journal(path, Contest(contest.schedulers, placements), session.space.apps, session.nodes)
        with in_place_of(session, note) as site:
            for placement in journal.placements:
                site.fits(placement)
            if not (settings.trial.alone or journal.units or journal.alone):
                known, apps = alone_rps(known_profile(work.inputs)), journal.without_unit
                journal.units = {app: known[app] for app in apps} if set(apps) <= set(known) else {}
            if not journal.without_unit:
                refuse_units(settings)
            yield site, journal


def _on_nodes(contest: Contest, session: "LiveSession", settings: Settings) -> tuple[IntArray, ...]:
    """Return the placements on the nodes of a live cluster, so that few containers differ between them."""
    from flows.live.deployment import by_name, whole_placement

    nodes = len(session.nodes)
    if types := settings.cluster.types:  # a node cannot stand in for one of another type
        names = [name for one in types for name in one.names]
        return tuple(by_name(placement, names, session.nodes) for placement in contest.placements)
    whole = [whole_placement(placement, nodes) for placement in contest.placements]
    if any(len(placement) > nodes for placement in whole):
        raise InputError(
            f"cluster.nodes {settings.cluster.nodes}: this cluster has {nodes} nodes "
            f"({', '.join(session.nodes)}); give cluster.nodes={nodes}"
        )
    return _near(whole, session.placement())


def _near(placements: Sequence[IntArray], running: IntArray) -> tuple[IntArray, ...]:
    """Return placements on nodes that are alike, the first near what runs and the others near the first."""
    from cluster.deployment import aligned

    first = aligned(placements[0], running)
    return (first, *(aligned(placement, first) for placement in placements[1:]))


def _journal(path: Path, contest: Contest, apps: tuple[str, ...], nodes: tuple[str, ...]) -> "TrialJournal":
    """Return the journal of an earlier command of this trial, or a new one.

    Raises:
        InputError: it is of other nodes.
    """
    from metis.operate.trial_journal import TrialJournal, read_journal

    for line in contest.shared:
        say(f"  {line}")
    known = read_journal(path)
    if known is None:
        return TrialJournal(path, apps, nodes, contest.schedulers, contest.placements)
    if (known.apps, known.nodes, known.schedulers) != (apps, nodes, contest.schedulers):
        raise InputError(
            f"{path}: holds measurements on {', '.join(known.nodes)}, and the cluster has "
            f"{', '.join(nodes)}; delete it to begin anew"
        )
    if known.measured:
        say(f"  kept from an earlier command: {amount(len(known.measured), 'measurement')}")
    return known


def _record(work: Work, found: dict[str, Any]) -> None:
    """Log the figures of the trial, and a child run per scheduler."""
    settings = work.settings
    rounds = [{name.replace("+", "_"): value for name, value in row.items()} for row in found["by_round"]]
    work.recording.curve([{name: one for name, one in row.items() if one is not None} for row in rounds])
    covered = found["coverage"]
    shared = {"rounds": float(found["rounds"]), "seconds": found["seconds"]}
    shared |= {"coverage": covered["held"] / covered["of"]} if covered else {}
    work.recording.metrics(shared)
    for row in found["schedulers"]:
        name = row["scheduler"]
        numbers = {"rps": row["rps"]["mean"], "rps_half": row["rps"]["half_width"]}
        for key in ("difference", "predicted", "predicted_difference"):
            one = row.get(key) or {}
            numbers |= {key: one.get("mean"), f"{key}_half": one.get("half_width")}
        params = {
            "scheduler": name,
            "beside": found["beside"],
            "nodes": str(len(found["nodes"])),
            "containers": str(int(np.sum(row["placement"]))),
            "rounds": str(row["rounds"]),
            "seed": str(settings.trial.seed),
        }
        work.recording.child(
            f"{name}, tried",
            {"metis.stage": "tried", "metis.scheduler": name},
            params,
            {key: float(value) for key, value in numbers.items() if value is not None},
            files={"scheduler.json": json.dumps(row, indent=1).encode()},
        )


def _declared(settings: Settings, part: str) -> tuple[str, ...]:
    del part
    where = (*MEASURED, "deploy.session", "cluster.name") if settings.cluster.live else (*TESTBED, "load")
    return ("trial", "schedulers", *PROBLEM, *where)


def _unkeyed(settings: Settings, part: str) -> tuple[str, ...]:
    del part
    return (
        (*LIVE, "deploy", "simulator.kind")
        if settings.cluster.live
        else ("simulator.kind", "cluster.kind", "profile.path")
    )


STAGE = Stage(
    name="trial",
    about="Try schedulers against one another, on live machines or rehearsed on the testbed.",
    run=run,
    settings=_declared,
    unkeyed=_unkeyed,
    derived={"coefficients": packaged_coefficients, "workloads": workload_digests},
    # for stand-alone RPS, which a rehearsal knows
    inputs=lambda settings, part: (
        *(("profile",) if settings.cluster.live else ()),
        "simulator",
        *trial_steps(settings),
    ),
    after=lambda settings: ("setup", "build") if settings.cluster.live else (),
    check=check_units,
    optional=("profile",),
    costly=lambda settings: settings.cluster.live,
    present=lambda settings: asks_for(settings, "trial"),
    doing="made",
)
