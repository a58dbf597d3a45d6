"""Print the completion script of a shell: verbs, keys of the settings, and options of their groups.

metis completion bash >> ~/.bashrc
metis completion zsh > ~/.zsh/_metis
metis completion fish > ~/.config/fish/completions/metis.fish
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from metis.errors import InputError

BASH = """_metis() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "{verbs}" -- "$word")); return; fi
  COMP_WORDBREAKS="${{COMP_WORDBREAKS//=/}}"
  COMPREPLY=($(compgen -W "{words}" -- "$word"))
  [[ ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace
}}
complete -o default -F _metis metis
"""
ZSH = """#compdef metis
_metis() {{
  if (( CURRENT == 2 )); then compadd -- {verbs}; else compadd -S '' -- {words}; fi
}}
compdef _metis metis
"""
FISH = """complete -c metis -f -n "test (count (commandline -opc)) -eq 1" -a "{verbs}"
complete -c metis -f -n "test (count (commandline -opc)) -gt 1" -a "{words}"
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    if len(arguments) != 1 or arguments[0] not in SCRIPTS:
        given = " ".join(arguments) or "no shell"
        raise InputError(f"completion: {given!r}: name one of {', '.join(SCRIPTS)}")
    from flows.command.main import VERBS

    print(SCRIPTS[arguments[0]].format(verbs=" ".join(VERBS), words=" ".join(words())), end="")
    return 0


def words() -> list[str]:
    """What may follow a verb: `group=option` for every file of `conf/`, and `key=` for every setting."""
    options = [
        f"{folder.name}={file.name.removesuffix('.yaml')}"
        for folder in files("conf").iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
    ]
    from flows.configuration.settings import Settings

    defaults: dict[str, Any] = json.loads(Settings().model_dump_json())
    return sorted(set(options)) + sorted(set(_keys(defaults)))


def _keys(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _keys(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}="
