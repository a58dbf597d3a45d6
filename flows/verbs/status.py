"""Show the chain: what is done, failed, stale or missing.

metis status
metis status experiment=quick
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from flows.compose import compose_plain
from flows.console import stdout
from flows.output import only_json
from flows.settings import Settings, validated
from flows.steps import Step, chosen_steps, plan
from flows.store import Attempt, Record, Store


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
    """Every step of the chain: `step`, `state` (done, failed, stale, missing), `why`, `since`, `run`.

    Stale is a step that was finished under other settings, inputs or source; `why` names what changed.
    """
    store = Store(settings.tracking)
    records: dict[str, Record] = {}
    states = []
    for step in chosen_steps(settings, plan(settings)):
        known = all(name in records for name in step.inputs)
        digests = {name: records[name].digest for name in step.inputs} if known else {}
        record = store.find(step.name, step.key(digests)) if known else None
        if record is not None:
            records[step.name] = record
            states.append({"step": step.name, "state": "done", "why": "", "run": record.run_id})
            continue
        waiting = [name for name in step.inputs if name not in records]
        states.append(_unfinished(step, digests, waiting, store.last(step.name)))
    return states


def _unfinished(
    step: Step, digests: Mapping[str, str], waiting: Sequence[str], last: Attempt | None
) -> dict[str, Any]:
    state: dict[str, Any] = {"step": step.name, "state": "missing", "why": "never done", "run": None}
    if last is None:
        return state
    state |= {"run": last.run_id, "since": last.since}
    if last.status in ("FAILED", "KILLED"):
        return state | {"state": "failed", "why": last.error}
    if last.status == "RUNNING":
        return state | {"state": "failed", "why": "running, or ended without a word"}
    if waiting:
        more = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
        return state | {"state": "stale", "why": f"waits for {waiting[0]}{more}"}
    before, now = json.loads(last.identity or "{}"), step.identity(digests)
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return state | {"state": "stale", "why": f"changed: {', '.join(changed) or 'its output'}"}


def _show(states: Sequence[Mapping[str, Any]]) -> None:
    colours = {"done": "green", "failed": "red", "stale": "yellow", "missing": "dim"}
    table = Table(title="The chain", title_justify="left", title_style="bold")
    for heading in ("step", "state", "why", "since", "MLflow run"):
        table.add_column(heading, overflow="fold")
    for state in states:
        colour = colours[state["state"]]
        table.add_row(
            state["step"],
            f"[{colour}]{state['state']}[/]",
            str(state["why"]).replace("[", "\\["),
            str(state.get("since") or ""),
            str(state["run"] or "")[:8],
        )
    stdout.print(table)
