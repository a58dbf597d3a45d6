"""Stage watch: measure what is deployed, tell what drifted, and propose a better placement, never make it."""

from typing import Any

from flows.configuration.objects import make_objective
from flows.engine.console import say
from flows.engine.work import Work
from flows.live.session import alone_rps, connected, known_profile
from flows.live.watching import Watch, deploy_command, look_line, seen_live, watch, watched_cluster
from metis.errors import InputError
from metis.files import save_arrays

NUMBERS = ("value", "best", "gain", "gain_low", "colocations", "unmeasured")


def run(work: Work) -> None:
    """Write `watch.json`, `profile.npz` (what is known now), and `proposal.npz` where there is one."""
    settings = work.settings
    profile = known_profile(work.inputs)
    if profile is None:
        raise InputError(
            "watch: there is no profile to hold measurements against; run stages=[profile] first, or name "
            "one by profile=file profile.path=FILE"
        )
    with connected(settings, work.inputs) as running:
        if profile.space != running.space:
            raise InputError(
                f"watch: the profile has {list(profile.apps)} on {profile.slots} slots, the cluster "
                f"{list(running.space.apps)} on {running.space.slots}"
            )
        chosen = settings.watch.made()

        def told(found: Watch) -> None:
            say(look_line(found.looks[-1]))
            work.write_json("watch.json", _as_json(found, work))
            work.progress("looks", len(found.looks), chosen.looks or len(found.looks) + 1)

        found = watch(
            profile,
            seen_live(running, alone_rps(profile)),
            chosen,
            make_objective(settings),
            watched_cluster(settings, running.space, len(running.nodes)),
            told=told,
        )
        nodes = list(running.nodes)
    found.known.profile.save(work.folder / "profile.npz")
    if found.proposal is not None:
        arrays = {"placement": found.proposal, "apps": list(profile.apps), "nodes": nodes}
        save_arrays(work.folder / "proposal.npz", arrays)
        say(deploy_command(work.command, work.recording.run_id))
    rows = [row for row in found.looks if "error" not in row]
    work.recording.curve([_numbers(row) for row in rows])
    work.recording.metrics({"looks": len(found.looks), "failed_looks": len(found.looks) - len(rows)})


def _as_json(found: Watch, work: Work) -> dict[str, Any]:
    proposed = found.proposal is not None
    return {
        "looks": found.looks,
        "proposed": proposed,
        "command": deploy_command(work.command, work.recording.run_id) if proposed else None,
    }


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    return {name: float(row[name]) for name in NUMBERS} | {"drifted": float(len(row["drifted"]))}
