"""Stage setup: the hosts that take part, made ready and joined; a local run has none."""

from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.declaration import Stage
from flows.engine.work import Work
from flows.live.state import INVENTORY


def run(work: Work) -> None:
    """Write `inventory.json`: hosts that are up, joined to one cluster, with the facts of each.

    Done again before each use: nothing changes where all is as it should be, and changes are reported.
    """
    settings = work.settings
    if not settings.cluster.live:
        work.write_json(INVENTORY, {"kind": settings.cluster.kind, "hosts": []})
        return
    from flows.live.inventory import prepared

    work.write_json(INVENTORY, prepared(settings, lambda line: say(f"  {line}")).as_json())


def _declared(settings: Settings, part: str) -> tuple[str, ...]:
    del part
    return ("cluster", "ec2") if settings.cluster.live else ("cluster.kind",)


STAGE = Stage(
    name="setup",
    about="Make the hosts of the cluster ready.",
    run=run,
    settings=_declared,
    unkeyed=("connect", "images", "launch", "tracking.path"),
    always=lambda settings: settings.cluster.live,
)
