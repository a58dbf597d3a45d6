"""The live cluster as the testbed of a run: connections, backend and load put together, and its profile."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from cluster.provision.inventory import Host, Inventory
from cluster.testbed import ClusterTestbed
from flows.configuration.objects import chosen_colocations, onto_profile
from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.keys import digest
from flows.engine.work import Work
from flows.live.preflight import findings, refuse_held_ports
from flows.live.state import INVENTORY, opened, say_indented
from metis.errors import InputError, SurroundingsError
from metis.files import written_whole
from metis.measure.journal import Journal, journal_of
from metis.measure.profile import Profile
from metis.measure.series import measure_list
from metis.measure.testbed import join_profiles

PARTIAL = "partial.npz"  # what could be measured, where some co-locations could not
DONE = "done"  # file of a finished measurement, so that `rerun` begins anew and a stopped one goes on
FACTS = ("cores", "memory", "engine")
# of a run, in `runs.csv`
NOTED = ("at", "sitting", "worker", "client", "seconds", "overhead", "looked", "cycles", "load_seconds")


@contextmanager
def live_testbed(
    settings: Settings, inputs: Mapping[str, Path], state: Path | None = None, session: str = "profile"
) -> Iterator[ClusterTestbed]:
    """Open the testbed on the hosts and images that the steps `setup` and `build` left.

    Args:
        settings: of the run.
        inputs: output folders of these steps, by name.
        state: file of stand-alone runs; None to begin anew.
        session: label of what it runs; leftovers of the same session are removed first.

    Raises:
        SurroundingsError: a host or engine does not respond.
        InputError: the load image is not among the images.
    """
    from cluster.images.build import read_images
    from cluster.images.catalog import LOAD, load_catalog
    from cluster.load.duet import DuetResult, Turns, load_in_turns
    from cluster.load.generator import Target, load_from
    from cluster.load.sittings import open_sittings

    inventory = Inventory.load(inputs["setup"] / INVENTORY)
    images = read_images(inputs["build"] / "images.json")
    folders = [Path(folder) for folder in settings.apps.workloads]
    workloads = load_catalog(folders, settings.apps.names or ())
    sender = [image.id for image in images if image.app == LOAD]
    if not sender:
        raise InputError(f"images: there is none called {LOAD!r}, which sends the load; run the stage build")
    load = settings.load
    with opened(settings, inventory, session, workloads, images) as backend:
        if left := backend.sweep():
            say(f"  removed what an interrupted run left: {', '.join(left)}")
        backend.sweep_jobs(session)
        occupied, slots = backend.occupancy(), settings.cluster.slots or 1
        ready = [name for name, known in occupied.items() if known.state == "ready"]
        at_once = settings.profile.at_once or len(inventory.workers)
        for line in findings(occupied, slots, settings.launch):
            say(f"  {line}")
        refuse_held_ports(occupied, ready[:at_once], slots, settings.launch.first_port)
        backend.ensure_support()

        def in_turns(client: Host, targets: Sequence[Target], turns: Turns) -> DuetResult:
            return load_in_turns(backend, client, targets, turns, load, sender[0], session)

        testbed = ClusterTestbed(
            workloads=workloads,
            slots=slots,
            backend=backend,
            load=lambda client, targets: load_from(backend, client, targets, load, sender[0], session),
            duet=in_turns if load.duet else None,
            settings=load,
            sittings=open_sittings(state, digest(_hosts(inventory))),
            session=session,
            at_once=at_once,
            # repeats bring stand-alone runs of their own
            alone=1 if settings.profile.repeats > 1 else 2,
            report=say_indented,
        )
        for name, known in occupied.items():
            if known.state != "ready":
                testbed.leave_out(name, f"{name}: {known.state}")
        for worker in inventory.workers:
            if worker.slots is not None and worker.slots < slots:
                testbed.leave_out(worker.name, f"{worker.name}: has {worker.slots} slots, full nodes {slots}")
        yield testbed
        if not backend.standing():
            say_indented("caches, origin and network stay for the next run, until `metis undeploy`")


def profile_live(work: Work) -> Profile:
    """Measure what `profile` asks for, and write `runs.csv`, a row per run; a stopped one goes on.

    Raises:
        SurroundingsError: hosts do not respond, or no co-location could be measured.
    """
    settings, chosen = work.settings, work.settings.profile
    path = work.scratch / "profile.npz"
    if work.again and (work.scratch / DONE).exists():
        for old in (journal_of(path), path, work.scratch / DONE):
            old.unlink(missing_ok=True)
    begun = datetime.now(tz=UTC)
    with live_testbed(settings, work.inputs, work.scratch / "alone.json") as testbed:
        onto = onto_profile(settings, testbed.space)
        wanted = chosen_colocations(settings, testbed.space, onto)
        report = _Reporter(work, len(wanted) * chosen.repeats)
        testbed.begin = report.begin
        journal = measure_list(
            testbed,
            wanted,
            repeats=chosen.repeats,
            seed=chosen.seed,
            at_once=testbed.at_once,
            patience=settings.explore.patience,
            path=path,
            again=True,
            wait=_announced_wait,
            progress=report,
        )
        testbed.settle(journal)
        provenance = _provenance(work, testbed, journal, begun)
    _write_runs(work, journal)
    measured = replace(journal.profile(), provenance=provenance) if journal.sound else None
    _refuse_missing(work, journal, measured, len(wanted))
    with written_whole(work.scratch / DONE) as file:
        file.write(begun.isoformat().encode())
    if measured is None:
        assert onto is not None  # nothing was missing from it
        return onto
    return measured if onto is None else join_profiles(onto, measured, provenance)


class _Reporter:
    """Reports how many runs are made, what is measured now and what failed."""

    def __init__(self, work: Work, total: int) -> None:
        self._work, self._total = work, total
        self._begun = False
        self._done, self._known = 0, ""

    def __call__(self, journal: Journal) -> None:
        """Receive the journal, at the start and after every measurement."""
        pending = len(journal.pending)
        if not self._begun:
            self._begun = True
            if journal.runs:
                say_indented(f"{len(journal.runs)} runs of an earlier command are kept, {pending} are left")
        self._known = f", {len(journal.quarantined)} failed" if journal.quarantined else ""
        self._done = self._total - pending
        self._work.progress("co-location runs", self._done, self._total, self._known)

    def begin(self, what: str) -> None:
        """Receive what is measured next, and where."""
        self._work.progress("co-location runs", self._done, self._total, f"{self._known}, {what}")


def _announced_wait(seconds: float) -> None:
    """Pause before hosts that did not respond are tried again."""
    say_indented(f"hosts do not respond; trying again in {seconds:g} s")
    time.sleep(seconds)


def _refuse_missing(work: Work, journal: Journal, measured: Profile | None, wanted: int) -> None:
    """Refuse a series in which co-locations could not be measured; each is named with its reason.

    What was measured is kept, and lies as a profile of its own beside the journal.

    Raises:
        SurroundingsError: there are some.
    """
    reasons = [f"{where}: {without_name(where, why)}" for where, why in journal.named_quarantine().items()]
    if not reasons:
        return
    for line in reasons:
        say(f"  not measured: {line}")
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    if measured is None:
        raise SurroundingsError(
            f"nothing could be measured: {reasons[0]}{more}; the same command tries again"
        )
    partial = work.scratch / PARTIAL
    measured.save(partial)
    raise SurroundingsError(
        f"{len(reasons)} of {wanted} co-locations could not be measured: {reasons[0]}{more}; the same "
        f"command measures exactly these again, profile=file profile.path={partial} goes on without them"
    )


def without_name(colocation: str, why: str) -> str:
    """Return a reason without the name of the co-location that it begins with."""
    return why.removeprefix(f"{colocation}: ")


def _hosts(inventory: Inventory) -> list[dict[str, Any]]:
    """Return names, roles and what setup found of the hosts; no addresses, no keys."""
    return [
        {"name": host.name, "role": host.role}
        | {
            name: inventory.facts[host.name][name]
            for name in FACTS
            if name in inventory.facts.get(host.name, {})
        }
        for host in inventory.hosts
    ]


def _provenance(work: Work, testbed: ClusterTestbed, journal: Journal, begun: datetime) -> dict[str, Any]:
    """Return where a profile comes from: hosts, images, load, limits, and when."""
    from cluster.images.build import read_images

    settings = work.settings
    notes = [run["note"] for run in journal.sound if "note" in run]
    images = read_images(work.inputs["build"] / "images.json")
    return {
        "source": "swarm",
        "cluster": settings.cluster.name,
        "kind": settings.cluster.kind,
        "hosts": _hosts(testbed.backend.inventory),
        "images": {image.app: {"tag": image.tag, "id": image.id} for image in images},
        "scale": settings.images.scale,
        "load": asdict(settings.load),
        "launch": asdict(settings.launch),
        "choose": settings.profile.choose,
        "onto": Path(settings.profile.onto).name if settings.profile.onto else None,
        "repeats": settings.profile.repeats,
        "at_once": testbed.at_once,
        "runs": len(journal.runs),
        "sittings": testbed.sittings.number + 1,
        "begun": begun.isoformat(timespec="seconds"),
        "ended": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "run_seconds": float(np.sum([note["seconds"] for note in notes])),
        "overhead_seconds": float(np.median([note["overhead"] for note in notes])) if notes else None,
        "looked_seconds": float(np.median([note.get("looked", 0.0) for note in notes])) if notes else None,
        "not_available": sorted({what for note in notes for what in _missing(note)}),
        "alone_rps": testbed.alone_rps(),
        "failed": journal.named_quarantine(),
    }


def _missing(note: Mapping[str, Any]) -> list[str]:
    """What could not be read of the circumstances of a run."""
    return list(note.get("circumstances", {}).get("missing", []))


def _write_runs(work: Work, journal: Journal) -> None:
    """Write every run: where, when, RPS raw and normalised, latency, failures, what went wrong."""
    import pandas as pd

    from metis.measure.circumstances import KEPT as CIRCUMSTANCES

    apps, rows = journal.space.apps, []
    for run in journal.runs:
        note = run.get("note", {})
        row: dict[str, Any] = dict(zip(apps, journal.space.counts[run["id"]].tolist(), strict=True))
        row |= {name: note.get(name) for name in NOTED}
        row |= {name: note.get("circumstances", {}).get(name) for name in CIRCUMSTANCES}
        row["weight"] = run.get("weight", 1.0)
        widths = note.get("width") or [None] * len(apps)
        row |= {f"half width {app}": value for app, value in zip(apps, widths, strict=True)}
        row |= {
            f"raw rps {app}": value
            for app, value in zip(apps, note.get("raw", [None] * len(apps)), strict=True)
        }
        for name in ("rps", "p50", "p99", "requests", "failures"):
            row |= {f"{name} {app}": value for app, value in zip(apps, run[name], strict=True)}
        rows.append(row | {"reason": run["reason"], "sound": run["sound"], "why": run.get("why", "")})
    with written_whole(work.folder / "runs.csv") as file:
        file.write(pd.DataFrame(rows).to_csv(index=False).encode())
