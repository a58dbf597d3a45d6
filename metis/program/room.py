"""What a node can still take: containers that fit, devices that they would use, and room lost; compiled.

A node is what is free of each resource, and of each of its devices. A request for devices of up to 1 lies on
one device, a larger one takes whole devices. Compiled code is kept beside this file, or in the user's cache
where that cannot be written.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import FloatArray

ROUNDING = 1e-9  # of sums
NOWHERE = 1e18  # more than any score
BEST_FIT, ROOM, FRAGMENTATION = 0, 1, 2  # policies by number
LARGE = 1e9  # containers of nothing that a node can host

Function = TypeVar("Function", bound=Callable[..., object])


class Shapes(NamedTuple):
    """Applications as an arriving container asks for room.

    Attributes:
        requests: of resources but devices, float64 [apps, resources].
        devices: requested, float64 [apps].
        eligible: whether a node may hold an application, bool [apps, nodes].
        scale: the most that a node has of each resource, and in devices last, float64 [resources + 1].
    """

    requests: FloatArray
    devices: FloatArray
    eligible: NDArray[np.bool_]
    scale: FloatArray


class Free(NamedTuple):
    """What is free, changed in place.

    Attributes:
        of: of resources, float64 [nodes, resources].
        devices: of each device, float64 [nodes, devices]; 0 where a node has fewer.
    """

    of: FloatArray
    devices: FloatArray


class Scored(NamedTuple):
    """Scores of nodes for applications, up to date where `seen` is the node's `version`.

    Attributes:
        score: the least is best, float64 [apps, nodes].
        device: on which a share would lie, int [apps, nodes].
        seen: int [apps, nodes].
        version: changes whenever what is free on a node does, int [nodes].
        bad: of each node as it is, see `bad`, float64 [nodes].
        bad_seen: up to date where it is the node's `version`, int [nodes].
        of: room for what would be free of resources, float64 [resources].
        devices: the same of devices, float64 [devices].
    """

    score: FloatArray
    device: NDArray[np.int8]
    seen: NDArray[np.int32]
    version: NDArray[np.int32]
    bad: FloatArray
    bad_seen: NDArray[np.int32]
    of: FloatArray
    devices: FloatArray


def compiled(function: Function) -> Function:
    """Return a function as compiled code with the same arguments."""
    return cast(Function, numba.njit(cache=True)(function))


@compiled
def hosted(requests: FloatArray, wanted: float, free: FloatArray, devices: FloatArray) -> float:
    """Return how many containers of an application alone a node could take more."""
    most = LARGE
    for r in range(len(requests)):
        if requests[r] > 0:
            most = min(most, np.floor(free[r] / requests[r] + ROUNDING))
            if most < 1:
                return 0.0
    if wanted > 0:
        count = 0.0
        for d in range(len(devices)):
            if wanted <= 1:
                count += np.floor(devices[d] / wanted + ROUNDING)
            elif devices[d] >= 1 - ROUNDING:
                count += 1
        most = min(most, count if wanted <= 1 else np.floor(count / wanted + ROUNDING))
    return most


@compiled
def unusable(requests: FloatArray, wanted: float, free: FloatArray, devices: FloatArray) -> float:
    """Return how much of a node's free devices a container of an application could not use.

    Source: Weng et al., Beware of fragmentation, USENIX ATC 2023; all of it where the container does not fit.
    """
    total = devices.sum()
    if wanted == 0 or hosted(requests, wanted, free, devices) < 1:
        return float(total)
    small = 0.0
    for d in range(len(devices)):
        if devices[d] < min(wanted, 1.0) - ROUNDING:
            small += devices[d]
    return small


@compiled
def bad(
    shapes: Shapes, share: FloatArray, node: int, free: FloatArray, devices: FloatArray, policy: int
) -> float:
    """Return what a state of a node is worth less by a policy: in the mean over arrivals."""
    total = 0.0
    for a in range(len(share)):
        if share[a] == 0:
            continue
        may = shapes.eligible[a, node]
        if policy == ROOM:
            if may:
                total -= share[a] * hosted(shapes.requests[a], shapes.devices[a], free, devices)
        elif may:
            total += share[a] * unusable(shapes.requests[a], shapes.devices[a], free, devices)
        else:
            total += share[a] * devices.sum()
    return total


@compiled
def take(shapes: Shapes, app: int, device: int, free: FloatArray, devices: FloatArray) -> None:
    """Take a container's resources from a node, and its share of a device or the first whole devices."""
    for r in range(len(free)):
        free[r] -= shapes.requests[app, r]
    wanted = shapes.devices[app]
    if 0 < wanted <= 1:
        devices[device] -= wanted
    elif wanted > 1:
        for d in range(len(devices)):
            if wanted > ROUNDING and devices[d] >= 1 - ROUNDING:
                devices[d] = 0.0
                wanted -= 1


@compiled
def tightest(wanted: float, devices: FloatArray) -> int:
    """Return the device with least free on which a share fits."""
    best = -1
    for d in range(len(devices)):
        if devices[d] >= wanted - ROUNDING and (best < 0 or devices[d] < devices[best]):
            best = d
    return best


@compiled
def left_over(shapes: Shapes, app: int, free: FloatArray, devices: FloatArray) -> float:
    """Return what would be left of a node, in shares of the largest, summed over resources."""
    last = len(shapes.scale) - 1
    total = 0.0
    for r in range(last):
        total += (free[r] - shapes.requests[app, r]) / shapes.scale[r]
    return float(total + (devices.sum() - shapes.devices[app]) / shapes.scale[last])


@compiled
def score_of(
    shapes: Shapes, share: FloatArray, app: int, node: int, free: Free, scored: Scored, policy: int
) -> tuple[float, int]:
    """Return the score of a node for a container, and the device on which a share would lie."""
    of, devices = free.of[node], free.devices[node]
    wanted = shapes.devices[app]
    if not shapes.eligible[app, node] or hosted(shapes.requests[app], wanted, of, devices) < 1:
        return NOWHERE, -1
    shared = 0 < wanted <= 1
    if policy == BEST_FIT:
        return left_over(shapes, app, of, devices), tightest(wanted, devices) if shared else -1
    if scored.bad_seen[node] != scored.version[node]:
        scored.bad[node] = bad(shapes, share, node, of, devices, policy)
        scored.bad_seen[node] = scored.version[node]
    best, chosen = NOWHERE, -1
    for d in range(len(devices) if shared else 1):
        if shared and (devices[d] < wanted - ROUNDING or (devices[:d] == devices[d]).any()):
            continue
        scored.of[:], scored.devices[:] = of, devices
        take(shapes, app, d, scored.of, scored.devices)
        lost = bad(shapes, share, node, scored.of, scored.devices, policy) - scored.bad[node]
        if lost < best:
            best, chosen = lost, d if shared else -1
    return best, chosen


@compiled
def best_node(shapes: Shapes, share: FloatArray, app: int, free: Free, scored: Scored, policy: int) -> int:
    """Return the node for a container, -1 for none, and bring the scores of its application up to date."""
    best = -1
    for node in range(len(free.of)):
        if scored.seen[app, node] != scored.version[node]:
            score, device = score_of(shapes, share, app, node, free, scored, policy)
            scored.score[app, node] = score
            scored.device[app, node] = device
            scored.seen[app, node] = scored.version[node]
        score = scored.score[app, node]
        if score < NOWHERE and (best < 0 or score < scored.score[app, best]):
            best = node
    return best


@compiled
def fragmented(shapes: Shapes, share: FloatArray, free: Free) -> float:
    """Return how much of the free devices arrivals could not use, in the mean over `share`."""
    total = 0.0
    for node in range(len(free.of)):
        total += bad(shapes, share, node, free.of[node], free.devices[node], FRAGMENTATION)
    return total


def shapes_of(
    requests: FloatArray, devices: FloatArray, eligible: NDArray[np.bool_], scale: FloatArray
) -> Shapes:
    """Return shapes in the layout that the compiled code expects."""
    return Shapes(
        np.ascontiguousarray(requests, dtype=np.float64),
        np.ascontiguousarray(devices, dtype=np.float64),
        np.ascontiguousarray(eligible),
        np.ascontiguousarray(scale, dtype=np.float64),
    )


def nothing_scored(apps: int, free: Free) -> Scored:
    """Return scores none of which is up to date."""
    nodes = len(free.of)
    return Scored(
        np.full((apps, nodes), NOWHERE),
        np.full((apps, nodes), -1, dtype=np.int8),
        np.full((apps, nodes), -1, dtype=np.int32),
        np.zeros(nodes, dtype=np.int32),
        np.zeros(nodes),
        np.full(nodes, -1, dtype=np.int32),
        np.zeros(free.of.shape[1]),
        np.zeros(free.devices.shape[1]),
    )
