"""Measure what is deployed, report what drifted, and propose a plan of few moves; nothing is ever moved.

metis watch cluster=lab                                       one look, by load as when profiling
metis watch cluster=lab watch=metrics                         by the services' own counters: no load added
metis watch cluster=lab watch=prometheus watch.prometheus=http://10.0.0.5:9090     by what Prometheus scraped
metis watch cluster=lab watch.interval=3600 watch.looks=24    a day of it; looks=null until interrupted
metis watch cluster=hosts cluster.inventory=hosts.yaml profile=file profile.path=mine.npz

metis watch cluster=lab moves=5 move_cost=0.001               at most five moves, each worth more than that

What it saw is remembered beside the cluster's inventory, for the next watch. It needs a profile that was
measured on a live cluster: that of the chain, or a file.
"""

from collections.abc import Mapping
from typing import Any

from flows.command.request import Request, Verb
from flows.command.result import Column, Line, Result, Table, View
from flows.engine.work import read_json
from flows.live.session import check_live
from flows.stages.chain import open_memo
from metis.wording import amount

NUMBERS = ("measured", "expected", "interval")


def run(request: Request) -> Result:
    """See the module's text."""
    settings = request.settings
    check_live(settings)
    settings.watch.check_source()
    with request.progress() as progress:
        record = open_memo(settings, progress, request.command).obtain("watch")
    found = read_json(record.folder / "watch.json")
    views = [*_drifted(found), *_last(found), Line(f"MLflow run: {record.run_id}")]
    return Result({"run": record.run_id, **found}, views)


def _drifted(found: Mapping[str, Any]) -> list[View]:
    drifted = [(row["look"], one) for row in found["looks"] for one in row.get("drifted", ())]
    if not drifted:
        return []
    rows = []
    for number, one in drifted:
        interval = f"{one['low']:.3f} to {one['high']:.3f}"
        numbers = (f"{one['measured']:.3f}", f"{one['expected']:.3f}", interval)
        rows.append([str(number), one["colocation"], one["app"], *numbers])
    columns: list[Column | str] = ["look", "co-location", "application"]
    columns += [Column(name, right=True) for name in NUMBERS]
    return [Table("Drifted", columns, rows)]


def _last(found: Mapping[str, Any]) -> list[View]:
    last = found["looks"][-1]
    views: list[View] = [
        Line(
            f"alone, {app} reaches {unit:.2f} of what it did when it was profiled: its machine or itself "
            "changed, and `metis run rerun=[profile]` would be wise"
        )
        for app, unit in last.get("units", {}).items()
    ]
    views += [Line(f"not measured: {node}: {why}") for node, why in last.get("silent", {}).items()]
    if found["proposed"]:
        low, high = last["gain_interval"]
        sure = f"{low:+.1%} to {high:+.1%}; the moves cost {last['cost']:.1%}"
        gain = f"proposed: {amount(last['moves'], 'move')}, {last['gain']:+.1%} of what runs now ({sure})"
        return [*views, *_moves(found["plan"]), Line(gain), Line(str(found["command"]))]
    return views if "error" in last else [*views, Line("no moves to propose")]


def _moves(plan: Mapping[str, Any]) -> list[View]:
    rows = [
        [str(number), move["app"], move["from"] or "(arrives)", move["to"] or "(leaves)"]
        for number, wave in enumerate(plan["waves"], 1)
        for move in wave
    ]
    return [Table("Moves", [Column("wave", right=True), "application", "from", "to"], rows)]


VERB = Verb(run, stages=("watch",), site=True)
