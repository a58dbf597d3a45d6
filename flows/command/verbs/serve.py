"""Serve the chain and its stages as Prefect deployments, until Ctrl-C.

metis serve                                            pipeline/local, profile/local, highlevel/local, ...
metis serve serve.port=4300 serve.limit=4              another port, more runs at once
metis serve serve.cron="'0 3 * * *'" experiment=quick  the pipeline every night; words for every run

Then, in another shell, with the line that it prints first (export PREFECT_API_URL=...):

prefect deployment run pipeline/local -p overrides='["experiment=quick"]' --watch
prefect deployment run highlevel/local -p size=large -p rerun=true --watch
prefect flow-run retry ID
"""

import os
import shlex
import signal
from contextlib import suppress
from pathlib import Path

from flows.command.request import EVERY, OF_ONE_VERB, Request, Verb
from flows.command.result import Result
from flows.engine.console import say
from flows.engine.secrets import masked
from flows.prefect import server
from flows.prefect.variables import BASE
from flows.stages.chain import STAGES


def run(request: Request) -> Result:
    """See the module's text."""
    chosen = request.settings.serve
    os.environ[BASE] = shlex.join(word for word in request.overrides if not word.startswith("serve"))
    # a served run logs its steps for the UI, and one line where it fails; no tracebacks
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")
    os.environ.setdefault("PREFECT_RUNNER_POLL_FREQUENCY", "1")
    # SIGTERM, like Ctrl-C, is to end the server too; Prefect's runner handles both later
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with server.server(Path(request.settings.tracking.path), chosen.port) as url:
        from flows.prefect.deployments import serve_until_stopped

        shown = masked(url)
        say(f"Prefect: {shown.removesuffix('/api')} (Ctrl-C ends it). In another shell:")
        say(f"export PREFECT_API_URL={shown}")
        say(f"prefect deployment run pipeline/{chosen.name} -p overrides='[\"experiment=quick\"]' --watch")
        with suppress(KeyboardInterrupt):  # the way to end it, and no failure
            serve_until_stopped(chosen)
    return Result({"url": shown, "deployments": [f"{name}/{chosen.name}" for name in ("pipeline", *STAGES)]})


VERB = Verb(run, settings=EVERY, unread=OF_ONE_VERB, lasting=True)
