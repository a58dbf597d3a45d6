"""Stage watch: measure what is deployed, report what drifted, propose a plan of moves, never make it."""

from typing import TYPE_CHECKING, Any

from flows.engine.console import say
from flows.engine.declaration import Stage
from flows.engine.work import Work
from flows.stages.shared import LIVE, asks_for
from metis.errors import InputError
from metis.operate.settings import PLANNING

if TYPE_CHECKING:
    from flows.live.session import LiveSession
    from flows.live.watching import Watch
    from metis.measure.profile import Profile

NUMBERS = ("value", "best", "gain", "gain_low", "colocations", "unmeasured")
MEMORY = "watch.json"  # in the folder of the cluster's state


def run(work: Work) -> None:
    """Write `watch.json`, `profile.npz` (what is known now), and `proposal.npz` where there is one."""
    from flows.live.node_types import refuse_unequal
    from flows.live.session import connected, known_profile

    work.settings.watch.check_source()
    profile = known_profile(work.inputs)
    if profile is None:
        raise InputError(
            "there is no profile to compare measurements with; run stages=[profile] first, or name "
            "one by profile=file profile.path=FILE"
        )
    if work.settings.cluster.types:
        raise InputError("cluster.types: watch takes all nodes for alike; it would propose what does not fit")
    with connected(work.settings, work.inputs) as session:
        refuse_unequal(session.backend.inventory, (), session.space.slots)
        if profile.space != session.space:
            raise InputError(
                f"the profile has {', '.join(profile.apps)} on {profile.slots} slots, the cluster "
                f"{', '.join(session.space.apps)} on {session.space.slots}"
            )
        found = _watched(work, session, profile)
        nodes = list(session.nodes)
    _write(work, found, profile, nodes)


def _watched(work: Work, session: "LiveSession", profile: "Profile") -> "Watch":
    from flows.live.session import alone_rps
    from flows.live.state import cluster_state, exclusive
    from flows.live.watching import look_line, seen_live, watch, watched_cluster
    from metis.operate.memory import load_memory
    from metis.operate.proposal import Planning

    settings, chosen = work.settings, work.settings.watch
    path, name = cluster_state(settings) / MEMORY, settings.cluster.name
    memory, why = load_memory(path, name, profile, chosen.noise)
    say(f"  {why}" if why else f"  {len(memory.known.seen)} co-locations are remembered, in {path}")
    moves = settings.moves
    if moves is not None and not isinstance(moves, int):
        raise InputError(f"moves={list(moves)}: give `metis watch` one number, or none")

    def looked(found: "Watch") -> None:
        memory.save(path, name)
        say(look_line(found.looks[-1]))
        work.write_json("watch.json", _as_json(found, work))
        work.progress("looks", len(found.looks), chosen.looks or len(found.looks) + 1)

    return watch(
        profile,
        seen_live(session, alone_rps(profile)),
        chosen,
        settings.objective,
        watched_cluster(settings, session.space, len(session.nodes)),
        nodes=session.nodes,
        planning=Planning(moves, settings.move_cost, settings.rebalance),
        memory=memory,
        report=looked,
        hold=lambda: exclusive(session.backend, settings, "watch"),
    )


def _write(work: Work, found: "Watch", profile: "Profile", nodes: list[str]) -> None:
    from flows.live.watching import deploy_command
    from metis.files import save_arrays

    found.known.profile.save(work.folder / "profile.npz")
    if found.proposal is not None:
        arrays = {"placement": found.proposal, "apps": list(profile.apps), "nodes": nodes}
        save_arrays(work.folder / "proposal.npz", arrays)
        say(deploy_command(work.command, work.recording.run_id))
    rows = [row for row in found.looks if "error" not in row]
    work.recording.curve([_numbers(row) for row in rows])
    work.recording.metrics({"looks": len(found.looks), "failed_looks": len(found.looks) - len(rows)})


def _as_json(found: "Watch", work: Work) -> dict[str, Any]:
    from flows.live.watching import deploy_command

    proposed = found.proposal is not None
    return {
        "looks": found.looks,
        "proposed": proposed,
        "plan": found.plan,
        "command": deploy_command(work.command, work.recording.run_id) if proposed else None,
    }


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    return {name: float(row[name]) for name in NUMBERS} | {"drifted": float(len(row["drifted"]))}


STAGE = Stage(
    name="watch",
    about="Measure what is deployed, back into the profile.",
    run=run,
    settings=("watch", "load", "objective", "rules", "moves", "move_cost", *PLANNING),
    unkeyed=(*LIVE, "deploy"),
    inputs=("profile",),
    after=lambda settings: ("setup", "build"),
    optional=("profile",),
    modules=(),
    present=lambda settings: asks_for(settings, "watch"),
    always=lambda settings: True,
)
