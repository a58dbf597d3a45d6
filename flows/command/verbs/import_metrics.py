"""Learn a profile from what containers in service count of themselves, and who slows down whom.

metis import-metrics http://HOST:9090 out=day.npz          of a Prometheus server, the last day
metis import-metrics day.csv out=day.npz                   time, node, app, slot, requests, seconds, work

With metrics.hours=6 the last six hours alone, of a file until its last sample.
Nothing is measured for it, no load is added. Writes the profile, and beside it what runs, as
day.placement.json, so that with cluster.nodes=N moves=20 few moves are proposed by
`metis rebalance profile=file profile.path=day.npz simulator=ensemble existing=day.placement.json`.
See "Learn from what runs anyway" in docs/.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from flows.command.request import Request, Verb
from flows.command.result import Facts, Line, Result, Table
from flows.configuration.objects import app_names
from metis.errors import InputError
from metis.wording import amount

if TYPE_CHECKING:
    from metis.measure.passive import Hurt, Learnt
    from metis.measure.readings import Readings

COLUMNS = ("node", "holds", "application", "RPS", "aggressor", "with one less")
SERVERS = ("http://", "https://")


def run(request: Request) -> Result:
    """See the module's text."""
    from metis.measure.passive import learn
    from metis.measure.profile import describe_profile
    from metis.problem.placement_files import write_plan

    if not request.words:
        raise InputError(
            "import-metrics: name a file or the address of a Prometheus server, http://HOST:9090"
        )
    source, settings = request.words[0], request.settings
    stem = "metrics" if source.startswith(SERVERS) else Path(source).stem
    target = Path(settings.out or f"{stem}.profile.npz")
    if target.suffix != ".npz":
        raise InputError(f"out {str(target)!r}: a profile is read again by its ending; give a name in .npz")
    readings = _readings(request, source)
    learnt = learn(readings, settings.cluster.slots)
    profile, last = learnt.profile, readings.last()
    hurt = learnt.hurt(last)
    placed = target.with_suffix(".placement.json")
    profile.save(target)
    write_plan(placed, last, readings.apps, readings.nodes)
    described = describe_profile(profile)
    document = {
        **described,
        "path": str(target),
        "placement": str(placed),
        "hurt": [_document(one, learnt) for one in hurt],
    }
    facts = {
        "applications": ", ".join(profile.apps),
        "learnt from": f"{amount(described['nodes'], 'node')}, {described['hours']:g} hours",
        "co-locations": f"{len(profile):,}: those in service, and of one container less",
        "RPS alone": described["rps_alone"],
        "what runs": str(placed),
    }
    named = sum(one.aggressor is not None for one in hurt)
    views = [Facts(f"{source} → {target}", facts)]
    rows = [_row(one, learnt) for one in hurt]
    table = [Table("Hurt by their neighbours under full load", COLUMNS, rows)] if rows else []
    return Result(document, [*views, *table, Line(_ending(len(hurt), named))])


def _ending(hurt: int, named: int) -> str:
    """Return in words how many are hurt, and for how many of them the aggressor is known."""
    if not hurt:
        return "no application is found to be hurt by its neighbours"
    removal = "which neighbour's removal would help most"
    if not named:
        return f"{hurt} hurt; it is not sure {removal}"
    return f"{hurt} hurt; {'' if named == hurt else f'for {named} of them '}it is sure {removal}"


def _readings(request: Request, source: str) -> "Readings":
    from metis.measure.counters import last_hours, read_counters, readings_of

    settings = request.settings
    if source.startswith(SERVERS):
        from cluster.load.prometheus import counters_of

        with request.progress() as progress:
            counters = counters_of(
                source, settings.metrics, lambda done, total: progress("queries", done, total)
            )
    else:
        counters = read_counters(Path(source))
        if settings.metrics.hours is not None:
            counters = last_hours(counters, settings.metrics.hours)
    return readings_of(counters, settings.metrics.interval, app_names(settings), source)


def _document(one: "Hurt", learnt: "Learnt") -> dict[str, object]:
    """One that is hurt, JSON-able."""
    apps = learnt.readings.apps
    return {
        "node": learnt.readings.nodes[one.node],
        "application": apps[one.app],
        "rps": one.rps,
        "spread": one.spread,
        "aggressor": None if one.aggressor is None else apps[one.aggressor],
        "sureness": one.sureness,
        "relieved": one.relieved if one.aggressor is not None else None,
    }


def _row(one: "Hurt", learnt: "Learnt") -> tuple[str, ...]:
    """One that is hurt as cells."""
    from metis.problem.counts import describe_colocation

    apps = learnt.readings.apps
    held = describe_colocation(one.counts, apps)
    rps = f"{one.rps:.2f} ± {1.96 * one.spread * one.rps:.2f}"
    found = ("not sure", "") if one.aggressor is None else (apps[one.aggressor], f"{one.relieved:.2f}")
    return (learnt.readings.nodes[one.node], held, apps[one.app], rps, *found)


VERB = Verb(run, settings=("out", "apps.names", "cluster.slots", "metrics"), words=1)
