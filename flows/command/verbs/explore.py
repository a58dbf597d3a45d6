"""Measure only what pays: plan optimistically, measure what the plans use, learn, plan again.

metis explore group.size=200 groups.count=2 explore.budget=200
metis explore testbed=file testbed.path=FULL.npz groups.path=G.npz groups.rows=0:2 output=json
metis explore explore.until_gain=0.5% out=mine.npz     the profile, kept up to date; the same command goes on
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from flows.command.output import only_json
from flows.configuration.compose import compose_plain
from flows.configuration.settings import Settings, validated
from flows.engine.console import progress_bar, stdout
from flows.engine.keys import digest
from flows.stages.exploring import explore_groups, ready_inputs, testbed_for
from flows.stages.steps import explore_settings
from metis.explore.loop import Exploration


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    settings = validated(compose_plain(arguments))
    path = Path(settings.out) if settings.out else _kept(settings)
    with only_json(settings.output == "json") as answer:
        inputs = ready_inputs(settings)
        with progress_bar() as progress, testbed_for(settings, inputs) as testbed:
            found = explore_groups(settings, testbed, path, progress)
        if settings.output == "json":
            answer(as_json(found) | {"profile": str(path)})
        else:
            _show(found, path)
    return 0


def as_json(found: Exploration) -> dict[str, Any]:
    """The exploration as JSON-able values; what nobody knows is null."""
    return {
        "ratio": _known(found.ratio),
        "measurements": found.measurements,
        "rounds": found.rounds,
        "seconds": found.seconds,
        "hours": found.hours,
        "ended": found.ended,
        "quarantined": found.quarantined,
        "history": [{name: _known(value) for name, value in row.items()} for row in found.history],
    }


def _kept(settings: Settings) -> Path:
    """Where an exploration without `out` is kept, so that the same command goes on."""
    identity = explore_settings(settings)
    return Path(settings.tracking.path).absolute() / "cache" / f"explore-{digest(identity)}.npz"


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _show(found: Exploration, path: Path) -> None:
    table = Table(title="Rounds", title_justify="left", title_style="bold")
    headings = ("round", "measurements", "hours", "value", "at most", "of the true optimum", "seconds")
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in found.history:
        table.add_row(*_cells(row))
    stdout.print(table)
    told = f", {found.ratio:.2%} of the true optimum" if math.isfinite(found.ratio) else ""
    stdout.print(
        f"{found.measurements} measurements, {found.hours:.1f} machine hours{told}; ended: {found.ended}"
    )
    for colocation, reason in found.quarantined.items():
        stdout.print(f"left out: {colocation}: {reason}", markup=False)
    stdout.print(f"profile: {path}", markup=False, soft_wrap=True)


def _cells(row: Mapping[str, Any]) -> list[str]:
    ratio = f"{row['ratio']:.2%}" if math.isfinite(row["ratio"]) else "unknown"
    numbers = [f"{row['hours']:.1f}", f"{row['value']:.4f}", f"{row['optimistic']:.4f}", ratio]
    return [str(row["round"]), str(row["measurements"]), *numbers, f"{row['seconds']:.1f}"]
