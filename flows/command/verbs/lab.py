"""A Swarm of containers on this machine: each node has its own SSH server and its own engine.

metis lab up                              start it (or what of it does not run) and join the Swarm
metis lab up cluster.workers=3 cluster.name=other
metis lab status                          one row per container; output=json for a document
metis lab down                            remove it: containers, networks, volumes, keys

`metis run cluster=lab` uses it. Where there is no engine or no base image, `make lab-deps` prepares both.
"""

import time

from flows.command.request import Request, Verb
from flows.command.result import Line, Result, Table
from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.live.hosts import joined
from flows.live.inventory import started
from flows.live.state import INVENTORY, cluster_state
from metis.errors import InputError
from metis.wording import amount

COLUMNS = {
    "node": "node",
    "role": "role",
    "container": "state",
    "in the Swarm": "swarm",
    "port on 127.0.0.1": "port",
    "inner address": "inner",
    "core": "core",
}


def run(request: Request) -> Result:
    """See the module's text."""
    words = {"up": _up, "down": _down, "status": _status}
    word = request.words[0] if request.words else ""
    if word not in words:
        raise InputError(f"lab {word!r}: use one of {', '.join(words)}, then overrides")
    if request.settings.cluster.kind != "lab":
        raise InputError(f"cluster.kind {request.settings.cluster.kind!r}: `metis lab` is for cluster=lab")
    return words[word](request.settings)


def _up(settings: Settings) -> Result:
    began, name = time.perf_counter(), settings.cluster.name
    path = cluster_state(settings) / INVENTORY
    inventory = joined(started(settings, say), settings, say)
    inventory.save(path)
    seconds = time.perf_counter() - began
    views = [
        Line(f"lab {name}: {amount(len(inventory.hosts), 'node')} in a Swarm after {seconds:.1f} s"),
        Line(f"inventory: {path}"),
    ]
    return Result({"name": name, "inventory": str(path), "seconds": seconds}, views)


def _down(settings: Settings) -> Result:
    from cluster.provision.lab import lab

    name = settings.cluster.name
    removed = lab.down(cluster_state(settings), name, settings.connect)
    last = f"lab {name}: nothing is left of it" if removed else f"lab {name}: there was none"
    views = [*(Line(f"removed {thing}") for thing in removed), Line(last)]
    return Result({"name": name, "removed": removed}, views)


def _status(settings: Settings) -> Result:
    from cluster.provision.lab import lab

    name = settings.cluster.name
    found = lab.status(name)
    document = {"name": name, "up": bool(found), "nodes": found}
    if not found:
        return Result(document, [Line(f"lab {name} is down; `metis lab up` starts it")])
    rows = [[str(row[key] or "") for key in COLUMNS.values()] for row in found]
    fit = [row["state"] == "running" and row["swarm"] in ("Ready", "") for row in found]
    styles = {i: "red" for i, well in enumerate(fit) if not well}
    return Result(document, [Table(f"Lab {name}", list(COLUMNS), rows, styles)])


VERB = Verb(run, settings=("cluster", "connect", "images"), site=True, words=1, implied=("cluster=lab",))
