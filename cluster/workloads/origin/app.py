"""Serves the test pictures over HTTP: what a container reads from where no Redis is beside it."""

import time
from pathlib import Path

from cluster.workloads.common import pictures
from cluster.workloads.common.environment import number, read_environment
from cluster.workloads.common.server import Files, WorkResult, serve

PREFIX = "/images/"


def make_files(held: dict[str, bytes], delay: float) -> Files:
    """What lies at a path.

    Args:
        held: pictures by name.
        delay: seconds before each, for the distance of a store that a laptop does not have.
    """

    def files(path: str) -> bytes | None:
        if not path.startswith(PREFIX):
            return None
        time.sleep(delay)
        return held.get(path.removeprefix(PREFIX))

    return files


def main() -> None:
    """Serve; `GET /` lists what there is."""
    held = pictures.load_all(Path("/srv/pictures"))
    delay = number("ORIGIN_DELAY_MS", 0, least=0) / 1000
    listed = WorkResult("own", 0.0, 0.0, {"images": sorted(held), "delay": delay})
    serve(lambda: listed, read_environment(), make_files(held, delay))


if __name__ == "__main__":
    main()
