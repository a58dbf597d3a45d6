"""Homes with an SSH configuration, and inventories of hosts reached from them."""

import getpass

import pytest

from cluster.provision.hosts import Fleet
from cluster.settings import ConnectSettings
from flows.live.inventory import read_inventory
from tests.cluster.provision.sshd import needs_sshd

QUICK = ConnectSettings(connect_timeout=10, command_timeout=60, retries=2, pause=0.05)
REAL = [needs_sshd, pytest.mark.skipif(getpass.getuser() != "root", reason="commands run as root")]


def inventory(home, *hosts, **more):
    """The inventory of hosts, each a mapping; the first is the manager, and a worker is added."""
    import json

    given = [{"name": f"h{number}", "role": "worker"} | host for number, host in enumerate(hosts)]
    given[0]["role"] = "manager"
    given += [given[0] | {"name": "other", "role": "worker"}] if len(given) == 1 else []
    (home / "hosts.yaml").write_text(json.dumps({"hosts": given, "known_hosts": "trusted", **more}))
    return read_inventory(home / "hosts.yaml", "test", home)


def configure(home, text):
    (home / ".ssh" / "config").write_text(text.replace("HOME", str(home)))
    known = home / ".ssh" / "known_hosts"
    with (home / ".ssh" / "config").open("a") as file:
        file.write(f"\nHost *\n  UserKnownHostsFile {known}\n")
    return known


def at(server, name="127.0.0.1"):
    return f"[{name}]:{server.port}"


def said(made, command="echo in", settings=QUICK):
    with Fleet(made, settings) as fleet:
        return fleet.run(made.manager, command, again=True)
