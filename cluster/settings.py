"""Settings of everything that touches real machines."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Literal

from metis.errors import InputError


def _check(section: str, settings: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
    for name, (least, most) in ranges.items():
        value = getattr(settings, name)
        if value is not None and not least <= value <= most:
            raise InputError(f"{section}.{name} {value:g}: give {least:g} to {most:g}")


@dataclass(frozen=True)
class ConnectSettings:
    """How hosts are talked to.

    Attributes:
        connect_timeout: seconds until a host that does not answer is given up.
        command_timeout: seconds a command may take, where nothing shorter is said.
        retries: further tries of what may be tried again.
        pause: seconds before the first of them; doubles each time.
        parallel: hosts talked to at once.
    """

    connect_timeout: float = 10.0
    command_timeout: float = 600.0
    retries: int = 3
    pause: float = 1.0
    parallel: int = 16

    def __post_init__(self) -> None:
        ranges = {"connect_timeout": (0.1, 600), "command_timeout": (1, 86_400), "retries": (0, 100)}
        _check("connect", self, ranges | {"pause": (0, 600), "parallel": (1, 1024)})


@dataclass(frozen=True)
class BuildSettings:
    """How images are built and brought to the nodes.

    Attributes:
        base_image: what every Dockerfile starts from.
        scale: size of a unit of work and of its data; 1 is the published size, a laptop wants less.
        network: network of a build; `host` reaches a package index that only the machine itself reaches.
        arguments: further build arguments, such as `MODEL_URL`.
        timeout: seconds a build or a push may take.
    """

    base_image: str = "debian:bookworm-slim"
    scale: float = 1.0
    network: str = "default"
    arguments: Mapping[str, str | int | float] | None = None
    timeout: float = 1800.0

    def __post_init__(self) -> None:
        _check("images", self, {"scale": (0.0001, 100), "timeout": (1, 86_400)})


@dataclass(frozen=True)
class LaunchSettings:
    """How containers run on a node.

    Attributes:
        cpus: limit of a container.
        memory_mb: limit of a container.
        cache_mb: memory of the memcached of each node.
        first_port: published port of the first container of a node; the next ones follow.
        ready_timeout: seconds until all containers of a launch must answer.
    """

    cpus: float = 2.0
    memory_mb: int = 8192
    cache_mb: int = 2048
    first_port: int = 8081
    ready_timeout: float = 180.0

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {"cpus": (0.01, 1024), "memory_mb": (6, 1 << 24)}
        ranges |= {"cache_mb": (1, 1 << 20), "first_port": (1024, 65_000), "ready_timeout": (1, 3600)}
        _check("launch", self, ranges)


@dataclass(frozen=True)
class LoadSettings:
    """How containers are loaded and measured.

    Attributes:
        users: simultaneous users of each container.
        duration: seconds that count.
        warm_up: seconds before them that do not.
        timeout: seconds until a request is given up, and counts as failed.
        sla: seconds above which an answer counts as failed; None for no limit. An application may have
            its own.
        most_failures: share of failed requests above which a measurement is refused.
    """

    users: int = 4
    duration: float = 300.0
    warm_up: float = 30.0
    timeout: float = 10.0
    sla: float | None = None
    most_failures: float = 0.5

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {"users": (1, 1000), "duration": (0.5, 86_400)}
        ranges |= {"warm_up": (0, 3600), "timeout": (0.05, 600), "sla": (0.001, 600)}
        _check("load", self, ranges | {"most_failures": (0, 1)})


def _check_from(address: str) -> None:
    try:
        network = ip_network(address)
    except ValueError:
        raise InputError(
            f"ec2.from_address {address!r}: give a CIDR, such as 203.0.113.7/32 for one address"
        ) from None
    if network.prefixlen == 0:
        raise InputError(f"ec2.from_address {address}: opens SSH to everybody; give your own address")


@dataclass(frozen=True)
class Ec2Settings:
    """Instances to launch.

    Attributes:
        region: AWS region.
        image: AMI; None for the newest Debian 12 of the region.
        user: to log in as; that of the image.
        manager_type: instance type of the manager.
        worker_type: of the workers.
        client_type: of the clients.
        clients: how many clients.
        key_name: name of the key pair in EC2; None to make one for this cluster.
        key: path of its private key; None where it is made.
        from_address: whom the security group lets in by SSH, a CIDR such as 203.0.113.7/32. Needed.
        security_group: id of one to use as it is; None to make one for this cluster.
        subnet: subnet to launch in; None for the default of the region.
        spot: spot instances instead of on demand.
        disk_gb: root disk of an instance.
        endpoint: another endpoint of the EC2 API; None for AWS.
        wait: seconds until instances must run and answer.
    """

    region: str = "us-east-1"
    image: str | None = None
    user: str = "admin"
    manager_type: str = "m5.large"
    worker_type: str = "m5.4xlarge"
    client_type: str = "m5.2xlarge"
    clients: int = 1
    key_name: str | None = None
    key: str | None = None
    from_address: str | None = None
    security_group: str | None = None
    subnet: str | None = None
    spot: bool = False
    disk_gb: int = 40
    endpoint: str | None = None
    wait: float = 600.0

    def __post_init__(self) -> None:
        _check("ec2", self, {"clients": (0, 100), "disk_gb": (8, 16_384), "wait": (1, 7200)})
        if (self.key_name is None) != (self.key is None):
            raise InputError("ec2: give both key_name and key, or neither to have a key made for the cluster")
        if self.from_address is not None:
            _check_from(self.from_address)


@dataclass(frozen=True)
class DeploySettings:
    """How a placement is deployed.

    Attributes:
        at_once: nodes changed at a time.
        measure: whether to load and measure what was deployed.
        session: name of the deployment; its services carry it.
    """

    at_once: int = 1
    measure: bool = True
    session: str = "deploy"

    def __post_init__(self) -> None:
        _check("deploy", self, {"at_once": (1, 10_000)})
        if not self.session.isidentifier():
            raise InputError(f"deploy.session {self.session!r}: give letters, digits and _")


@dataclass(frozen=True)
class WatchSettings:
    """How deployed containers are watched.

    Attributes:
        source: `load` (Locust, as when profiling) or `metrics` (the services' own counters, no load added).
        interval: seconds between two looks.
        looks: how many; None until stopped.
        level: share of sound measurements that an interval holds.
        noise: deviation of the log-RPS of a measurement.
        remeasure: drifted co-locations measured again, at most, after each look.
        min_gain: share of the value that a better placement must gain to be proposed.
    """

    source: Literal["load", "metrics"] = "load"
    interval: float = 600.0
    looks: int | None = 1
    level: float = 0.99
    noise: float = 0.05
    remeasure: int = 2
    min_gain: float = 0.01

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {"interval": (0.1, 1e6), "looks": (1, 1e6)}
        ranges |= {"level": (0.5, 0.999999), "noise": (0, 1), "remeasure": (0, 1000), "min_gain": (0, 1)}
        _check("watch", self, ranges)
