"""Print the composed settings, with the meaning of every key.

metis config                                 all settings
metis config cluster=lab                     as a variant composes them
metis config place group.size=300            those that a verb reads
metis config output=json                     as one JSON document

`metis VERB ... --cfg job` prints the plain YAML that a command would run with.
"""

from difflib import get_close_matches

from flows.command.commands import VERBS
from flows.command.request import EVERY, Request, Verb, read_by
from flows.command.result import Line, Result
from flows.configuration.compose import groups
from flows.configuration.description import described
from flows.configuration.settings import Settings, plain
from metis.errors import InputError


def run(request: Request) -> Result:
    """See the module's text."""
    tree = plain(request.settings)
    only = _read_by(request.words[0], request.settings) if request.words else None
    text = described(tree, only)
    options = [f"{name}: {', '.join(found)}" for name, found in groups().items()]
    views = [Line(text.rstrip("\n")), Line("\nVariants to choose, as in simulator=forest:", "dim")]
    return Result(tree, [*views, *(Line(f"  {option}", "dim") for option in options)])


def _read_by(name: str, settings: Settings) -> tuple[str, ...] | None:
    from importlib import import_module

    if name not in VERBS:
        near = get_close_matches(name, VERBS, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; use one of {', '.join(VERBS)}"
        raise InputError(f"config: {name!r} is not a verb{hint}")
    verb: Verb = import_module(f"flows.command.verbs.{name.replace('-', '_')}").VERB
    reads = read_by(verb, settings)
    return None if reads == EVERY else ("output", "tracking", "seed", *reads)


VERB = Verb(run, settings=EVERY, words=1)
