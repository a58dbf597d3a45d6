"""A catalogue's applications as exports know them: image, limits, and who is told the address of whom."""

from collections.abc import Sequence
from pathlib import Path

from cluster.export import Application, Link, Support
from cluster.images.catalog import PACKAGED, Workload, context_digest
from cluster.settings import BuildSettings, LaunchSettings
from cluster.swarm.services import HTTP, MEMCACHED, REDIS

CACHE, ORIGIN = "memcached", "origin"


def applications(
    workloads: Sequence[Workload], built: BuildSettings, launch: LaunchSettings, registry: str | None = None
) -> tuple[Application, ...]:
    """The applications of a catalogue, with the tags that stage build gives their images.

    Args:
        workloads: one per column of a placement.
        built: how images are built; it decides their tags.
        launch: limits of a container.
        registry: `host:port` where nodes pull images from; None for images that the nodes have.
    """
    redis = next((one.name for one in workloads if "redis" in one.provides), None)
    return tuple(
        Application(
            name=one.name,
            image=_tag(one.folder, built, registry),
            port=HTTP,
            env=one.env,
            cpus=launch.cpus,
            memory_mb=launch.memory_mb,
            links=_links(one, redis),
        )
        for one in workloads
    )


def supports(
    workloads: Sequence[Workload], built: BuildSettings, launch: LaunchSettings, registry: str | None = None
) -> tuple[Support, ...]:
    """What the applications need beside them: a memcached on each node, one origin of pictures."""
    needs = {need for one in workloads for need in one.needs}
    cache = Support(
        CACHE,
        _tag(PACKAGED / CACHE, built, registry),
        MEMCACHED,
        env={"METIS_CACHE_MB": str(launch.cache_mb)},
    )
    origin = Support(ORIGIN, _tag(PACKAGED / ORIGIN, built, registry), HTTP, each_node=False)
    return tuple(one for one in (cache, origin) if one.name in needs)


def _links(workload: Workload, redis: str | None) -> tuple[Link, ...]:
    links = []
    if "redis" in workload.needs and redis not in (None, workload.name):
        links.append(Link("METIS_REDIS", str(redis), REDIS))
    if CACHE in workload.needs:
        links.append(Link("METIS_MEMCACHED", CACHE, MEMCACHED))
    if ORIGIN in workload.needs:
        links.append(Link("METIS_ORIGIN", ORIGIN, HTTP, "http://{host}:{port}"))
    return tuple(links)


def _tag(folder: Path, built: BuildSettings, registry: str | None) -> str:
    tag = f"metis/{folder.name.lower()}:{context_digest(folder, built)}"
    return f"{registry}/{tag}" if registry else tag
