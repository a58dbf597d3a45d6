"""A Swarm of containers on this machine: each node has its own SSH server and its own engine.

metis lab up                              start it (or what of it does not run) and join the Swarm
metis lab up cluster.workers=3 cluster.name=other
metis lab status                          one row per container; output=json for a document
metis lab down                            remove it: containers, networks, volumes, keys

`metis run cluster=lab` uses it. Where there is no engine or no base image, `make lab-deps` prepares both.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from flows.cluster_state import cluster_state
from flows.compose import compose_plain
from flows.console import say, stdout
from flows.output import only_json
from flows.settings import Settings, validated
from metis.errors import InputError

DEFAULT_WORKERS = 2


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    words = {"up": _up, "down": _down, "status": _status}
    word, overrides = (arguments[0], arguments[1:]) if arguments else ("", ())
    if word not in words:
        raise InputError(f"lab {word!r}: use one of {', '.join(words)}, then overrides")
    settings = lab_settings(overrides)
    with only_json(settings.output == "json") as answer:
        told = words[word](settings)
        if settings.output == "json":
            answer(told)
    return 0


def lab_settings(overrides: Sequence[str]) -> Settings:
    """Settings for the lab: `cluster=lab` need not be said.

    Raises:
        InputError: another kind of cluster is asked for, or an override is wrong.
    """
    chosen = [given for given in overrides if given.startswith("cluster=")]
    settings = validated(compose_plain([*([] if chosen else ["cluster=lab"]), *overrides]))
    if settings.cluster.kind != "lab":
        raise InputError(f"cluster.kind {settings.cluster.kind!r}: `metis lab` is for cluster=lab")
    return settings


def _up(settings: Settings) -> dict[str, Any]:
    # the docker SDK and Fabric are slow to import, and nobody waits for them who asks for help
    from cluster.provision.hosts import Fleet
    from cluster.provision.lab import lab
    from cluster.swarm import membership as swarm

    begun = time.perf_counter()
    state, name, connect = cluster_state(settings), settings.cluster.name, settings.connect.made()
    workers = settings.cluster.workers or DEFAULT_WORKERS
    inventory = lab.up(state, name, workers, connect, settings.images.made())
    with Fleet(inventory, connect) as fleet:
        inventory = swarm.prepare(fleet, say)
    inventory.save(state / lab.INVENTORY)
    seconds = time.perf_counter() - begun
    if settings.output == "table":
        say(f"lab {name}: {len(inventory.hosts)} nodes in a Swarm after {seconds:.1f} s")
        say(f"inventory: {state / lab.INVENTORY}")
    return {"name": name, "inventory": str(state / lab.INVENTORY), "seconds": seconds}


def _down(settings: Settings) -> dict[str, Any]:
    from cluster.provision.lab import lab

    name = settings.cluster.name
    removed = lab.down(cluster_state(settings), name, settings.connect.made())
    if settings.output == "table":
        for thing in removed:
            say(f"removed {thing}")
        say(f"lab {name}: nothing is left of it" if removed else f"lab {name}: there was none")
    return {"name": name, "removed": removed}


def _status(settings: Settings) -> dict[str, Any]:
    from cluster.provision.lab import lab

    name = settings.cluster.name
    rows = lab.status(name)
    if settings.output == "table":
        _show(name, rows)
    return {"name": name, "up": bool(rows), "nodes": rows}


def _show(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        stdout.print(f"lab {name} is down; `metis lab up` starts it", markup=False)
        return
    table = Table(title=f"Lab {name}", title_justify="left", title_style="bold")
    for heading in (
        "node",
        "role",
        "container",
        "in the Swarm",
        "port on 127.0.0.1",
        "inner address",
        "core",
    ):
        table.add_column(heading)
    for row in rows:
        fit = row["state"] == "running" and row["swarm"] in ("Ready", "")
        keys = ("node", "role", "state", "swarm", "port", "inner", "core")
        table.add_row(*(str(row[key] or "") for key in keys), style=None if fit else "red")
    stdout.print(table)
