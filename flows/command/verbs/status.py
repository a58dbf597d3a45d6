"""Show the chain: what is done, reused, failed, stale or missing, and why.

metis status
metis status experiment=quick
metis status output=json          with the commands that asked for it, and paths of logs
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from flows.command.output import only_json
from flows.configuration.compose import compose_plain
from flows.configuration.settings import Settings, validated
from flows.engine.console import stdout
from flows.engine.declaration import Step
from flows.engine.folders import surroundings
from flows.engine.log import log_path
from flows.engine.runs import Attempt, Record
from flows.engine.store import Store
from flows.stages.steps import chosen_steps, plan

COLOURS = {"done": "green", "reused": "green", "failed": "red", "stale": "yellow", "missing": "dim"}
UNKNOWN = "?"  # digest of an output that there is not yet


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    settings = validated(compose_plain(arguments))
    with only_json(settings.output == "json") as answer:
        states = chain_status(settings)
        if settings.output == "json":
            answer({"steps": states})
        else:
            _show(states)
    return 0


def chain_status(settings: Settings) -> list[dict[str, Any]]:
    """Every step of the chain: `step`, `state`, `why`, `since`, `run`, `log`.

    `done` are steps that the newest run of the chain did, `reused` those that it took from earlier ones.
    Stale is a step that was finished under other settings, inputs or source; `why` names what changed. `log`
    is the path of the log of a step that failed or is being done.
    """
    store = Store(settings.tracking)
    records: dict[str, Record] = {}
    chains: dict[str, str] = {}
    states: list[dict[str, Any]] = []
    for step in chosen_steps(settings, plan(settings)):
        digests = {name: records[name].digest if name in records else UNKNOWN for name in step.inputs}
        record = None if UNKNOWN in digests.values() else store.find(step.name, step.key(digests))
        if record is None:
            states.append(_unfinished(step, digests, store.last(step.name), store))
            continue
        records[step.name] = record
        since, chains[step.name] = _origin(store, record.run_id)
        states.append({"step": step.name, "state": "done", "why": "", "since": since, "run": record.run_id})
    newest = max((state for state in states if state["state"] == "done"), key=_since, default=None)
    for state in states:
        if newest and state["state"] == "done" and chains[state["step"]] != chains[newest["step"]]:
            state["state"] = "reused"
    return states


def _since(state: Mapping[str, Any]) -> str:
    return str(state["since"])


def _origin(store: Store, run_id: str) -> tuple[str, str]:
    """When a step's run began, and which run of the chain it was part of."""
    from mlflow import MlflowClient

    with surroundings(store.uri):
        run = MlflowClient(store.uri).get_run(run_id)
    began = datetime.fromtimestamp(run.info.start_time / 1000, tz=UTC).astimezone()
    return began.isoformat(timespec="milliseconds"), run.data.tags.get("metis.chain", "")


def _unfinished(step: Step, digests: Mapping[str, str], last: Attempt | None, store: Store) -> dict[str, Any]:
    state: dict[str, Any] = {"step": step.name, "state": "missing", "why": "never done", "run": None}
    if last is None:
        return state
    state |= {"run": last.run_id, "since": last.since}
    waiting = [name for name, known in digests.items() if known == UNKNOWN]
    changed = _changed(step, digests, last)
    if last.status != "FINISHED" and not changed:
        log = log_path(store.root, last.run_id)
        gone = "being done, or killed without a word" if last.status == "RUNNING" else last.error
        return state | {"state": "failed", "why": gone, "log": str(log) if log.is_file() else None}
    told = [f"changed: {', '.join(changed)}"] if changed else []
    if waiting:
        more = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
        told.append(f"waits for {waiting[0]}{more}")
    return state | {"state": "stale", "why": "; ".join(told) or "its output is damaged or gone"}


def _changed(step: Step, digests: Mapping[str, str], last: Attempt) -> list[str]:
    """Settings, inputs and source that differ from the last try; inputs that there are not yet left out."""
    before, now = json.loads(last.identity or "{}"), step.identity(digests)
    open_inputs = {name for name, value in now.items() if value == UNKNOWN}
    names = (before.keys() | now.keys()) - open_inputs
    return sorted(name for name in names if before.get(name) != now.get(name))


def _show(states: Sequence[Mapping[str, Any]]) -> None:
    table = Table(title="The chain", title_justify="left", title_style="bold")
    for heading in ("step", "state", "why", "since", "MLflow run"):
        table.add_column(heading, overflow="fold")
    for state in states:
        colour = COLOURS[state["state"]]
        table.add_row(
            state["step"],
            f"[{colour}]{state['state']}[/]",
            str(state["why"]).replace("[", "\\["),
            str(state.get("since") or "")[:19],
            str(state["run"] or "")[:8],
        )
    stdout.print(table)
    for state in states:
        if state.get("log"):
            stdout.print(f"log of {state['step']}: {state['log']}", soft_wrap=True, markup=False)
