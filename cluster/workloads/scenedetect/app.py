"""Finds the scenes of a short video that the node's memcached holds."""

import hashlib
import time
from pathlib import Path

from cluster.workloads.common.environment import Environment, read_environment
from cluster.workloads.common.server import NotReadyError, Unit, WorkResult, serve
from cluster.workloads.common.stores import Memcached, Parts, StoreError
from cluster.workloads.scenedetect.detect import find_cuts
from cluster.workloads.scenedetect.video import read_frames


def make_unit(environment: Environment, video: bytes) -> Unit:
    """A unit of work: fetch the video, find its cuts.

    Args:
        environment: where memcached is.
        video: put there by whoever finds it missing.
    """
    if not environment.memcached:
        raise SystemExit("set METIS_MEMCACHED: there is nowhere to keep the video")
    store = Parts(Memcached(environment.memcached))
    key = f"metis:video:{hashlib.sha256(video).hexdigest()[:16]}"

    def unit() -> WorkResult:
        begun = time.perf_counter()
        try:
            held = store.get(key)
            seeded = held is None
            if held is None:
                store.set(key, video)
                held = video
        except StoreError as error:
            raise NotReadyError(str(error)) from None
        fetched = time.perf_counter()
        cuts = find_cuts(read_frames(held))
        result = {"cuts": cuts, "bytes": len(held), "seeded": seeded}
        return WorkResult("memcached", fetched - begun, time.perf_counter() - fetched, result)

    return unit


if __name__ == "__main__":
    environment = read_environment()
    serve(make_unit(environment, Path("/srv/video.bin").read_bytes()), environment)
