"""Remove what was deployed to the live cluster; hosts, images and profiles stay.

metis undeploy cluster=lab
metis undeploy cluster=hosts cluster.inventory=hosts.yaml deploy.session=second
"""

from flows.command.request import Request, Verb
from flows.command.result import Line, Result
from flows.live.session import check_live, undeploy
from metis.wording import amount


def run(request: Request) -> Result:
    """See the module's text."""
    check_live(request.settings)
    removed = undeploy(request.settings)
    views = [Line(f"{amount(len(removed), 'container')} removed"), *(Line(f"  {name}") for name in removed)]
    return Result({"removed": removed}, views)


# nothing is measured, so that no applications need be named
VERB = Verb(run, settings=("deploy.session",), site=True, implied=("testbed=embedded",))
