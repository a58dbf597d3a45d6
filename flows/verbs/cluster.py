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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from flows.cluster_state import cluster_state
from flows.compose import compose_plain
from flows.console import say, stdout
from flows.output import only_json
from flows.reaching import known_inventory
from flows.settings import Settings, validated
from metis.errors import InputError, SurroundingsError

if TYPE_CHECKING:
    from cluster.provision.inventory import Host, Inventory
    from cluster.provision.trust import ShownKey

Answer = Callable[[Any], None]


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    words = {"status": _status, "down": _down, "accept": _accept}
    word, rest = (arguments[0], list(arguments[1:])) if arguments else ("", [])
    if word not in words:
        raise InputError(f"cluster {word!r}: use one of {', '.join(words)}, then overrides")
    sure = word == "accept" and rest[:1] == ["yes"]
    settings = validated(compose_plain(rest[1:] if sure else rest))
    with only_json(settings.output == "json") as answer:
        told = answer if settings.output == "json" else _nobody
        return _accept(settings, told, sure) if word == "accept" else words[word](settings, told)


def _nobody(document: Any) -> None:
    """Where no document is asked for."""


def _status(settings: Settings, answer: Answer) -> int:
    from cluster.provision.engine import engine_errors
    from cluster.provision.hosts import Fleet
    from cluster.swarm.membership import membership, state

    inventory = known_inventory(settings)
    with Fleet(inventory, settings.connect.made()) as fleet:

        def look(host: "Host") -> dict[str, Any]:
            row = {"host": host.name, "role": host.role, "address": f"{host.address}:{host.port}", "why": ""}
            try:
                row["node"] = membership(fleet, host)["NodeID"]
                with engine_errors(host, "asking for its version"):
                    row["engine"] = fleet.engine(host).version()["Version"]
            except (SurroundingsError, InputError) as error:
                row["why"] = str(error)
            return row

        rows = list(fleet.each(inventory.hosts, look).values())
        manager = rows[[host.name for host in inventory.hosts].index(inventory.manager.name)]
        nodes = state(fleet) if not manager["why"] else {}
    for row in rows:
        node = nodes.get(row.pop("node", ""))
        row["state"] = (
            "not reached" if row["why"] else node["Status"]["State"] if node else "not in the Swarm"
        )
    answer({"name": inventory.name, "kind": inventory.kind, "hosts": rows})
    if settings.output == "table":
        _show(f"Cluster {inventory.name}", ("host", "role", "address", "state", "engine", "why"), rows)
    return 0 if all(row["state"] == "ready" for row in rows) else 1


def _down(settings: Settings, answer: Answer) -> int:
    said: list[str] = []

    def tell(line: str) -> None:
        said.append(line)
        say(f"  {line}")

    if settings.cluster.kind == "ec2":
        from cluster.provision.ec2.instances import terminate

        terminate(cluster_state(settings), settings.cluster.name, settings.ec2.made(), tell)
    else:
        from cluster.provision.hosts import Fleet
        from cluster.swarm.departure import leave

        with Fleet(known_inventory(settings), settings.connect.made()) as fleet:
            leave(fleet, tell)
    say(f"cluster {settings.cluster.name}: " + ("is down" if said else "there was nothing to end"))
    answer({"name": settings.cluster.name, "changed": said})
    return 0


def _accept(settings: Settings, answer: Answer, sure: bool = False) -> int:
    """Trust the keys that hosts show now, once a person has seen their fingerprints."""
    from cluster.provision.trust import ShownKey, key_line, trust

    inventory = known_inventory(settings)
    known_hosts = Path(inventory.known_hosts)
    found = _keys_shown(settings, inventory)
    rows = [_key_row(host, found[host.name]) for host in inventory.hosts]
    if settings.output == "table":
        _show("Host keys", ("host", "address", "state", "key"), rows)
    new = [shown for shown in found.values() if isinstance(shown, ShownKey) and shown.state != "trusted"]
    accepted = bool(new) and (sure or _asked(len(new)))
    for shown in new if accepted else ():
        trust(known_hosts, shown.host, [key_line(shown.key)])
    answer({"known_hosts": str(known_hosts), "accepted": accepted, "hosts": rows})
    if new and not accepted:
        # said, not raised: the document with the fingerprints must still come out
        say(f"metis: {len(new)} keys are not trusted; once compared: metis cluster accept yes ...")
        return InputError.exit_code
    say(f"{len(new)} keys accepted, {len(rows) - len(new)} left as they were: {known_hosts}")
    return 0 if all(row["state"] != "not reached" for row in rows) else 1


def _keys_shown(settings: Settings, inventory: "Inventory") -> "dict[str, ShownKey | SurroundingsError]":
    from cluster.provision.hosts import Fleet
    from cluster.provision.trust import shown_key

    known_hosts, connect = Path(inventory.known_hosts), settings.connect.made()

    def look(host: "Host") -> "ShownKey | SurroundingsError":
        try:
            return shown_key(host, known_hosts, connect.connect_timeout)
        except SurroundingsError as error:
            return error

    with Fleet(inventory, connect) as fleet:
        return fleet.each(inventory.hosts, look)


def _key_row(host: "Host", shown: "ShownKey | SurroundingsError") -> dict[str, Any]:
    row = {"host": host.name, "address": f"{host.address}:{host.port}"}
    if isinstance(shown, SurroundingsError):
        return row | {"state": "not reached", "key": str(shown)}
    return row | {"state": shown.state, "key": shown.fingerprint}


def _asked(count: int) -> bool:
    if not sys.stdin.isatty():
        return False
    question = f"Trust these {count} keys? Compare them with the machines' own first. [yes/no] "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() == "yes"


def _show(title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in columns:
        table.add_column(heading, overflow="fold")
    for row in rows:
        fit = row["state"] in ("ready", "trusted")
        cells = (str(row.get(column) or "").replace("[", "\\[") for column in columns)
        table.add_row(*cells, style=None if fit else "red")
    stdout.print(table)
