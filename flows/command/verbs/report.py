"""Write the report page of a run, doing only what is missing.

metis report                          the page of the default run
metis report experiment=quick report=out.html
"""

from dataclasses import replace

from flows.command.request import EVERY, OF_ONE_VERB, Request, Verb
from flows.command.result import Result
from flows.command.verbs import run as run_verb
from flows.engine.console import say
from flows.stages.chain import missing, open_memo


def run(request: Request) -> Result:
    """See the module's text."""
    settings = replace(request.settings, until="report", stages=None)
    left = list(missing(open_memo(settings, command=request.command)))
    if left:
        say(f"not done yet under these settings, and so done now: {', '.join(left)}")
    return run_verb.run(replace(request, settings=settings))


VERB = Verb(run, settings=EVERY, unread=OF_ONE_VERB)
