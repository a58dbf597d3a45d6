"""Remove what was deployed to the live cluster; hosts, images and profiles stay.

metis undeploy cluster=lab
metis undeploy cluster=hosts cluster.inventory=hosts.yaml deploy.session=second
"""

from collections.abc import Sequence

from flows.command.output import only_json
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.engine.console import stdout
from flows.live.session import check_live, undeploy


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    settings = validated(compose_plain(arguments))
    check_live(settings)
    with only_json(settings.output == "json") as answer:
        removed = undeploy(settings)
        if settings.output == "json":
            answer({"removed": removed})
        else:
            stdout.print(f"{len(removed)} containers removed")
            for name in removed:
                stdout.print(f"  {name}", markup=False)
    return 0
