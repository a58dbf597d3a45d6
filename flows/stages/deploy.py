"""Stage deploy: bring a placement to the live cluster, a few nodes at a time, and measure what it reaches."""

from flows.console import say
from flows.deploying import compared, comparison_figure, plan_lines, plan_rows, summary, whole_placement
from flows.living import Running, alone_rps, connected, known_profile, known_tables
from flows.placements import chosen_placement, given_placement
from flows.work import Work
from metis.files import save_arrays, written_whole
from metis.problem.counts import IntArray


def run(work: Work) -> None:
    """Write `placement.npz`, `plan.json`, and of what was measured `containers.csv` and `deployed.svg`."""
    with connected(work.settings, work.inputs) as running:
        _bring(work, running, _wanted(work, running))
        if work.settings.deploy.made().measure:
            _measure(work, running)


def _wanted(work: Work, running: Running) -> IntArray:
    """The placement, int [nodes, apps]: rows as given, or where nobody gave them where most can stay."""
    from cluster.deployment import aligned

    settings, nodes = work.settings, len(running.nodes)
    if settings.placement:
        return whole_placement(given_placement(settings, running.space), nodes)
    placement = whole_placement(chosen_placement(work.inputs, settings.scheduler, running.space), nodes)
    return placement if len(placement) > nodes else aligned(placement, running.placement())


def _bring(work: Work, running: Running, placement: IntArray) -> None:
    from cluster.deployment import carry_out

    changes = running.plan(placement)
    for line in plan_lines(changes):
        say(line)
    chosen = work.settings.deploy.made()
    carry_out(
        running.backend,
        changes,
        chosen.at_once,
        lambda done, total, node: work.progress("nodes changed", done, total, f", {node}" if node else ""),
    )
    work.write_json("plan.json", plan_rows(changes))
    arrays = {"placement": placement, "apps": list(running.space.apps), "nodes": list(running.nodes)}
    save_arrays(work.folder / "placement.npz", arrays)
    numbers = {
        "started": sum(len(change.start) for change in changes),
        "stopped": sum(len(change.stop) for change in changes),
        "kept": sum(len(change.keep) for change in changes),
    }
    work.recording.metrics(numbers)


def _measure(work: Work, running: Running) -> None:
    containers = running.standing()
    if not containers:
        return
    heard = running.source("load")(containers)
    profile = known_profile(work.inputs)
    tables, alone = known_tables(work.inputs, running.space), alone_rps(profile)
    table = compared(running, containers, heard, tables, alone)
    with written_whole(work.folder / "containers.csv") as file:
        file.write(table.to_csv(index=False).encode())
    with written_whole(work.folder / "deployed.svg") as file:
        file.write(comparison_figure(table))
    work.recording.metrics(summary(table))
    if tables is None or not alone:
        lacking = "no simulator" if tables is None else "no stand-alone RPS"
        say(
            f"  {lacking} is known for this cluster: RPS is measured, but there is nothing to hold it against"
        )
