"""The image that the nodes of a lab run, and the engine of this machine that builds and runs it."""

import hashlib
import os
from typing import Any

from cluster.provision.lab.layout import HERE
from cluster.settings import BuildSettings
from metis.errors import SurroundingsError

SOURCES = ("Dockerfile", "entry.sh", "registry.yml", "sshd.conf")
REPOSITORY = "metis/lab-node"
DEPS = "`make lab-deps` prepares it from Debian's packages"
# what a lab is built with where no setting names another; see cluster/provision/lab/deps.sh
LAB_BUILD = BuildSettings(base_image="metis-base:bookworm", network="host")


def local_engine(timeout: float = 120.0) -> Any:
    """The engine that the `docker` command of this machine talks to, as docker.DockerClient.

    Raises:
        SurroundingsError: none responds.
    """
    import docker
    from docker.context import ContextAPI

    try:
        if os.environ.get("DOCKER_HOST"):
            client = docker.from_env(timeout=timeout)
        else:
            context = ContextAPI.get_current_context()
            client = docker.DockerClient(base_url=context.Host if context else None, timeout=timeout)
        client.ping()
    # requests', urllib3's and the SDK's own errors have no common base
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise SurroundingsError(f"no Docker engine responds on this machine ({reason}); {DEPS}") from None
    return client


def node_image(engine: Any, settings: BuildSettings = LAB_BUILD) -> str:
    """Tag of the node's image, built if it is not there. It names what the image was made from.

    Args:
        engine: of this machine.
        settings: what it is built on.

    Raises:
        SurroundingsError: the base image is missing, or the build fails; says where.
    """
    import docker.errors

    base = _base(engine, settings.base_image)
    digest = hashlib.sha256(base.id.encode())
    for source in SOURCES:
        digest.update((HERE / source).read_bytes())
    tag = f"{REPOSITORY}:{digest.hexdigest()[:12]}"
    try:
        engine.images.get(tag)
    except docker.errors.ImageNotFound:
        _build(engine, tag, settings)
    return tag


def _base(engine: Any, name: str) -> Any:
    import docker.errors

    try:
        return engine.images.get(name)
    except docker.errors.ImageNotFound:
        pass
    try:
        return engine.images.pull(name)
    except docker.errors.APIError as error:
        reason = str(error.explanation or error).splitlines()[0]
        raise SurroundingsError(f"image {name} is not here and cannot be pulled ({reason}); {DEPS}") from None


def _build(engine: Any, tag: str, settings: BuildSettings) -> None:
    import docker.errors

    network = None if settings.network == "default" else settings.network
    try:
        engine.images.build(
            path=str(HERE),
            tag=tag,
            buildargs={"BASE_IMAGE": settings.base_image},
            network_mode=network,
            rm=True,
            forcerm=True,
        )
    except docker.errors.BuildError as error:
        lines = [str(step["stream"]).strip() for step in error.build_log if step.get("stream")]
        last = next((line for line in reversed(lines) if line), "no output")
        raise SurroundingsError(f"building {tag}: {error.msg}; it said: {last}") from None
    except docker.errors.APIError as error:
        raise SurroundingsError(f"building {tag}: {error.explanation or error}") from None
