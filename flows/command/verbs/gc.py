"""Delete old runs and artifacts; shows what it would delete unless asked to.

metis gc                                    what is older than 30 days and superseded or failed
metis gc gc.days=7 gc.keep=2                another age; the newest two of every step stay
metis gc gc.days=7 gc.delete=true           delete it
"""

from flows.command.request import Request, Verb
from flows.command.result import Column, Line, Result, Table, View
from flows.engine.cleaning import delete_old, survey
from flows.engine.store import Store

SHOWN = 40


def run(request: Request) -> Result:
    """See the module's text."""
    settings = request.settings
    store = Store(settings.tracking)
    old, kept = survey(store, settings.gc)
    deleted = settings.gc.delete
    if deleted:
        delete_old(store, old)
    rows = [{"what": one.what, "why": one.why, "days": one.days, "bytes": one.bytes} for one in old]
    views: list[View] = []
    if old:
        columns: list[Column | str] = ["what", "why", Column("days", right=True), Column("kB", right=True)]
        cells = [[o.what, o.why, f"{o.days:.1f}", f"{o.bytes / 1000:.0f}"] for o in old[:SHOWN]]
        views.append(Table("Deleted" if deleted else "Would go", columns, cells))
    more = f", {len(old) - SHOWN} not shown" if len(old) > SHOWN else ""
    total = sum(one.bytes for one in old)
    views.append(Line(f"{len(old)} things, {total / 1e6:.1f} MB{more}"))
    stays = ", ".join(f"{number} {why}" for why, number in kept.items()) or "none"
    about = f"gc.days={settings.gc.days:g}, gc.keep={settings.gc.keep}"
    views.append(Line(f"runs that stay: {stays} ({about})", "dim"))
    if old and not deleted:
        views.append(Line("gc.delete=true deletes them", "dim"))
    return Result({"old": rows, "bytes": total, "deleted": deleted, "kept": kept}, views)


VERB = Verb(run, settings=("gc",))
