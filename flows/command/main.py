"""The command `metis`: a verb, then Hydra overrides."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

VERBS = {
    "run": "run the chain of stages, reusing what is finished",
    "status": "show what of the chain is done, failed, stale or missing",
    "place": "place one group",
    "compare": "compare schedulers on the same groups",
    "explore": "measure only what pays for the groups to be placed",
    "explain": "tell node by node why a placement is worth what it is",
    "constraints": "find the interference constraints of a profile",
    "import-profile": "check a profile and write it in our format",
    "report": "write the report page of a run",
    "lab": "a Swarm of containers on this machine: up, down, status",
    "cluster": "the hosts of a live cluster: status, down, accept",
    "deploy": "deploy a placement to the live cluster and measure it",
    "undeploy": "remove what was deployed",
    "watch": "measure what is deployed, report drift, propose a better placement",
    "export": "write a placement as a Swarm stack, Kubernetes manifests or CSV",
    "serve": "serve the chain and its stages as Prefect deployments",
    "ui": "open the MLflow UI",
    "doctor": "check what this machine has and lacks",
    "gc": "delete old runs and artifacts; shows what it would delete unless told to",
    "completion": "print the shell's completion script",
}

USAGE = """usage: metis VERB [key=value ...]

{verbs}

Everything after the verb is a Hydra override: `cluster.nodes=27`, `simulator=forest`, `output=json`.
Paths need no quoting beyond the shell's: `profile.path='my files/a=b.npz'`.
`metis VERB --help` shows examples; `metis --version` the version.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; answers the exit code: 0, 2 for what the user must mend, 1 for the surroundings."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        listed = "\n".join(f"  {name:<16} {text}" for name, text in VERBS.items())
        print(USAGE.format(verbs=listed), end="")
        return 0 if given else 2
    if given[0] == "--version":
        from importlib.metadata import version

        print(f"metis {version('metis')}")
        return 0
    verb, *rest = given
    if verb not in VERBS:
        print(f"metis: {verb!r} is no verb; use one of {', '.join(VERBS)}", file=sys.stderr)
        return 2
    if any(word in ("-h", "--help") for word in rest):
        return _help(verb)
    return _guarded(verb, rest)


def _help(verb: str) -> int:
    module = import_module(f"flows.command.verbs.{verb.replace('-', '_')}")
    print((module.__doc__ or "").strip())
    print("\nSettings: conf/config.yaml and the groups beside it; all may be overridden.")
    return 0


def _guarded(verb: str, rest: list[str]) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    sys.path.append(str(Path.cwd()))  # where a user's own module:function is looked for last
    from flows.engine.startup import go_easy_on_garbage
    from metis.errors import MetisError

    go_easy_on_garbage()
    try:
        answer: int = import_module(f"flows.command.verbs.{verb.replace('-', '_')}").run(rest)
        return answer
    except MetisError as error:
        print(f"metis: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("metis: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # a full disk or a folder without permission may show up anywhere
        print(f"metis: {error.filename or verb}: {error.strerror or error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
