"""Print the completion script of a shell: verbs, keys of the settings, and options of their groups.

metis completion bash >> ~/.bashrc
metis completion zsh > ~/.zsh/_metis
metis completion fish > ~/.config/fish/completions/metis.fish
"""

from collections.abc import Sequence

from flows.command.request import Request, Verb
from flows.command.result import Result
from metis.errors import InputError

SHELLS = ("bash", "zsh", "fish")


def run(request: Request) -> Result:
    """See the module's text; `_print` does it."""
    raise InputError(f"completion: name one of {', '.join(SHELLS)}, not {request.command!r}")


def _print(words: Sequence[str]) -> int:
    from click.shell_completion import get_completion_class

    from flows.command.commands import commands

    shell = get_completion_class(words[0]) if len(words) == 1 and words[0] in SHELLS else None
    if shell is None:
        given = " ".join(words) or "no shell"
        raise InputError(f"completion: {given!r}: name one of {', '.join(SHELLS)}")
    print(shell(commands, {}, "metis", "_METIS_COMPLETE").source())
    return 0


VERB = Verb(run, unparsed=_print)
