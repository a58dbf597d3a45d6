"""Declarations that stages share: the problem to be solved, the schedulers of a run, a live cluster."""

from importlib.resources import files
from pathlib import Path

from flows.configuration.settings import Settings
from flows.engine.keys import digest
from metis.files import file_digest

OPTIMUM = "optimum"
GROUPS = ("group", "groups")
PROBLEM = (
    *("cluster.nodes", "cluster.slots", "cluster.types", "apps.requests", "rules", "objective", "existing"),
    *("problem", *GROUPS),
)
TESTBED = ("testbed", "apps.names", "apps.count", "cluster.slots")
# what a measurement on a live cluster depends on
MEASURED = ("launch", "load", "apps.names")
# what measuring or changing it also reads: where its hosts are, how they are reached, how much at once
LIVE = (
    *("cluster", "apps", "connect", "images", "launch", "load", "explore"),
    *("profile.at_once", "tracking.path"),
)


def all_schedulers(settings: Settings) -> list[str]:
    """Return the schedulers of a run, each once.

    The optimum is always among them, as the reference, but where co-locations are too many for it or nodes
    differ.
    """
    deployed = [settings.scheduler] if asks_for(settings, "deploy") and not settings.placement else []
    reference = [] if settings.by_oracle else [OPTIMUM]
    return list(dict.fromkeys([*reference, *settings.schedulers, *deployed]))


def asks_for(settings: Settings, stage: str) -> bool:
    """Whether a stage that is not part of every run is asked for by name."""
    return stage in (settings.stages or ()) or stage in settings.rerun or settings.until == stage


def is_profiled(settings: Settings) -> bool:
    """Whether a run measures a profile: not where schedulers read the testbed's truth, to be judged alone."""
    return settings.simulator.kind != "testbed" or settings.cluster.live


def measures_live(settings: Settings) -> bool:
    """Whether the testbed is the live cluster."""
    return settings.testbed.kind == "swarm"


def hosts_ready(settings: Settings) -> tuple[str, ...]:
    """Return the steps after which the live cluster can be measured; none where it is not the testbed."""
    return ("setup", "build") if measures_live(settings) else ()


def packaged_coefficients(settings: Settings) -> str | None:
    """Return the digest of the packaged testbed's coefficients, where these are used."""
    if settings.testbed.kind != "embedded" or settings.testbed.coefficients:
        return None
    return file_digest(Path(str(files("metis.measure.data") / "seven_apps.yaml")))


def workload_digests(settings: Settings) -> dict[str, str] | None:
    """Return the digest of what each application's image is built from, by name; None without live hosts."""
    if not settings.cluster.live:
        return None
    from cluster.images.catalog import load_catalog, workload_digest

    folders = [Path(folder) for folder in settings.apps.workloads]
    workloads = load_catalog(folders, settings.apps.names or [])
    built = settings.images
    return {one.name: digest([workload_digest(one, built), dict(one.env), one.path]) for one in workloads}


def check_files(settings: Settings) -> None:
    """Refuse files of measurements that are not there, before anything is made for what reads them.

    Raises:
        InputError: names the file.
    """
    from metis.measure.profile_files import check_profile_file

    for named in (settings.profile.path, settings.profile.onto, settings.testbed.path):
        if named:
            check_profile_file(Path(named))
