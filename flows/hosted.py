"""The steps of a live cluster: hosts made ready before it is measured, and what is deployed afterwards."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.keys import digest
from flows.settings import Settings
from flows.step import Step

MEASURING = ("launch", "load")


def hosts_steps(settings: Settings) -> list[Step]:
    """Setup, and on a live cluster build."""
    parts = settings.model_dump(mode="json")
    if not settings.cluster.live:
        return [Step("setup", "setup", (), {"kind": "local"}, ("flows.stages.setup",))]
    hosts = {"cluster": parts["cluster"], "ec2": parts["ec2"] if settings.cluster.kind == "ec2" else None}
    setup = Step("setup", "setup", (), hosts, ("flows.stages.setup",), always=True)
    if not settings.apps.names:
        return [setup]
    # a build argument may be somebody's token: what is recorded is that there is one
    recorded = parts["images"] | {"arguments": digest(parts["images"]["arguments"])}
    images = {"images": recorded, "workloads": workload_digests(settings)}
    modules = ("flows.stages.build",)
    return [setup, Step("build", "build", (), images, modules, after=("setup",), always=True)]


def ready(settings: Settings) -> tuple[str, ...]:
    """The steps after which the live cluster can be measured; none where the testbed is no cluster."""
    return ("setup", "build") if settings.testbed.kind == "swarm" else ()


def measured_on(settings: Settings) -> dict[str, Any]:
    """What a measurement on a live cluster depends on; nothing for another testbed."""
    if settings.testbed.kind != "swarm":
        return {}
    parts = settings.model_dump(mode="json")
    chosen = {name: parts[name] for name in MEASURING}
    return {**chosen, "apps": parts["apps"]["names"], "workloads": workload_digests(settings)}


def running_steps(settings: Settings, placed: Sequence[str]) -> list[Step]:
    """Deploy and watch, where they are asked for: what runs on the cluster is never changed unasked."""
    parts = settings.model_dump(mode="json")
    what = {name: parts[name] for name in ("deploy", "watch", "load", "placement")}
    chosen = () if settings.placement else tuple(n for n in placed if n.split("/")[1] == settings.scheduler)
    reads = {"deploy": ("profile", "simulator", *chosen), "watch": ("profile",)}
    after = tuple(step.name for step in hosts_steps(settings))
    return [
        Step(stage, stage, inputs, what, (f"flows.stages.{stage}",), after=after, always=True)
        for stage, inputs in reads.items()
        if asks_for(settings, stage)
    ]


def asks_for(settings: Settings, stage: str) -> bool:
    """Whether a stage that is not part of every run is asked for by name."""
    return stage in (settings.stages or []) or stage in settings.rerun or settings.until == stage


def workload_digests(settings: Settings) -> dict[str, str]:
    """Digest of what each application's image is built from, by name."""
    from cluster.images.catalog import load_catalog, workload_digest

    folders = [Path(folder) for folder in settings.apps.workloads]
    built = settings.images.made()
    workloads = load_catalog(folders, settings.apps.names or [])
    return {one.name: digest([workload_digest(one, built), dict(one.env), one.path]) for one in workloads}
