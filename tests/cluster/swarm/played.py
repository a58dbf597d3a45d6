"""A Swarm in memory: engines of hosts, their nodes, services and tasks, behind what a `Fleet` offers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from cluster.provision.inventory import Host, Inventory
from metis.errors import SurroundingsError

FACTS = (
    "hostname={name}\ncores=4\nmemory={memory}\nengine=20\nclient=docker\nsystem=debian\naddresses={address} "
)
GB = 1 << 30


@dataclass
class Played:
    """Engines by host name, and the one Swarm that they may be in. Stands for a `Fleet`."""

    inventory: Inventory
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)  # by id; what the manager lists
    member: dict[str, str] = field(default_factory=dict)  # host name -> node id
    services: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    networks: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)  # hosts that do not respond
    on_host: dict[str, str] = field(default_factory=dict)  # what other commands print, by host name
    memory: int = 16 * GB
    now: float = 0.0  # the manager's clock, seconds
    left: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def named(self, name: str, hosts: Iterable[Host] | None = None) -> "Played":
        """The same machines, by another cluster's name; perhaps of another inventory."""
        inventory = Inventory("hosts", name, tuple(hosts or self.inventory.hosts), "known")
        other = Played(inventory)
        for shared in ("nodes", "member", "services", "tasks", "networks", "silent", "on_host", "left"):
            setattr(other, shared, getattr(self, shared))
        return other

    def report(self, line: str) -> None:
        self.said.append(line)

    def run(self, host: Host, command: str, **_: Any) -> str:
        self._refuse_silent(host)
        if "hostname=" in command:
            return FACTS.format(name=host.name, memory=self.memory, address=host.seen_as)
        if "getent" in command:
            return host.seen_as
        if "LocalNodeState" in command:
            return "active" if host.name in self.member else "inactive"
        return self.on_host.get(host.name, "")

    def engine(self, host: Host) -> Any:
        self._refuse_silent(host)
        return Engine(self, host)

    def outcomes(self, hosts: Iterable[Host], do: Callable[[Host], Any]) -> Any:
        succeeded, failed = {}, {}
        for host in hosts:
            try:
                succeeded[host.name] = do(host)
            except SurroundingsError as error:
                failed[host.name] = error
        return SimpleNamespace(succeeded=succeeded, failed=failed)

    def each(self, hosts: Iterable[Host], do: Callable[[Host], Any]) -> dict[str, Any]:
        return {host.name: do(host) for host in hosts}

    def join(self, host: Host, **labels: str) -> str:
        """Make a host a node, by hand or by one of our own; returns its id."""
        node_id = f"id-{host.name}"
        self.member[host.name] = node_id
        self.nodes[node_id] = {
            "ID": node_id,
            "Spec": {"Labels": dict(labels), "Availability": "active", "Role": "worker"},
            "Description": {"Hostname": host.name},
            "Status": {"State": "ready"},
            "Version": {"Index": 0},
        }
        return node_id

    def serve(self, name: str, node: str, mode: str = "Replicated", **labels: str) -> None:
        """A service with a task that runs on a host."""
        spec = {"Name": name, "Labels": labels, "Mode": {mode: {}}}
        self.services.append({"ID": f"s-{name}", "Spec": spec, "Endpoint": {}})
        task = {"ServiceID": f"s-{name}", "NodeID": self.member[node], "Status": {"State": "running"}}
        self.tasks.append(task | {"Spec": {"ContainerSpec": {}}, "CreatedAt": "", "DesiredState": "running"})

    def labels(self, host: str) -> Mapping[str, str]:
        return self.nodes[self.member[host]]["Spec"]["Labels"]

    def _refuse_silent(self, host: Host) -> None:
        if host.name in self.silent:
            raise SurroundingsError(f"{host.name}: does not respond")


class Engine:
    """The engine of one host, as far as the Docker SDK is used."""

    def __init__(self, played: Played, host: Host) -> None:
        self._played, self._host = played, host
        self.api = SimpleNamespace(
            services=self._services,
            tasks=lambda filters=None: list(played.tasks),
            nodes=lambda: list(played.nodes.values()),
            networks=lambda names: [
                {"Name": name, "Driver": "overlay", "Labels": labels}
                for name, labels in played.networks
                if name in names
            ],
            remove_network=lambda name: played.networks.pop(),
            create_network=lambda name, driver, labels: played.networks.append((name, labels)),
            remove_node=lambda node_id, force=False: played.nodes.pop(node_id),
        )
        self.swarm = SimpleNamespace(init=self._init, join=self._join, leave=self._leave, reload=lambda: None)
        self.swarm.attrs = {"JoinTokens": {"Worker": "token"}}
        self.nodes = SimpleNamespace(list=self._nodes, get=self._node)
        self.services = SimpleNamespace(list=self._named_services)
        self.networks = SimpleNamespace(list=self._networks)

    def info(self) -> dict[str, Any]:
        played, manager = self._played, self._played.inventory.manager
        node_id = played.member.get(self._host.name, "")
        swarm = {
            "LocalNodeState": "active" if node_id else "inactive",
            "NodeID": node_id,
            "ControlAvailable": bool(node_id) and self._host == manager,
            "RemoteManagers": [{"Addr": "manager:2377", "NodeID": played.member.get(manager.name, "")}],
        }
        seconds = int(played.now)
        clock = f"2026-01-01T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.000000001Z"
        return {"Swarm": swarm, "SystemTime": clock}

    def version(self) -> dict[str, str]:
        return {"Version": "20"}

    def _init(self, **_: Any) -> None:
        self._played.join(self._host)

    def _join(self, **_: Any) -> None:
        self._played.join(self._host)

    def _leave(self, force: bool = False) -> None:
        node_id = self._played.member.pop(self._host.name)
        self._played.left.append(self._host.name)
        if self._host == self._played.inventory.manager:
            self._played.nodes.clear()
        elif node_id in self._played.nodes:
            self._played.nodes[node_id]["Status"]["State"] = "down"

    def _nodes(self) -> list[Any]:
        return [self._node(node_id) for node_id in self._played.nodes]

    def _node(self, node_id: str) -> Any:
        node = self._played.nodes[node_id]
        seen = node["Version"]["Index"]

        def update(spec: dict[str, Any]) -> None:
            if node["Version"]["Index"] != seen:
                from docker.errors import APIError

                raise APIError("update out of sequence")
            node["Version"]["Index"] += 1
            node["Spec"] = spec

        attrs = {**node, "Spec": {**node["Spec"], "Labels": dict(node["Spec"]["Labels"])}}
        return SimpleNamespace(id=node_id, attrs=attrs, update=update)

    def _services(self, filters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        wanted = (filters or {}).get("label", [])
        wanted = [wanted] if isinstance(wanted, str) else wanted
        pairs = [word.split("=", 1) for word in wanted]
        return [
            one
            for one in self._played.services
            if all(one["Spec"]["Labels"].get(key) == value for key, value in pairs)
        ]

    def _named_services(self, filters: Mapping[str, Any]) -> list[Any]:
        def remove(one: dict[str, Any]) -> None:
            self._played.services.remove(one)
            self._played.tasks[:] = [t for t in self._played.tasks if t["ServiceID"] != one["ID"]]

        return [
            SimpleNamespace(name=one["Spec"]["Name"], remove=lambda one=one: remove(one))
            for one in self._services(filters)
        ]

    def _networks(self, filters: Mapping[str, Any]) -> list[Any]:
        key, value = filters["label"].split("=", 1)
        kept = self._played.networks
        return [
            SimpleNamespace(name=name, remove=lambda one=(name, labels): kept.remove(one))
            for name, labels in list(kept)
            if labels.get(key) == value
        ]
