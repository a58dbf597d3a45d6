"""Stage deploy: bring a placement to the live cluster, a few nodes at a time, and measure it."""

from typing import TYPE_CHECKING

from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.declaration import Stage
from flows.engine.work import Work
from flows.live.state import MOVES, TRIAL, cluster_state
from flows.stages.evaluate import placing_steps
from flows.stages.shared import LIVE, asks_for
from metis.errors import SurroundingsError
from metis.problem.counts import IntArray
from metis.wording import amount

if TYPE_CHECKING:
    from flows.live.session import LiveSession


def run(work: Work) -> None:
    """Write `placement.npz`, `plan.json`, and of what was measured `containers.csv` and `deployed.svg`."""
    from flows.live.session import connected

    with connected(work.settings, work.inputs, "deploy") as session:
        _bring(work, session, _wanted(work, session))
        if work.settings.deploy.measure:
            _measure(work, session)


def _wanted(work: Work, session: "LiveSession") -> IntArray:
    """Return the placement, int [nodes, apps]: rows as given, else where most containers can stay."""
    from cluster.deployment import aligned
    from flows.live.deployment import by_name, whole_placement
    from flows.placing.given import chosen_placement, given_names, given_placement

    settings, nodes = work.settings, len(session.nodes)
    if settings.placement:
        given = given_placement(settings, session.space)
        return by_name(given, given_names(settings, session.space), session.nodes)
    chosen = chosen_placement(work.inputs, settings.scheduler, session.space)
    if types := settings.cluster.types:  # a node cannot stand in for one of another type
        return by_name(chosen, [name for one in types for name in one.names], session.nodes)
    placement = whole_placement(chosen, nodes)
    return placement if len(placement) > nodes else aligned(placement, session.placement())


def _bring(work: Work, session: "LiveSession", placement: IntArray) -> None:
    from cluster.deployment import carry_out
    from flows.live.deployment import plan_lines, plan_rows, undeploy_command
    from metis.files import save_arrays

    def changing(done: int, total: int, nodes: str) -> None:
        if nodes:
            say(f"  changing {nodes}")
        work.progress("nodes changed", done, total, f", {nodes}" if nodes else "")

    changes = session.plan(placement)
    for line in plan_lines(changes):
        say(line)
    against = session.obstacles(changes)
    if against:
        raise SurroundingsError(f"{'; '.join(against)}; nothing was changed")
    # moves made before, or half made, are not to be taken back or gone on with from another placement; nor
    # is what ran before a trial that was killed to be put back in its place
    for record in (MOVES, TRIAL):
        (cluster_state(work.settings) / record).unlink(missing_ok=True)
    carry_out(
        session.backend,
        changes,
        work.settings.deploy.at_once,
        changing,
        lambda stands: say(f"  {stands}; all of it is removed by\n  {undeploy_command(work.command)}"),
    )
    work.write_json("plan.json", plan_rows(changes))
    arrays = {"placement": placement, "apps": list(session.space.apps), "nodes": list(session.nodes)}
    save_arrays(work.folder / "placement.npz", arrays)
    numbers = {
        "started": sum(len(change.start) for change in changes),
        "stopped": sum(len(change.stop) for change in changes),
        "kept": sum(len(change.keep) for change in changes),
    }
    work.recording.metrics(numbers)


def _measure(work: Work, session: "LiveSession") -> None:
    from flows.live.deployment import compared, comparison_figure, summary
    from flows.live.session import alone_rps, known_profile, known_tables

    containers = session.standing()
    if not containers:
        return
    load = work.settings.load
    seconds = load.warm_up + load.duration
    say(f"  loading {amount(len(containers), 'container')}, {seconds:g} s for each turn of nodes")
    measured = session.source("load")(containers)
    tables = known_tables(work.inputs, session.space)
    alone = alone_rps(known_profile(work.inputs))
    table = compared(session, containers, measured, tables, alone)
    work.write("containers.csv", table.to_csv(index=False).encode())
    work.write("deployed.svg", comparison_figure(table))
    work.recording.metrics(summary(table))
    if tables is None or not alone:
        lacking = "no simulator" if tables is None else "no stand-alone RPS"
        say(
            f"  {lacking} is known for this cluster: RPS is measured, but there is nothing to compare it with"
        )


def _inputs(settings: Settings, part: str) -> tuple[str, ...]:
    del part
    own = () if settings.placement else placing_steps(settings)
    return ("profile", "simulator", *(name for name in own if name.split("/")[1] == settings.scheduler))


STAGE = Stage(
    name="deploy",
    about="Deploy a placement to the live cluster and measure it.",
    run=run,
    settings=("deploy", "load", "placement", "scheduler"),
    unkeyed=(*LIVE, "tracking"),
    inputs=_inputs,
    after=lambda settings: ("setup", "build"),
    # hours of measurements are not begun as a by-product
    optional=("profile", "simulator"),
    modules=(),
    present=lambda settings: asks_for(settings, "deploy"),
    always=lambda settings: True,
)
