"""Show the chain: what is done, reused, running, failed, stale or missing, and why.

metis status
metis status experiment=quick
metis status output=json          with the commands that asked for it, and paths of logs
"""

import json
from collections.abc import Mapping
from typing import Any

from flows.command.request import EVERY, OF_ONE_VERB, Request, Verb
from flows.command.result import Line, Result, Table
from flows.configuration.settings import Settings
from flows.engine.declaration import Step
from flows.engine.log import log_path
from flows.engine.runs import Attempt
from flows.engine.store import Store
from flows.stages.chain import chosen_steps, open_memo

COLOURS = {
    "done": "green",
    "reused": "green",
    "running": "cyan",
    "failed": "red",
    "stale": "yellow",
    "missing": "dim",
}
UNKNOWN = "?"  # digest of an output that does not exist yet
COLUMNS = ("step", "state", "why", "since", "MLflow run")


def run(request: Request) -> Result:
    """See the module's text."""
    states = chain_status(request.settings)
    rows = [
        [one["step"], one["state"], one["why"], str(one.get("since") or "")[:19], str(one["run"] or "")[:8]]
        for one in states
    ]
    logs = [Line(f"log of {one['step']}: {one['log']}") for one in states if one.get("log")]
    table = Table("The chain", COLUMNS, rows, cell_styles={"state": COLOURS})
    return Result({"steps": states}, [table, *logs])


def chain_status(settings: Settings) -> list[dict[str, Any]]:
    """Return one row per step of the chain: `step`, `state`, `why`, `since`, `run`, `log`.

    `done` are steps that the newest run of the chain did, `reused` those that it took from earlier ones.
    Stale is a step that was finished under other settings, inputs or source; `why` names what changed. `log`
    is the path of the log of a step that failed or is being done.
    """
    memo = open_memo(settings)
    store = memo.store
    chains: dict[str, str] = {}
    states: list[dict[str, Any]] = []
    digests: dict[str, str] = {}
    for step in chosen_steps(settings):
        known = {name: digests.get(name, _absent(step, name)) for name in step.inputs}
        record = None if UNKNOWN in known.values() else store.find(step.name, step.key(known))
        if record is None:
            damaged = "" if UNKNOWN in known.values() else store.flaws.get(step.key(known), "")
            states.append(_unfinished(step, known, store, damaged))
            continue
        digests[step.name] = record.digest
        since, chains[step.name] = store.origin(record.run_id)
        states.append({"step": step.name, "state": "done", "why": "", "since": since, "run": record.run_id})
    newest = max((state for state in states if state["state"] == "done"), key=_since, default=None)
    for state in states:
        if newest and state["state"] == "done" and chains[state["step"]] != chains[newest["step"]]:
            state["state"] = "reused"
    return states


def _absent(step: Step, name: str) -> str:
    return "" if name in step.stage.optional else UNKNOWN


def _since(state: Mapping[str, Any]) -> str:
    return str(state["since"])


def _unfinished(step: Step, digests: Mapping[str, str], store: Store, damaged: str) -> dict[str, Any]:
    """Return the row of a step that has to be done, against the try whose settings were nearest."""
    state: dict[str, Any] = {"step": step.name, "state": "missing", "why": "never done", "run": None}
    # verbs make steps of other settings in between: the newest try need not be the one to compare with
    tries = [(_changed(step, digests, attempt), attempt) for attempt in store.attempts(step.name)]
    if not tries:
        return state
    changed, last = min(tries, key=lambda one: len(one[0]))
    state |= {"run": last.run_id, "since": last.since}
    waiting = [name for name, known in digests.items() if known == UNKNOWN]
    if last.status != "FINISHED" and not changed:
        log = log_path(store.root, last.run_id)
        state |= {"log": str(log) if log.is_file() else None}
        if last.status == "RUNNING":  # those whose process is gone were closed when the store was opened
            return state | {"state": "running", "why": ""}
        return state | {"state": "failed", "why": last.error}
    reasons = [f"changed: {', '.join(changed)}"] if changed else []
    if waiting:
        more = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
        reasons.append(f"waits for {waiting[0]}{more}")
    return state | {"state": "stale", "why": "; ".join(reasons) or f"its output is damaged: {damaged}"}


def _changed(step: Step, digests: Mapping[str, str], attempt: Attempt) -> list[str]:
    """Return the settings, inputs and source that differ from a try; unknown inputs left out."""
    before, now = json.loads(attempt.identity or "{}"), step.identity(digests)
    open_inputs = {name for name, value in now.items() if value == UNKNOWN}
    names = (before.keys() | now.keys()) - open_inputs
    return sorted(name for name in names if before.get(name) != now.get(name))


VERB = Verb(run, settings=EVERY, unread=OF_ONE_VERB)
