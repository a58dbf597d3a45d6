"""Flags of Hydra: `--cfg job` and what a Hydra user would type else, done or refused with a hint."""

from collections.abc import Sequence

from flows.command.result import Line, Result
from metis.errors import InputError

INSTEAD = {
    "--info": "use `metis config`, which prints every value with its meaning",
    "-i": "use `metis config`, which prints every value with its meaning",
    "--hydra-help": "use `metis VERB --help` and `metis config`",
    "--config-name": "use experiment=NAME, a file in conf/experiment or in --config-dir DIR",
    "-cn": "use experiment=NAME, a file in conf/experiment or in --config-dir DIR",
    "--config-path": "use --config-dir DIR for groups of your own",
    "-cp": "use --config-dir DIR for groups of your own",
    "--resolve": "values are always resolved",
    "--package": "use `metis config`, then look for the section",
    "-p": "use `metis config`, then look for the section",
    "--run": "a verb runs once without -m",
    "--experimental-rerun": "type the command again: what is finished is reused",
    "--shell-completion": "use `metis completion bash`",
    "-sc": "use `metis completion bash`",
}
SWEEP = ("-m", "--multirun")
CONFIG = ("--cfg", "-c")


def result(verb: str, words: Sequence[str]) -> Result | None:
    """Return the result of a flag of Hydra's among the words; None where there is none.

    Raises:
        InputError: a flag that does nothing here; names what to use instead.
    """
    for i, word in enumerate(words):
        flag = word.partition("=")[0]
        if flag in CONFIG:
            kind = word.partition("=")[2] or (words[i + 1] if i + 1 < len(words) else "")
            if kind != "job":
                raise InputError(f"{flag} {kind!r}: use `{flag} job`, or `metis config` for the meanings")
            skipped = 1 if "=" in word else 2
            return _composed([*words[:i], *words[i + skipped :]])
        if flag in SWEEP and verb != "run":
            raise InputError(f"metis {verb}: takes no {flag}; a sweep is `metis run -m key=a,b`")
        if flag in INSTEAD:
            raise InputError(f"{flag}: {INSTEAD[flag]}")
    return None


def _composed(words: Sequence[str]) -> Result:
    from flows.configuration.compose import compose_plain
    from flows.configuration.description import as_yaml
    from flows.configuration.settings import plain, validated

    text = as_yaml(plain(validated(compose_plain(list(words)))))
    return Result(views=[Line(text.rstrip("\n"))])
