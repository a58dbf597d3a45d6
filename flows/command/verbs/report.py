"""Write the report page of a run, doing only what is missing.

metis report                          the page of the default run
metis report experiment=quick report=out.html
"""

from collections.abc import Sequence

from flows.command.verbs import run as run_verb


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    return run_verb.run([*arguments, "until=report"])
