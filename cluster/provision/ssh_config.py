"""What the user's SSH configuration says about a host, as OpenSSH's own client reads it."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cluster.provision.inventory import Host, Role
from metis.errors import InputError

USERS, SYSTEM = "~/.ssh/config", "/etc/ssh/ssh_config"
DEFAULT_USER = "root"
KEYS = ("~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519")
KNOWN = ("userknownhostsfile", "globalknownhostsfile")
MOST_JUMPS = 8
READ_WITHIN = 60.0
HOP = re.compile(r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<name>\[[^\]]+\]|[^:]+)(?::(?P<port>\d+))?/?")


@dataclass(frozen=True)
class Route:
    """How a host is reached.

    Attributes:
        host: with the address, port and user of the configuration.
        keys: paths of the private keys to log in with, in order; those that do not exist are passed over.
        only_keys: whether no other key of the agent may be tried.
        agent: path of the agent's socket; None for no agent.
        jump: the host to connect through, itself a route.
        command: whose input and output are the connection, in place of a socket.
        known_hosts: files of trusted host keys besides the inventory's.
    """

    host: Host
    keys: tuple[str, ...] = ()
    only_keys: bool = False
    agent: str | None = None
    jump: "Route | None" = None
    command: str | None = None
    known_hosts: tuple[str, ...] = ()


def users_config(given: str | None) -> str | None:
    """The SSH configuration to read: `given`, else the user's, else none but the machine's own.

    Raises:
        InputError: there is one, but no `ssh` to read it.
    """
    path = Path(given or USERS).expanduser()
    if given and not path.exists():
        raise InputError(f"ssh_config {given}: there is no such file")
    if shutil.which("ssh"):
        return str(path.absolute())
    if path.is_file():
        raise InputError(f"{path}: the command `ssh` reads it; install openssh-client")
    return None


def configured(
    name: str,
    address: str,
    role: Role,
    user: str | None,
    port: int | None,
    config: str | None,
    otherwise: str | None = DEFAULT_USER,
) -> Host:
    """The host that `address`, an alias perhaps, means by the SSH configuration.

    Args:
        name: of the host in the inventory.
        address: as a person would give it to `ssh`.
        role: of the host.
        user, port: instead of the configuration's; None for those.
        config: path of the user's configuration; None to read none.
        otherwise: the user where neither names one; None for the one who runs this.

    Raises:
        InputError: the configuration cannot be read; says what `ssh` says.
    """
    plain = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    if config is None:
        return Host(name, role, plain, port or 22, user or DEFAULT_USER)
    said = _said(plain, user, port, config, otherwise)
    return Host(
        name=name,
        role=role,
        address=said["hostname"][0],
        port=int(said["port"][0]),
        user=said["user"][0],
        alias=plain,
        known_as=_one(said, "hostkeyalias"),
    )


def route_to(host: Host, config: str | None, depth: int = 0) -> Route:
    """How to reach a host of the inventory.

    Args:
        host: with its alias, where the configuration counts for it.
        config: path of the user's configuration.
        depth: of jumps so far.

    Raises:
        InputError: the configuration cannot be read, or its jumps go in a circle.
    """
    agent = os.environ.get("SSH_AUTH_SOCK") or None
    if host.alias is None or config is None:
        keys = (host.key,) if host.key else tuple(str(Path(key).expanduser()) for key in KEYS)
        return Route(host, keys, bool(host.key), agent)
    if depth > MOST_JUMPS:
        raise InputError(f"{config}: the jumps to {host.alias} are more than {MOST_JUMPS}, or a circle")
    said = _said(host.alias, host.user, host.port, config)
    files = [path for kind in KNOWN for path in (_one(said, kind) or "").split()]
    command = _one(said, "proxycommand")
    return Route(
        host=host,
        keys=(host.key,) if host.key else tuple(_filled(path, host) for path in said.get("identityfile", [])),
        only_keys=bool(host.key) or _one(said, "identitiesonly") == "yes",
        agent=_agent(said, host, agent),
        jump=_through(_one(said, "proxyjump"), config, depth),
        command=_filled(command, host) if command else None,
        known_hosts=tuple(_filled(path, host) for path in files),
    )


def _agent(said: Mapping[str, list[str]], host: Host, usual: str | None) -> str | None:
    named = said.get("identityagent", ["SSH_AUTH_SOCK"])[0]
    if named in ("SSH_AUTH_SOCK", "none"):
        return usual if named == "SSH_AUTH_SOCK" else None
    return os.environ.get(named[1:]) if named.startswith("$") else _filled(named, host)


def _through(jumps: str | None, config: str, depth: int) -> Route | None:
    """The last of the jumps, reached through those before it; the first as the configuration says."""
    route: Route | None = None
    for text in filter(None, (jumps or "").split(",")):
        hop = HOP.fullmatch(text)
        if hop is None:
            raise InputError(f"{config}: ProxyJump {text}: give [user@]host[:port]")
        port = int(hop["port"]) if hop["port"] else None
        # a jump logs in as its own user, or as the one who runs this: root is for the hosts of a cluster
        host = configured(
            f"jump host {hop['name']}", hop["name"], "client", hop["user"], port, config, otherwise=None
        )
        found = route_to(host, config, depth + 1)
        route = found if route is None else replace(found, jump=route, command=None)
    return route


def _said(
    alias: str, user: str | None, port: int | None, config: str, otherwise: str | None = None
) -> Mapping[str, list[str]]:
    """What `ssh -G` prints: every setting that holds for a host, several values of one in order."""
    words = ["ssh", "-T", "-G", "-F", "/dev/stdin"]
    words += ["-l", user] if user else []
    words += ["-p", str(port)] if port else []
    text = f'Include "{config}"\nMatch all\nInclude {SYSTEM}\nMatch all\n'
    text += f"User {otherwise}\n" if otherwise else ""
    try:
        done = subprocess.run(
            [*words, "--", alias], input=text, capture_output=True, text=True, timeout=READ_WITHIN
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{config}: `ssh -G {alias}` did not end within {READ_WITHIN:g} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "seudo-terminal" not in line]
        raise InputError(f"{config}: ssh: {lines[0][:300] if lines else 'cannot be read'}")
    said: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        said.setdefault(key, []).append(value)
    return said


def _one(said: Mapping[str, list[str]], key: str) -> str | None:
    value = said.get(key, ["none"])[0]
    return None if value in ("none", "") else value


def _filled(text: str, host: Host) -> str:
    """A value with the tokens of ssh_config(5), variables and `~` replaced."""
    home = str(Path.home())
    tokens = {"%": "%", "h": host.address, "n": host.alias or host.address, "p": str(host.port)}
    tokens |= {"r": host.user, "d": home, "u": Path(home).name, "k": host.known_as or host.address}
    filled = re.sub(r"%(.)", lambda found: tokens.get(found[1], found[0]), text)
    filled = re.sub(r"\$\{(\w+)\}", lambda found: os.environ.get(found[1], ""), filled)
    return home + filled[1:] if filled.startswith("~/") else filled
