"""Delete old runs and artifacts; shows what it would delete unless told to.

metis gc                                    what is older than 30 days and superseded or failed
metis gc gc.days=7 gc.keep=2                another age; the newest two of every step stay
metis gc gc.days=7 gc.delete=true           delete it
"""

from collections.abc import Sequence

from rich.table import Table

from flows.command.output import only_json
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.engine.cleaning import Old, delete_old, find_old
from flows.engine.console import stdout
from flows.engine.store import Store

SHOWN = 40


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    settings = validated(compose_plain(arguments))
    with only_json(settings.output == "json") as answer:
        store = Store(settings.tracking)
        old = find_old(store, settings.gc)
        if settings.gc.delete:
            delete_old(store, old)
        if settings.output == "json":
            rows = [{"what": o.what, "why": o.why, "days": o.days, "bytes": o.bytes} for o in old]
            answer({"old": rows, "bytes": sum(o.bytes for o in old), "deleted": settings.gc.delete})
        else:
            _show(old, deleted=settings.gc.delete)
    return 0


def _show(old: Sequence[Old], *, deleted: bool) -> None:
    if old:
        table = Table(title="Deleted" if deleted else "Would go", title_justify="left", title_style="bold")
        for heading in ("what", "why"):
            table.add_column(heading, overflow="fold")
        for heading in ("days", "kB"):
            table.add_column(heading, justify="right")
        for one in old[:SHOWN]:
            table.add_row(one.what, one.why, f"{one.days:.1f}", f"{one.bytes / 1000:.0f}")
        stdout.print(table)
    more = f", {len(old) - SHOWN} not shown" if len(old) > SHOWN else ""
    total = sum(one.bytes for one in old) / 1e6
    stdout.print(f"{len(old)} things, {total:.1f} MB{more}")
    if old and not deleted:
        stdout.print("gc.delete=true deletes them", style="dim")
