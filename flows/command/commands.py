"""The verbs of `metis`: the help, what each is called with, and how each of them ends."""

import os
import signal
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from flows.command.ending import Ending
    from flows.command.request import Verb

VERBS = {
    "init": "write a starter for a case of your own: applications, nodes, rules, groups",
    "run": "run the chain of stages, reusing what is finished",
    "status": "show what of the chain is done, failed, stale or missing",
    "config": "print the composed settings, with the meaning of every key",
    "place": "place one group",
    "rebalance": "improve what runs with few moves, each number of them with its bound",
    "compare": "compare schedulers on the same groups",
    "explore": "measure only what pays for the groups to be placed",
    "explain": "show node by node why a placement is worth what it is",
    "constraints": "find the interference constraints of a profile",
    "import": "read a published problem and write it as a folder to place",
    "import-profile": "read measurements, as CSV or .npz, check them and write a profile",
    "import-metrics": "learn a profile from the metrics of containers in service, and who slows down whom",
    "report": "write the report page of a run",
    "lab": "a Swarm of containers on this machine: up, down, status",
    "cluster": "the hosts of a live cluster: status, down, accept",
    "deploy": "deploy a placement to the live cluster and measure it",
    "trial": "try schedulers against one another on the live cluster, with intervals",
    "undeploy": "remove what was deployed",
    "watch": "measure what is deployed, report drift, propose a better placement",
    "export": "write a placement as a Swarm stack, Kubernetes manifests or CSV",
    "serve": "serve the chain and its stages as Prefect deployments",
    "runs": "compare recorded runs in a table: filter, sort, columns, CSV",
    "ui": "open the MLflow UI on them",
    "doctor": "check what this machine has and lacks",
    "gc": "delete old runs and artifacts; shows what it would delete unless asked to",
    "completion": "print the shell's completion script",
}
HELP = """Everything after the verb is a Hydra override: `cluster.nodes=27`, `simulator=forest`,
`output=json`. Paths need no quoting beyond the shell's: `profile.path='my files/a=b.npz'`.
`metis VERB --help` shows examples; `metis config` every setting; `metis --version` the version."""
CONTEXT = {"help_option_names": ["-h", "--help"], "ignore_unknown_options": True}


class Commands(click.Group):
    """The verbs, each imported only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the verbs."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb; its help is the docstring of its module."""
        del ctx
        if cmd_name not in VERBS:
            return None
        module = _module(cmd_name)
        text = (module.__doc__ or "").strip()
        words = click.Argument(["words"], nargs=-1, type=click.UNPROCESSED, shell_complete=_complete)
        return _VerbCommand(
            cmd_name,
            params=[words],
            callback=lambda words: invoke(cmd_name, module.VERB, words),
            help=f"{text}\n\nSettings: `metis config {cmd_name}` lists those that it reads.",
            short_help=VERBS[cmd_name],
            context_settings=CONTEXT,
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        del ctx
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what follows a verb, line by line."""
        del ctx
        formatter.write("\n" + HELP + "\n")


class _VerbCommand(click.Command):
    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the docstring as it stands: click would rewrap its examples."""
        del ctx
        formatter.write((self.help or "") + "\n")


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return what may follow a verb: `group=option`, and `key=` for every setting."""
    del ctx, param
    from flows.configuration.description import completions

    return [CompletionItem(word) for word in completions() if word.startswith(incomplete)]


commands = Commands("metis", context_settings={"help_option_names": ["-h", "--help"]})
commands.subcommand_metavar = "VERB [key=value ...]"


def run(given: list[str]) -> int:
    """Run a verb; return its exit code."""
    completing = "_METIS_COMPLETE" in os.environ  # a shell asks by the environment, without words
    if not completing and (not given or given == ["help"]):
        click.echo(commands.get_help(click.Context(commands, info_name="metis")))
        return 0 if given else 2
    if given[:1] == ["--version"]:
        from importlib.metadata import version

        print(f"metis {version('metis')}")
        return 0
    if given and given[0] not in VERBS and not given[0].startswith("-"):
        near = get_close_matches(given[0], VERBS, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; use one of {', '.join(VERBS)}"
        print(f"metis: {given[0]!r} is not a verb{hint}", file=sys.stderr)
        return 2
    try:
        code: int | None = commands.main(given, prog_name="metis", standalone_mode=False)
        return code or 0
    except click.ClickException as error:
        print(f"metis: {error.format_message()}", file=sys.stderr)
        return 2
    except click.exceptions.Abort:
        print("metis: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT  # as a shell says it
    except SystemExit as end:
        if completing:  # click ends by itself with the shell's code
            raise
        raise BrokenPipeError from end  # otherwise click exits only where a pipe is closed, with 1


def invoke(name: str, verb: "Verb", words: Sequence[str]) -> int:
    """Run a verb with the words after it; errors are one line on standard error."""
    from flows.command.ending import Ending, TerminatedError, came_of_interrupt
    from flows.engine.secrets import masked
    from flows.engine.startup import go_easy_on_garbage
    from metis.errors import MetisError

    sys.path.append(str(Path.cwd()))  # where a user's own module:function is looked for last
    go_easy_on_garbage()
    ending = Ending(name, words)
    try:
        with ending.interruptible():
            return _done(name, verb, words, ending)
    except MetisError as error:
        print(f"metis: {masked(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        return ending.report(isinstance(interrupt, TerminatedError))
    except BrokenPipeError:
        raise
    except OSError as error:
        # a full disk or a folder without permission may show up anywhere
        print(f"metis: {error.filename or name}: {error.strerror or error}", file=sys.stderr)
        return 1
    except Exception as error:
        if not came_of_interrupt(error):
            raise
        return ending.report(terminated=False)


def _done(name: str, verb: "Verb", words: Sequence[str], ending: "Ending") -> int:
    from flows.command import flags
    from flows.command.presenter import only_json, present
    from flows.command.request import request_of
    from flows.engine.memo import StepError

    special = flags.result(name, words)
    if special is not None:
        present(special, as_json=False)
        ending.over = True
        return special.exit_code
    code = verb.unparsed(words) if verb.unparsed else None
    if code is not None:
        return code
    request = request_of(name, verb, words)
    as_json = request.settings.output == "json"
    ending.check()
    ending.soon = not (verb.lasting or request.settings.cluster.live)
    try:
        with only_json(as_json):
            result = verb.run(request)
    except StepError as error:
        print(f"metis: {error}", file=sys.stderr)
        if error.goes_on:
            print(request.command, file=sys.stderr)
        return error.exit_code
    if ending.soon and "watch" not in verb.stages:  # others may end by Ctrl-C as they should
        ending.check()
    present(result, as_json=as_json)
    ending.over = True
    if result.error is not None:
        raise result.error
    return result.exit_code


def _module(name: str) -> Any:
    return import_module(f"flows.command.verbs.{name.replace('-', '_')}")
