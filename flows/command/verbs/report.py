"""Write the report page of a run, doing only what is missing.

metis report                          the page of the default run
metis report experiment=quick report=out.html
"""

from dataclasses import replace

from flows.command.request import EVERY, Request, Verb
from flows.command.result import Result
from flows.command.verbs import run as run_verb


def run(request: Request) -> Result:
    """See the module's text."""
    return run_verb.run(replace(request, settings=replace(request.settings, until="report", stages=None)))


VERB = Verb(run, settings=EVERY)
