"""The memory of a watch: what it saw, which containers left a node and when; one file that stays small."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.files import written_whole
from metis.inputs.documents import read_json
from metis.measure.profile import MEASURES, Profile, make_profile
from metis.measure.testbed import unknown_conditions
from metis.operate.knowledge import Knowledge
from metis.problem.counts import IntArray

FORMAT = "metis-watch-1"
LOOKS = 200  # kept, the newest
ROWS = 10_000  # co-locations kept; more than a watch sees
HOUR = 3600.0
FORGOTTEN = 30 * 24 * HOUR  # after which nothing is known of a container that left


@dataclass
class Memory:
    """What a watch remembers from one run to the next.

    Attributes:
        known: of co-locations.
        running: what ran at the last look, by node and application.
        gave: (node, application) -> when a container of it was last seen to have left it, in seconds.
        looks: rows of looks, as the stage records them, the newest last.
    """

    known: Knowledge
    running: dict[str, dict[str, int]] = field(default_factory=dict)
    gave: dict[tuple[str, str], float] = field(default_factory=dict)
    looks: list[dict[str, Any]] = field(default_factory=list)

    def saw(self, nodes: Sequence[str], running: IntArray, now: float) -> None:
        """Note what runs; a node that holds fewer of an application than it did gave some away."""
        apps = self.known.base.apps
        for node, row in zip(nodes, running.tolist(), strict=True):
            before = self.running.get(node, {})
            for app, count in zip(apps, row, strict=True):
                if count < before.get(app, 0):
                    self.gave[node, app] = now
        self.gave = {who: at for who, at in self.gave.items() if at > now - FORGOTTEN}
        self.running = {
            node: {app: count for app, count in zip(apps, row, strict=True) if count}
            for node, row in zip(nodes, running.tolist(), strict=True)
        }

    def lately(self, nodes: Sequence[str], now: float, rest: float) -> NDArray[np.bool_]:
        """Whether a node gave a container of an application away within `rest` hours, bool [nodes, apps]."""
        apps = self.known.base.apps
        since = now - rest * HOUR
        return np.array([[self.gave.get((node, app), -np.inf) > since for app in apps] for node in nodes])

    def save(self, path: Path, cluster: str) -> None:
        """Write the memory, whole or not at all."""
        known, space = self.known, self.known.base.space
        at = space.index(known.profile.colocations)
        seen = sorted(known.seen)[-ROWS:]
        rows = known.profile.rows(np.isin(at, seen))
        document = {
            "format": FORMAT,
            "cluster": cluster,
            "profile": digest_of(known.base),
            "seen": space.counts[seen].tolist(),
            "drifted": [known.base.apps[a] for a in sorted(known.drifted)],
            "rows": rows.colocations.tolist(),
            "measures": {name: _plain(getattr(rows, name)) for name in MEASURES},
            "running": self.running,
            "gave": [[node, app, at] for (node, app), at in self.gave.items()],
            "looks": self.looks[-LOOKS:],
        }
        with written_whole(path) as file:
            file.write(json.dumps(document, ensure_ascii=False).encode())


def load_memory(path: Path, cluster: str, profile: Profile, noise: float) -> tuple[Memory, str]:
    """Return what is remembered of a cluster, and in words why there is nothing; empty where there is.

    Args:
        path: of the file.
        cluster: its name.
        profile: what was measured before the watch; what was seen beside another one does not count.
        noise: deviation of the log-RPS of one measurement.

    Raises:
        InputError: no memory, a damaged one, or that of another cluster.
    """
    fresh = Memory(Knowledge.of(profile, noise))
    if not path.is_file():
        return fresh, "nothing is remembered of this cluster yet"
    document = read_json(path)
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise InputError(f"{path}: not the memory of a watch; move it away to begin anew")
    if document.get("cluster") != cluster:
        raise InputError(
            f"{path}: the memory of cluster {document.get('cluster')!r}, not of {cluster!r}; "
            "give another cluster.state"
        )
    try:
        fresh.running = {
            str(node): {str(app): int(count) for app, count in held.items()}
            for node, held in document["running"].items()
        }
        fresh.gave = {(str(node), str(app)): float(at) for node, app, at in document["gave"]}
        fresh.looks = list(document["looks"])[-LOOKS:]
        if document["profile"] != digest_of(profile):
            return fresh, "the profile is another one: what was seen beside the last one is left out"
        fresh.known = _recalled(document, profile, noise)
    except (InputError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(f"{path}: a damaged memory ({error}); move it away to begin anew") from None
    return fresh, ""


def digest_of(profile: Profile) -> str:
    """Return a short digest of what a profile measured."""
    made = sha256(f"{profile.apps} {profile.slots}".encode())
    made.update(np.ascontiguousarray(profile.colocations).tobytes())
    made.update(np.ascontiguousarray(profile.rps).tobytes())
    return made.hexdigest()[:20]


def _recalled(document: Mapping[str, Any], profile: Profile, noise: float) -> Knowledge:
    space = profile.space
    apps = list(space.apps)
    width = (-1, len(apps))
    seen = space.index(np.array(document["seen"], dtype=np.int64).reshape(width))
    newer = np.array(document["rows"], dtype=np.int64).reshape(width)
    measures = {
        name: np.array(document["measures"][name], dtype=np.float64).reshape(width) for name in MEASURES
    }
    stays = ~np.isin(space.index(profile.colocations), space.index(newer))
    parts = {name: np.concatenate([getattr(profile, name)[stays], measures[name]]) for name in MEASURES}
    rows = np.concatenate([profile.colocations[stays], newer])
    kept = profile.rows(stays)
    conditions = {
        name: np.concatenate([kept.conditions[name], values])
        for name, values in unknown_conditions(profile, len(newer)).items()
    }
    recalled = make_profile(space.apps, space.slots, rows, parts, profile.provenance, conditions)
    return Knowledge(
        profile,
        recalled if len(newer) else profile,
        frozenset(int(i) for i in seen),
        frozenset(apps.index(app) for app in document["drifted"]),
        noise,
    )


def _plain(values: Any) -> list[list[float | None]]:
    return [[None if value != value else value for value in row] for row in values.tolist()]
