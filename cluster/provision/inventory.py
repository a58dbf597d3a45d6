"""The hosts of a cluster: what each is for, and how it is reached."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from metis.errors import InputError
from metis.files import written_whole
from metis.inputs.names import LONGEST_HOST, check_names

Role = Literal["manager", "worker", "client"]


@dataclass(frozen=True)
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
    """

    name: str
    role: Role
    address: str
    port: int = 22
    user: str = "root"
    key: str | None = None
    inner: str | None = None

    @property
    def seen_as(self) -> str:
        """Its address as the other hosts see it."""
        return self.inner or self.address


@dataclass(frozen=True)
class Inventory:
    """The hosts of a cluster.

    Attributes:
        kind: `lab`, `hosts` or `ec2`.
        name: of the cluster; labels and tags carry it.
        hosts: one manager, at least one worker, any number of clients.
        known_hosts: path of the file of host keys that are trusted.
        registry: `host:port` where the nodes pull images from; None to load images over SSH.
        push: `host:port` where this machine pushes them to; None for the same.
        facts: by host name what setup found: `hostname`, `cores`, `memory` (bytes), `engine` (version).
    """

    kind: str
    name: str
    hosts: tuple[Host, ...]
    known_hosts: str
    registry: str | None = None
    push: str | None = None
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [host.name for host in self.hosts]
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
        """JSON-able; `from_json` reads it. Holds paths of keys, never keys."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Inventory":
        """What `as_json` gave."""
        known = dict(stored)
        known["hosts"] = tuple(_host(entry, place) for place, entry in enumerate(known["hosts"]))
        return cls(**known)

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
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path}: not an inventory ({error})") from None


def make_hosts(entries: Sequence[Any], where: str) -> tuple[Host, ...]:
    """Hosts as a person writes them: mappings with `name`, `role`, `address` and what differs.

    Args:
        entries: of the YAML file.
        where: the file, for errors.

    Raises:
        InputError: an entry lacks something, has a key that is none, or a value that makes no sense.
    """
    try:
        return tuple(_host(entry, place) for place, entry in enumerate(entries))
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _host(entry: Any, place: int) -> Host:
    known = Host.__dataclass_fields__
    if not isinstance(entry, Mapping):
        raise InputError(f"host {place}: {entry!r}: give name, role and address")
    odd = sorted(set(entry) - set(known))
    if "slots" in odd:
        raise InputError(
            f"host {place}: slots {entry['slots']!r}: all nodes have the same for now; set cluster.slots"
        )
    if odd:
        raise InputError(f"host {place}: there is no {odd[0]!r}; use {', '.join(known)}")
    missing = [name for name in ("name", "role", "address") if not entry.get(name)]
    if missing:
        raise InputError(f"host {place}: lacks {missing[0]}")
    check_names([str(entry["name"])], f"host {place}: name", LONGEST_HOST)
    host = Host(**entry)
    if host.role not in get_args(Role):
        raise InputError(f"host {place}: role {host.role!r}: use one of {list(get_args(Role))}")
    if not isinstance(host.port, int) or not 1 <= host.port <= 65535:
        raise InputError(f"host {place}: port {host.port!r}: give 1 to 65535")
    return host
