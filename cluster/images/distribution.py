"""Images brought to the hosts that run them, the same image on each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cluster.images.build import Image, find, local_engine
from cluster.provision.engine import engine_errors
from cluster.provision.inventory import Host, Inventory
from cluster.settings import BuildSettings
from metis.errors import SurroundingsError

if TYPE_CHECKING:
    import docker

    from cluster.provision.hosts import Fleet

_HERE = Host(name="this machine", role="client", address="127.0.0.1")


def distribute(
    fleet: "Fleet",
    images: Sequence[Image],
    settings: BuildSettings,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> tuple[Image, ...]:
    """Bring images to the hosts that run them, through the registry where there is one, else over SSH.

    Args:
        fleet: the hosts.
        images: as `cluster.images.build.build` returned them.
        settings: for the timeout.
        report: called with a line for each image that a host lacked.

    Returns:
        the images, with their ids as the hosts know them.

    Raises:
        SurroundingsError: a push, pull or load fails, or hosts end with other images; names host and image.
    """
    inventory = fleet.inventory
    wanted = {host.name: wanted_on(host, images, inventory) for host in inventory.hosts}
    hosts = [host for host in inventory.hosts if wanted[host.name]]
    client = local_engine(settings.timeout)
    try:
        layers = {one.tag: _layers(client, one) for one in images}

        def known(host: Host) -> dict[str, str]:
            found = {one.tag: _known(fleet, host, one, layers[one.tag]) for one in wanted[host.name]}
            return {tag: known for tag, known in found.items() if known}

        ids = fleet.each(hosts, known)
        lacking = {host.name: [o for o in wanted[host.name] if o.tag not in ids[host.name]] for host in hosts}
        if inventory.registry:
            for one in {one.tag: one for missing in lacking.values() for one in missing}.values():
                _push(client, one, inventory)
    finally:
        client.close()

    def bring(host: Host) -> dict[str, str]:
        for one in lacking[host.name]:
            report(f"{host.name}: bringing {one.tag}")
            if inventory.registry:
                _pull(fleet, host, one)
            else:
                _load(fleet, host, one, settings)
        return {one.tag: _verified(fleet, host, one, layers[one.tag]) for one in lacking[host.name]}

    for name, brought in fleet.each([host for host in hosts if lacking[host.name]], bring).items():
        ids[name] |= brought
    return tuple(_agreed(one, ids) for one in images)


def wanted_on(host: Host, images: Sequence[Image], inventory: Inventory) -> list[Image]:
    """The images that one host runs, each once; a manager that sends load has those of clients too."""
    clients = {client.name for client in inventory.clients}
    roles = {host.role} | ({"client"} if host.name in clients else set())
    return list({one.tag: one for one in images if one.role in roles}.values())


def _push(client: "docker.DockerClient", image: Image, inventory: Inventory) -> None:
    """Push to the registry, under a name that lasts no longer than that."""
    registry = inventory.push or inventory.registry
    name, _, digest = image.tag.rpartition(":")
    doing = f"pushing {image.tag} to {registry}"
    with engine_errors(_HERE, doing):
        client.api.tag(image.tag, f"{registry}/{name}", digest)
        try:
            for event in client.api.push(f"{registry}/{name}", digest, stream=True, decode=True):
                if "error" in event:
                    raise SurroundingsError(f"{doing}: {' '.join(str(event['error']).split())}")
        finally:
            client.api.remove_image(f"{registry}/{name}:{digest}", noprune=True)


def _pull(fleet: "Fleet", host: Host, image: Image) -> None:
    registry = fleet.inventory.registry
    name, _, digest = image.tag.rpartition(":")
    doing = f"pulling {image.tag} from {registry}"
    with engine_errors(host, doing):
        api = fleet.engine(host).api
        for event in api.pull(f"{registry}/{name}", digest, stream=True, decode=True):
            if "error" in event:
                raise SurroundingsError(f"{host.name}: {doing}: {' '.join(str(event['error']).split())}")
        api.tag(f"{registry}/{name}:{digest}", name, digest)
        api.remove_image(f"{registry}/{name}:{digest}", noprune=True)


def _load(fleet: "Fleet", host: Host, image: Image, settings: BuildSettings) -> None:
    """`docker save` of here into `docker load` of there; nothing touches a disk in between."""
    client = local_engine(settings.timeout)
    try:
        with engine_errors(_HERE, f"saving {image.tag}"):
            source = _Chunks(client.api.get_image(image.tag))
            fleet.stream(host, "docker load --quiet", source, timeout=settings.timeout)  # type: ignore[arg-type]
    finally:
        client.close()


class _Chunks:
    """Chunks of bytes, read as from a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = b""

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._left = chunk
        given, self._left = self._left[:size], self._left[size:]
        return given


def _layers(client: "docker.DockerClient", image: Image) -> list[str]:
    found = find(client, image.tag)
    if found is None:
        raise SurroundingsError(
            f"{image.tag} ({image.app}): is gone from this machine; run the stage build again"
        )
    return list(found["RootFS"].get("Layers") or [])


def _known(fleet: "Fleet", host: Host, image: Image, layers: Sequence[str]) -> str | None:
    """The id under which a host has the image; None where it has not, or another under that tag.

    An engine that stores images another way than ours has another id for the same layers.
    """
    with engine_errors(host, f"looking for {image.tag}"):
        client = fleet.engine(host)
        found = find(client, image.id) or find(client, image.tag)
    if found is None or (found["Id"] != image.id and list(found["RootFS"].get("Layers") or []) != layers):
        return None
    return str(found["Id"])


def _verified(fleet: "Fleet", host: Host, image: Image, layers: Sequence[str]) -> str:
    known = _known(fleet, host, image, layers)
    if known is None:
        raise SurroundingsError(
            f"{host.name}: {image.tag} ({image.app}) was brought, but what it has is not {image.id[:19]}"
        )
    return known


def _agreed(image: Image, ids: Mapping[str, Mapping[str, str]]) -> Image:
    """The image with the one id that all its hosts have.

    Raises:
        SurroundingsError: hosts differ; names two.
    """
    by_host = {host: known[image.tag] for host, known in ids.items() if image.tag in known}
    if len(set(by_host.values())) > 1:
        one, first = next(iter(by_host.items()))
        other = next(host for host, known in by_host.items() if known != first)
        raise SurroundingsError(
            f"{image.tag} ({image.app}): {one} and {other} have it under different ids: their engines store "
            "images differently; give all nodes the same engine"
        )
    return replace(image, id=next(iter(by_host.values()), image.id))
