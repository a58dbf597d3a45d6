"""The hosts of a live cluster: see them, accept their host keys, end it.

metis cluster status cluster=hosts cluster.inventory=hosts.yaml
metis cluster accept cluster=hosts cluster.inventory=hosts.yaml    show host keys, ask, trust them
metis cluster accept yes cluster=ec2                               trust them without being asked
metis cluster types cluster=hosts cluster.slots=8 ... out=nodes.csv    node types of hosts that differ
metis cluster down cluster=ec2                                     show what would be ended
metis cluster down yes cluster=ec2                                 end it

`down yes` removes the cluster's services and takes out of the Swarm the hosts that joined it under this
cluster.name; hosts that were in one before stay in it. It refuses where others run something on a host that
would leave (force=true insists). Instances on EC2 that carry the cluster's tag are terminated, their security
group and key pair removed; a launch that broke off midway is cleaned up as well. `types` proposes
cluster.types, or nodes.csv of a problem folder, by the cores, memory and slots of the hosts that setup found.
With output=json each word gives one document.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.command.request import Request, Verb
from flows.command.result import Line, Result, Table
from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.live.hosts import departure, disband, host_states
from flows.live.inventory import known_inventory
from flows.live.state import INVENTORY, cluster_state
from metis.errors import InputError, MetisError

if TYPE_CHECKING:
    from cluster.backend import Departure
    from cluster.provision.inventory import Host, Inventory
    from cluster.provision.trust import ShownKey

WORDS = ("status", "types", "down", "accept")
ALONE = ("status", "types")  # words that take no other beside them


def run(request: Request) -> Result:
    """See the module's text."""
    word, *more = request.words or ("",)
    if word not in WORDS:
        raise InputError(f"cluster {word!r}: use one of {', '.join(WORDS)}, then overrides")
    if more and (word in ALONE or more != ["yes"]):
        allowed = "nothing" if word in ALONE else "yes or nothing"
        raise InputError(f"cluster {word} {more[0]!r}: give {allowed} there, then overrides")
    if request.settings.out and word != "types":
        raise InputError(f"out={request.settings.out}: has no effect but with `metis cluster types`")
    if word in ALONE:
        return (_status if word == "status" else _types)(request.settings)
    return (_down if word == "down" else _accept)(request.settings, sure=bool(more))


def _status(settings: Settings) -> Result:
    inventory = known_inventory(settings)
    states = host_states(inventory, settings)
    rows = [
        {"host": host.name, "role": host.role, "address": host.endpoint} | asdict(states[host.name])
        for host in inventory.hosts
    ]
    table = _table(f"Cluster {inventory.name}", ("host", "role", "address", "state", "engine", "why"), rows)
    document = {"name": inventory.name, "kind": inventory.kind, "hosts": rows}
    return Result(document, [table], 0 if all(row["state"] == "ready" for row in rows) else 1)


def _types(settings: Settings) -> Result:
    """Show the node types of the hosts, and write them where `out` names a file."""
    from cluster.provision.inventory import Inventory
    from flows.live.node_types import as_override, as_rows, proposed_types
    from metis.problem.folders import write_sheet

    path = cluster_state(settings) / INVENTORY
    if not path.is_file():
        raise InputError("cluster types: no host was looked at; `metis run stages=[setup] ...` does that")
    inventory = Inventory.load(path)
    types = proposed_types(inventory, settings.cluster.slots or 1, settings.launch)
    document: dict[str, Any] = {"types": [asdict(one) for one in types], "override": as_override(types)}
    header, rows = as_rows(types)
    views = [Table(f"Nodes of cluster {inventory.name}", header, rows)]
    lines = [
        "as words of a command, by which each node holds what it has slots for:",
        f"  '{document['override']}'",
    ]
    if settings.out:
        if Path(settings.out).suffix.lower() != ".csv":
            raise InputError(f"out={settings.out}: nodes are written as CSV; end it in .csv")
        write_sheet(Path(settings.out), header, rows)
        document["out"] = settings.out
        lines.append(f"written: {settings.out}, for a problem folder")
    return Result(document, [*views, *(Line(line) for line in lines)])


def _down(settings: Settings, sure: bool = False) -> Result:
    """End the cluster where `sure`, else show what that would change."""
    from cluster.backend import Departure

    name, ec2 = settings.cluster.name, settings.cluster.kind == "ec2"
    if not sure:
        found = Departure(_instances(settings)) if ec2 else departure(known_inventory(settings), settings)
        return _would_end(name, found)
    said: list[str] = []

    def report(line: str) -> None:
        said.append(line)
        say(f"  {line}")

    if ec2:
        from cluster.provision.ec2.instances import terminate

        terminate(cluster_state(settings), name, settings.ec2, report)
    else:
        disband(known_inventory(settings), settings, report)
    last = f"cluster {name}: " + ("is down" if said else "there was nothing to end")
    return Result({"name": name, "ended": True, "changed": said}, [Line(last)])


def _would_end(name: str, found: "Departure") -> Result:
    views = [Line(f"  {line}") for line in (*found.changes, *found.stays)]
    views += [Line(f"  of others: {line} (force=true insists)", "red") for line in found.others]
    last = "`metis cluster down yes ...` does it" if found.changes else "there is nothing to end"
    document = {"name": name, "ended": False, "would_change": list(found.changes)}
    document |= {"stays": list(found.stays), "others": list(found.others)}
    return Result(document, [Line(f"cluster {name}: nothing was changed"), *views, Line(last)])


def _instances(settings: Settings) -> tuple[str, ...]:
    """Return what ending a cluster on EC2 would end, in words."""
    from cluster.provision.ec2.standing import standing

    found = standing(cluster_state(settings), settings.cluster.name, settings.ec2)
    return tuple(f"{one} is terminated or deleted" for one in found)


def _accept(settings: Settings, sure: bool = False) -> Result:
    """Trust the keys that hosts show now, once a person has seen their fingerprints."""
    from cluster.provision.trust import ShownKey, key_line, trust

    inventory = known_inventory(settings)
    known_hosts = Path(inventory.known_hosts)
    found = _keys_shown(settings, inventory)
    rows = [_key_row(host, found[host.name]) for host in inventory.hosts]
    table = _table("Host keys", ("host", "address", "state", "key"), rows)
    new = [shown for shown in found.values() if isinstance(shown, ShownKey) and shown.state != "trusted"]
    accepted = bool(new) and (sure or _confirmed(table, len(new)))
    for shown in new if accepted else ():
        trust(known_hosts, shown.host, [key_line(shown.key)])
    document = {"known_hosts": str(known_hosts), "accepted": accepted, "hosts": rows}
    if new and not accepted:
        # said, not raised: the document with the fingerprints must still come out
        say(f"metis: {len(new)} keys are not trusted; once compared: metis cluster accept yes ...")
        return Result(document, [table], InputError.exit_code)
    say(f"{len(new)} keys accepted, {len(rows) - len(new)} left as they were: {known_hosts}")
    return Result(document, [table], 0 if all(row["state"] != "not reached" for row in rows) else 1)


def _keys_shown(settings: Settings, inventory: "Inventory") -> "dict[str, ShownKey | MetisError]":
    from cluster.provision.connection import shown_key
    from cluster.provision.hosts import Fleet

    connect = settings.connect

    def look(host: "Host") -> "ShownKey | MetisError":
        try:
            return shown_key(host, inventory, connect)
        except MetisError as error:
            return error

    with Fleet(inventory, connect) as fleet:
        return fleet.each(inventory.hosts, look)


def _key_row(host: "Host", shown: "ShownKey | MetisError") -> dict[str, Any]:
    row = {"host": host.name, "address": host.endpoint}
    if isinstance(shown, MetisError):
        return row | {"state": "not reached", "key": str(shown)}
    return row | {"state": shown.state, "key": shown.fingerprint}


def _confirmed(table: Table, count: int) -> bool:
    """Ask the person at the terminal, who sees the keys first."""
    if not sys.stdin.isatty():
        return False
    from flows.command.presenter import present

    present(Result(views=[table]), as_json=False)
    question = f"Trust these {count} keys? Compare them with the machines' own first. [yes/no] "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() == "yes"


def _table(title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Table:
    cells = [[str(row.get(column) or "") for column in columns] for row in rows]
    styles = {i: "red" for i, row in enumerate(rows) if row["state"] not in ("ready", "trusted")}
    return Table(title, columns, cells, styles)


# the same settings as for `metis run stages=[setup]`, which these words come before and after; nothing is
# measured, so that no applications need be named
VERB = Verb(
    run,
    settings=("apps", "force", "out"),
    stages=("setup",),
    site=True,
    words=2,
    implied=("testbed=embedded",),
)
