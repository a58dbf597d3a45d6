"""The hosts of a cluster: what each is for, and how it is reached."""

import json
from collections.abc import Mapping
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le

from metis.errors import InputError
from metis.files import written_whole
from metis.inputs.names import LONGEST_HOST, check_names
from metis.settings import Port, Reading, read_file, settings

Role = Literal["manager", "worker", "client"]
Slots = Annotated[int, Ge(1), Le(256)]


@settings("host")
class Host:
    """One machine.

    Attributes:
        name: its name here and in the Swarm.
        role: `manager`, `worker` (runs containers), or `client` (sends load).
        address: where SSH reaches it from here.
        port: of its SSH server.
        user: to log in as; root, or one that may use sudo without a password.
        key: path of the private key; None for those of the SSH agent.
        inner: its address as the other hosts see it; None for the same as `address`.
        alias: its name in the user's SSH configuration; None where that does not count for it.
        known_as: its name in files of known hosts; None for its address.
        slots: containers that it holds; None for as many as all others.
    """

    name: str
    role: Role
    address: str
    port: Port = 22
    user: str = "root"
    key: str | None = None
    inner: str | None = None
    alias: str | None = None
    known_as: str | None = None
    slots: Slots | None = None

    @property
    def seen_as(self) -> str:
        """Its address as the other hosts see it."""
        return self.inner or self.address

    @property
    def endpoint(self) -> str:
        """Address and port of its SSH server, an IPv6 address in brackets."""
        return endpoint(self.address, self.port)


def endpoint(address: str, port: int) -> str:
    """Return address and port as they stand in a URL, an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@settings("inventory")
class Inventory:
    """The hosts of a cluster.

    Attributes:
        kind: `lab`, `hosts` or `ec2`.
        name: of the cluster; labels and tags carry it.
        hosts: one manager, at least one worker, any number of clients.
        known_hosts: path of the file of host keys that are trusted.
        registry: `host:port` where the nodes pull images from; None to load images over SSH.
        push: `host:port` where this machine pushes them to; None for the same.
        ssh_config: path of the user's SSH configuration; None to read none.
        facts: by host name what setup found: `hostname`, `cores`, `memory` (bytes), `engine` (version).
    """

    kind: str
    name: str
    hosts: tuple[Host, ...]
    known_hosts: str
    registry: str | None = None
    push: str | None = None
    ssh_config: str | None = None
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [host.name for host in self.hosts]
        check_names(names, "inventory: host", LONGEST_HOST)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"inventory: two hosts are called {twice[0]!r}; give each a name of its own")
        managers = [host.name for host in self.hosts if host.role == "manager"]
        if len(managers) != 1:
            raise InputError(f"inventory: {len(managers)} managers {managers}; give exactly one")
        if not self.workers:
            raise InputError("inventory: no worker; give at least one host with role: worker")

    @property
    def manager(self) -> Host:
        """The host that manages the Swarm."""
        return next(host for host in self.hosts if host.role == "manager")

    @property
    def workers(self) -> tuple[Host, ...]:
        """The nodes, in order: row i of a placement is worker i."""
        return tuple(host for host in self.hosts if host.role == "worker")

    @property
    def clients(self) -> tuple[Host, ...]:
        """The hosts that send load; the manager where there is none for it."""
        return tuple(host for host in self.hosts if host.role == "client") or (self.manager,)

    def host(self, name: str) -> Host:
        """The host called `name`."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise InputError(f"inventory: no host {name!r}; there are {[host.name for host in self.hosts]}")

    def as_json(self) -> dict[str, Any]:
        """JSON-able; holds paths of keys, never keys."""
        return asdict(self)

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        with written_whole(path) as file:
            file.write(json.dumps(self.as_json(), indent=1, sort_keys=True).encode())

    @classmethod
    def load(cls, path: Path) -> "Inventory":
        """Read what `save` wrote.

        Raises:
            InputError: missing or not an inventory; names the file.
        """
        return read_file(cls, path)


def _text(given: Any) -> Any:
    """A number that YAML read where a name was meant."""
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


Text = Annotated[str, Reading(_text)]


@settings("host")
class WrittenHost:
    """A host as a person writes it; what is left out comes from the SSH configuration.

    Attributes:
        name, role, key: see `Host`.
        address: as for `ssh`: a name, an address, or an alias of the SSH configuration.
        port: of its SSH server; None for that of the configuration, else 22.
        user: to log in as; None for that of the configuration, else root.
        inner, slots: see `Host`.
    """

    name: Text
    role: Role
    address: Text
    port: Port | None = None
    user: Annotated[str | None, Reading(_text)] = None
    key: str | None = None
    inner: str | None = None
    slots: Slots | None = None


@settings("inventory")
class WrittenInventory:
    """The inventory that a person writes.

    Attributes:
        hosts: see `Inventory`.
        known_hosts: path of the file of host keys that are trusted; None for one beside what setup writes.
        ssh_config: path of an SSH configuration; None for the user's, `none` to read none.
        registry, push: see `Inventory`.
    """

    hosts: tuple[WrittenHost, ...]
    known_hosts: str | None = None
    ssh_config: str | None = None
    registry: str | None = None
    push: str | None = None
