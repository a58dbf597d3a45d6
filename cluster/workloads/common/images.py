"""The next picture for a network: from the Redis beside it when there is one, else over the network."""

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cluster.workloads.common.environment import Environment
from cluster.workloads.common.pictures import COUNT, key, read_ppm
from cluster.workloads.common.server import NotReadyError
from cluster.workloads.common.stores import Origin, Redis, StoreError


@dataclass
class PictureSource:
    """Gives pictures of one kind in turn.

    Args:
        kind: `mms` or `isr`.
        environment: where Redis and origin are.
    """

    kind: str
    environment: Environment
    _given: int = 0
    _redis: Redis | None = field(init=False)
    _origin: Origin | None = field(init=False)

    def __post_init__(self) -> None:
        self._redis = Redis(self.environment.redis) if self.environment.redis else None
        self._origin = Origin(self.environment.origin) if self.environment.origin else None

    def next(self) -> tuple[NDArray[np.uint8], str, float]:
        """The next picture uint8 [height, width, 3], its source, and the seconds it took to come.

        Raises:
            NotReadyError: no source has it; says of each why.
        """
        name = f"{self.kind}-{self._given % COUNT}"
        self._given += 1
        begun = time.perf_counter()
        data, source = self._fetch(name)
        seconds = time.perf_counter() - begun
        width, height, pixels = read_ppm(data)
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 3), source, seconds

    def _fetch(self, name: str) -> tuple[bytes, str]:
        reasons = []
        if self._redis:
            try:
                found = self._redis.get(key(name))
                if found is not None:
                    return found, "redis"
                reasons.append(f"Redis does not hold {name}")
            except StoreError as error:
                reasons.append(str(error))
        if self._origin:
            try:
                return self._origin.get(f"/images/{name}"), "origin"
            except StoreError as error:
                reasons.append(str(error))
        raise NotReadyError("; ".join(reasons) or "set METIS_REDIS or METIS_ORIGIN: no source of pictures")


def shrunk(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """`picture` sampled at [side, side, 3], its middle where it is not square."""
    height, width, _ = picture.shape
    short = min(height, width)
    places = (np.arange(side) + 0.5) * short / side
    rows = (places + (height - short) / 2).astype(int)
    columns = (places + (width - short) / 2).astype(int)
    return np.ascontiguousarray(picture[rows[:, None], columns[None, :]])
