"""The hosts of a live cluster: see them, accept their host keys, end it.

metis cluster status cluster=hosts cluster.inventory=hosts.yaml
metis cluster accept cluster=hosts cluster.inventory=hosts.yaml    show host keys, ask, trust them
metis cluster accept yes cluster=ec2                               trust them without being asked
metis cluster down cluster=ec2                                     terminate what carries the cluster's tag

`down` removes the cluster's services and takes its hosts out of the Swarm; hosts that were in one before
stay in it. Instances on EC2 are terminated, their security group and key pair removed; a launch that broke
off midway is cleaned up as well. `status` and `accept` give one document with output=json.
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
from flows.live.hosts import disband, host_states
from flows.live.inventory import known_inventory
from flows.live.state import cluster_state
from metis.errors import InputError, MetisError

if TYPE_CHECKING:
    from cluster.provision.inventory import Host, Inventory
    from cluster.provision.trust import ShownKey


def run(request: Request) -> Result:
    """See the module's text."""
    words = {"status": _status, "down": _down, "accept": _accept}
    word = request.words[0] if request.words else ""
    if word not in words:
        raise InputError(f"cluster {word!r}: use one of {', '.join(words)}, then overrides")
    if word == "accept":
        return _accept(request.settings, sure=request.words[1:] == ("yes",))
    return words[word](request.settings)


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


def _down(settings: Settings) -> Result:
    said: list[str] = []

    def report(line: str) -> None:
        said.append(line)
        say(f"  {line}")

    if settings.cluster.kind == "ec2":
        from cluster.provision.ec2.instances import terminate

        terminate(cluster_state(settings), settings.cluster.name, settings.ec2, report)
    else:
        disband(known_inventory(settings), settings, report)
    last = f"cluster {settings.cluster.name}: " + ("is down" if said else "there was nothing to end")
    return Result({"name": settings.cluster.name, "changed": said}, [Line(last)])


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


# the same settings as for `metis run stages=[setup]`, which these words come before and after
VERB = Verb(run, settings=("apps",), stages=("setup",), site=True, words=2)
