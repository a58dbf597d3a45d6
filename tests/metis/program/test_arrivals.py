"""Containers placed as they arrive: by hand what each policy does, devices, times, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from metis.errors import InputError, PlacementError
from metis.problem.arrivals import Arrivals, ArrivalsSettings
from metis.problem.rules import Rules
from metis.problem.statement import Statement
from metis.program.arrivals import check_arrivals, place_arrivals


def stated(requests, capacity, devices="", **others):
    """Applications a, b, ... on nodes n1, n2, ... with CPU and, where the second column is, GPUs."""
    asked, have = np.array(requests, dtype=float), np.array(capacity, dtype=float)
    return Statement(
        apps=tuple("abcdef"[: len(asked)]),
        demand=np.zeros(len(asked), dtype=np.int64),
        requests=asked,
        nodes=tuple(f"n{i + 1}" for i in range(len(have))),
        capacity=have,
        dimensions=("cpu", "gpu")[: asked.shape[1]],
        beside=np.zeros((0, 3), dtype=np.int64),
        existing=others.pop("existing", np.zeros((0, 3), dtype=np.int64)),
        devices=devices,
        **others,
    )


def arriving(apps, arrives=None, leaves=None):
    times = np.arange(len(apps), dtype=float) if arrives is None else np.array(arrives, dtype=float)
    ends = np.full(len(apps), np.inf) if leaves is None else np.array(leaves, dtype=float)
    return Arrivals(np.array(["abcdef".index(app) for app in apps], dtype=np.int64), times, ends)


def placed(statement, arrivals, policy="room", staying=False):
    return place_arrivals(statement, arrivals, ArrivalsSettings(policy, staying))


def test_best_fit_takes_the_fullest_node_and_room_keeps_what_others_need():
    """b needs no GPU: best fit puts it where least is left, on a node whose CPUs the next a needs."""
    statement = stated([[4, 1], [4, 0]], [[4, 1], [4, 1], [16, 0], [1, 4]], "gpu")
    assert placed(statement, arriving("aba"), "best_fit").node.tolist() == [0, 1, -1]
    assert placed(statement, arriving("aba")).node.tolist() == [0, 2, 1]


def test_shares_lie_on_one_device_and_larger_requests_take_whole_ones():
    statement = stated([[1, 0.6], [1, 0.4], [1, 2]], [[9, 3]], "gpu")
    found = placed(statement, arriving("abcab"))
    assert found.devices == [(0,), (0,), (1, 2), (), ()]  # 0.6 + 0.4 fill a device; two whole ones are left
    assert found.node.tolist() == [0, 0, 0, -1, -1]
    assert (found.placed, found.free, found.unusable) == (3, 0.0, 0.0)


def test_sums_that_fit_on_no_single_device_do_not():
    """Of two devices 0.4 are free each: 0.8 in all, and 0.5 fits on neither."""
    statement = stated([[1, 0.6], [1, 0.5]], [[9, 2]], "gpu")
    found = placed(statement, arriving("aab"))
    assert found.node.tolist() == [0, 0, -1]
    assert found.unusable == pytest.approx(0.8 / 2)


@pytest.mark.parametrize("policy", ["room", "best_fit", "fragmentation"])
def test_what_leaves_makes_room_unless_all_stay(policy):
    statement = stated([[2, 1]], [[2, 1]], "gpu")
    arrivals = arriving("aaa", leaves=[1, 9, 9])
    assert placed(statement, arrivals, policy).node.tolist() == [0, 0, -1]
    assert placed(statement, arrivals, policy).running == 1
    assert placed(statement, arrivals, policy, staying=True).node.tolist() == [0, -1, -1]


def test_only_eligible_nodes_and_beside_what_runs():
    rules = Rules(eligible={"a": ("n2",)})
    statement = stated([[2]], [[9], [4]], existing=np.array([[1, 0, 1]]), rules=rules)
    statement = replace(statement, demand=np.array([1]))
    found = placed(statement, arriving("aa"))
    assert found.node.tolist() == [1, -1]
    assert (found.running, found.unusable) == (2, None)


def test_every_policy_keeps_capacity_and_devices_in_a_random_stream():
    """The check inside `place_arrivals` counts anew, by events, and fails otherwise."""
    rng = np.random.default_rng(0)
    statement = stated([[1, 0.3], [2, 0.7], [3, 1], [1, 2], [4, 0]], [[8, 2]] * 4 + [[16, 4]] * 2, "gpu")
    apps = rng.integers(5, size=200)
    arrives = np.sort(rng.uniform(0, 100, 200))
    arrivals = Arrivals(apps, arrives, arrives + rng.exponential(20, 200))
    counts = [placed(statement, arrivals, policy).placed for policy in ("room", "best_fit", "fragmentation")]
    assert min(counts) > 50
    assert max(counts) < 200


def test_none_arrive():
    found = placed(stated([[1]], [[9]]), arriving(""))
    assert (found.placed, found.running, found.free) == (0, 0, 9)


def test_the_check_finds_a_device_that_holds_too_much():
    statement = stated([[1, 0.6]], [[9, 2]], "gpu")
    both = np.array([0, 0])
    with pytest.raises(PlacementError, match="n1: a device holds more"):
        check_arrivals(statement, arriving("aa"), both, [(0,), (0,)], staying=True)
    with pytest.raises(PlacementError, match=r"asks for 0\.6"):
        check_arrivals(statement, arriving("aa"), both, [(0,), ()], staying=True)


def test_refused():
    wide = stated([[1, 1]], [[9, 2]], "gpu", existing=np.array([[0, 0, 1]]))
    with pytest.raises(InputError, match="does not say which"):
        placed(wide, arriving("a"))
    with pytest.raises(InputError, match=r"rules\.at_most: placing in order of arrival keeps eligible"):
        placed(stated([[1]], [[9]], rules=Rules(at_most={"a": 1})), arriving("a"))
    with pytest.raises(InputError, match="no devices to fragment"):
        placed(stated([[1]], [[9]]), arriving("a"), "fragmentation")
    with pytest.raises(InputError, match=r"asks for 1\.5 gpu"):
        stated([[1, 1.5]], [[9, 2]], "gpu")
    with pytest.raises(InputError, match=r"has 1\.5 gpu; devices are whole"):
        stated([[1, 1]], [[9, 1.5]], "gpu")
