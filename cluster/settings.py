"""Settings of everything that concerns real machines."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Literal
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le

from metis.errors import InputError
from metis.settings import OutputPath, Share, TypedText, settings


@settings("connect")
class ConnectSettings:
    """Connections to hosts.

    Attributes:
        connect_timeout: seconds until a host that does not respond is given up.
        command_timeout: seconds a command may take, unless it has a limit of its own.
        retries: further attempts at what may be repeated.
        pause: seconds before the first of them; doubles each time.
        parallel: hosts connected to at once.
        lock_wait: seconds to wait for a cluster that another measures or changes; 0 gives up at once.
    """

    connect_timeout: Annotated[float, Ge(0.1), Le(600)] = 10.0
    command_timeout: Annotated[float, Ge(1), Le(86_400)] = 600.0
    retries: Annotated[int, Ge(0), Le(100)] = 3
    pause: Annotated[float, Ge(0), Le(600)] = 1.0
    parallel: Annotated[int, Ge(1), Le(1024)] = 16
    lock_wait: Annotated[float, Ge(0), Le(1e7)] = 600.0


@settings("images")
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
    scale: Annotated[float, Ge(0.0001), Le(100)] = 1.0
    network: str = "default"
    arguments: Mapping[str, str | int | float] | None = None
    timeout: Annotated[float, Ge(1), Le(86_400)] = 1800.0


@settings("launch")
class LaunchSettings:
    """How containers run on a node.

    Attributes:
        cpus: limit of a container.
        memory_mb: limit of a container.
        cache_mb: memory of the memcached of each node.
        first_port: published port of the first container of a node; the next ones follow.
        ready_timeout: seconds until all containers of a launch must respond.
    """

    cpus: Annotated[float, Ge(0.01), Le(1024)] = 2.0
    memory_mb: Annotated[int, Ge(6), Le(1 << 24)] = 8192
    cache_mb: Annotated[int, Ge(1), Le(1 << 20)] = 2048
    first_port: Annotated[int, Ge(1024), Le(65_000)] = 8081
    ready_timeout: Annotated[float, Ge(1), Le(3600)] = 180.0


@settings("load")
class LoadSettings:
    """How containers are loaded and measured.

    Attributes:
        users: simultaneous users of each container.
        duration: seconds that count.
        warm_up: seconds before them that do not.
        timeout: seconds until a request is given up, and counts as failed.
        sla: seconds above which a response is late and adds nothing to the RPS; None for no limit. An
            application may have its own.
        most_failures: share of failed requests above which a measurement is refused; late responses are
            not failed.
        duet: whether a co-location and its stand-alone runs take turns in short slices, in the same minute;
            else RPS is divided by the stand-alone runs nearest in time.
        precision: half width of the 95 % interval of every ratio, as a share of it, at which a duet ends
            before `duration`, which all its slices together take at most.
        turn: seconds of a slice; slow requests make it longer, little time shorter.
        most_taken: share of a node's processor time that others may take while it is measured; beside more a
            measurement is repeated (`explore.disturbed`), then kept with less weight. 1: whatever they take.
    """

    users: Annotated[int, Ge(1), Le(1000)] = 4
    duration: Annotated[float, Ge(0.5), Le(86_400)] = 300.0
    warm_up: Annotated[float, Ge(0), Le(3600)] = 30.0
    timeout: Annotated[float, Ge(0.05), Le(600)] = 10.0
    sla: Annotated[float, Ge(0.001), Le(600)] | None = None
    most_failures: Share = 0.5
    duet: bool = True
    precision: Annotated[float, Ge(0), Le(10)] = 0.05
    turn: Annotated[float, Ge(0.1), Le(3600)] = 0.5
    most_taken: Share = 0.15


@settings("ec2")
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
        from_address: addresses that the security group lets in by SSH, a CIDR such as 203.0.113.7/32. Needed.
        security_group: id of one to use as it is; None to make one for this cluster.
        subnet: subnet to launch in; None for the default of the region.
        spot: spot instances instead of on demand.
        disk_gb: root disk of an instance.
        endpoint: another endpoint of the EC2 API; None for AWS.
        wait: seconds until instances must run and respond.
    """

    region: str = "us-east-1"
    image: str | None = None
    user: str = "admin"
    manager_type: str = "m5.large"
    worker_type: str = "m5.4xlarge"
    client_type: str = "m5.2xlarge"
    clients: Annotated[int, Ge(0), Le(100)] = 1
    key_name: str | None = None
    key: OutputPath | None = None  # it opens instances and decides nothing about them
    from_address: str | None = None
    security_group: str | None = None
    subnet: str | None = None
    spot: bool = False
    disk_gb: Annotated[int, Ge(8), Le(16_384)] = 40
    endpoint: str | None = None
    wait: Annotated[float, Ge(1), Le(7200)] = 600.0

    def __post_init__(self) -> None:
        if (self.key_name is None) != (self.key is None):
            raise InputError("ec2: give both key_name and key, or neither to have a key made for the cluster")
        if self.from_address is not None:
            _check_from(self.from_address)


@settings("deploy")
class DeploySettings:
    """How a placement is deployed.

    Attributes:
        at_once: nodes changed at a time.
        measure: whether to load and measure what was deployed.
        session: name of the deployment; its containers carry it.
    """

    at_once: Annotated[int, Ge(1), Le(10_000)] = 1
    measure: bool = True
    session: str = "deploy"

    def __post_init__(self) -> None:
        if not self.session.isidentifier():
            raise InputError(f"deploy.session {self.session!r}: give letters, digits and _")


@settings("export")
class ExportSettings:
    """How a placement is written for others.

    Attributes:
        registry: `host:port` where nodes pull images from; None for that of the cluster's inventory, if any.
        cpu_share: share of its CPU limit that a container reserves on Kubernetes; memory is reserved whole.
            With 1, a node holds no more limits than it has cores.
    """

    registry: str | None = None
    cpu_share: Annotated[float, Gt(0), Le(1)] = 0.5


@settings("watch")
class WatchSettings:
    """How deployed containers are watched.

    Attributes:
        source: `load` (Locust, as when profiling), `metrics` (the containers' own counters, no load added) or
            `prometheus` (what a Prometheus server scraped, no load added).
        prometheus: address of that server, such as http://10.0.0.5:9090.
        requests: query of the requests per second by `instance`, a container's address and port; `$window`
            is `load.duration`.
        failures: query of those that failed, likewise.
        interval: seconds between two looks.
        looks: how many; None until stopped.
        level: share of sound measurements that an interval holds.
        noise: deviation of the log-RPS of a measurement.
        remeasure: drifted co-locations measured again, at most, after each look.
        min_gain: share of the value that a plan of moves must gain to be proposed.
        confidence: share of what may truly be that the interval of the gain holds; its low end must exceed
            what the moves cost (`move_cost`).
        rest: hours for which no container is proposed back for a node that gave one of its kind away.
    """

    source: Literal["load", "metrics", "prometheus"] = "load"
    prometheus: TypedText | None = None
    requests: TypedText = "sum by (instance) (rate(metis_requests_total[$window]))"
    failures: TypedText = "sum by (instance) (rate(metis_request_failures_total[$window]))"
    interval: Annotated[float, Ge(0.1), Le(1e6)] = 600.0
    looks: Annotated[int, Ge(1), Le(1_000_000)] | None = 1
    level: Annotated[float, Ge(0.5), Le(0.999999)] = 0.99
    noise: Share = 0.05
    remeasure: Annotated[int, Ge(0), Le(1000)] = 2
    min_gain: Share = 0.01
    confidence: Annotated[float, Ge(0.5), Le(0.999)] = 0.9
    rest: Annotated[float, Ge(0), Le(10_000)] = 24.0

    def check_source(self) -> None:
        """Refuse a source without what it needs.

        Raises:
            InputError: `prometheus` without the server's address.
        """
        if self.source != "prometheus":
            return
        if not self.prometheus or not is_address(self.prometheus):
            raise InputError(
                f"watch.prometheus {self.prometheus!r}: watch.source=prometheus needs the server's address, "
                "such as http://10.0.0.5:9090"
            )


@settings("metrics")
class MetricsSettings:
    """What is read of containers in service, to learn from it.

    Attributes:
        hours: until now, or until the last sample of a file; null: 24 of a server, and all of a file.
        interval: seconds between two samples.
        requests: series of a Prometheus server that counts the requests served, by `node`, `app` and `slot`.
        seconds: series that counts the seconds until they were, waiting included.
        work: series that counts the seconds of work on them, waiting excluded; where there is none they are
            reckoned from the others, for a container that serves one request after the other.
    """

    hours: Annotated[float, Ge(0.1), Le(24 * 366)] | None = None
    interval: Annotated[float, Ge(1), Le(1800)] = 300.0
    requests: TypedText = "metis_request_seconds_count"
    seconds: TypedText = "metis_request_seconds_sum"
    work: TypedText = "metis_work_seconds_total"


def is_address(text: str) -> bool:
    """Whether a text is the address of an HTTP server: with a host, and a port that is a number."""
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:  # a port that is none, or half a pair of brackets
        return False
    return named and text.isprintable() and " " not in text


def _check_from(address: str) -> None:
    try:
        network = ip_network(address)
    except ValueError:
        raise InputError(
            f"ec2.from_address {address!r}: give a CIDR, such as 203.0.113.7/32 for one address"
        ) from None
    if network.prefixlen == 0:
        raise InputError(f"ec2.from_address {address}: opens SSH to everybody; give your own address")
