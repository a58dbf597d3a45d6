"""Check what this machine has and lacks, and name the command that mends it.

metis doctor
metis doctor cluster=lab
metis doctor output=json

Ends with 1 where something is missing that nothing works without.
"""

from flows.command.machine import examine
from flows.command.request import EVERY, Request, Verb
from flows.command.result import Result, Table

COLOURS = {"ok": "green", "note": "yellow", "missing": "red"}


def run(request: Request) -> Result:
    """See the module's text."""
    findings = examine(request.settings)
    rows = [[one.what, one.state, one.found, one.cure] for one in findings]
    table = Table("This machine", ["what", "state", "found", "mend it"], rows, cell_styles={"state": COLOURS})
    code = int(any(one.state == "missing" for one in findings))
    return Result({"checks": [vars(one) for one in findings]}, [table], code)


VERB = Verb(run, settings=EVERY)
