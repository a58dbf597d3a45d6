import subprocess
import sys

import numpy as np
import pytest

from baselines.registry import ENTRIES, Materials, make_scheduler, modules_of, sections_of, timed_place
from metis.errors import InputError, PlacementError
from metis.problem.cluster import Cluster
from metis.problem.objectives import MeanRps
from metis.problem.scheduler import Decision
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

SPACE = ColocationSpace(("Redis", "MMS", "ISR"), 3)
GROUP = np.array([2, 3, 1])


def tables():
    crowded = 1.3 - 0.15 * SPACE.totals + 0.3 * (SPACE.counts[:, 0] > 0)
    return Tables(SPACE, {"rps": np.where(SPACE.counts > 0, crowded[:, None], 0.0)})


WITHOUT_LEARNING = [name for name, entry in ENTRIES.items() if not (entry.learner or entry.learns)]
MATERIALS = Materials(tables())


def one_by_one(group, cluster, worth):
    """A scheduler of a user's own: fills node after node."""
    del worth
    placement = np.zeros((cluster.nodes, len(group)), dtype=int)
    for i, app in enumerate(np.repeat(np.arange(len(group)), group)):
        placement[i // cluster.space.slots, app] += 1
    return placement, {"mine": True}


@pytest.mark.parametrize("suffix", ["", "+local_search"])
@pytest.mark.parametrize("name", [*WITHOUT_LEARNING, f"{__name__}:one_by_one"])
def test_every_name_makes_a_scheduler_that_keeps_the_contract(name, suffix):
    cluster = Cluster(SPACE, 4, existing=np.array([[1, 0, 0], [0, 0, 0], [0, 1, 1], [0, 0, 0]]))
    cluster = cluster if ":" not in name else Cluster(SPACE, 4)
    worth = MeanRps().bind(GROUP, cluster, MATERIALS.tables)
    decision = make_scheduler(name + suffix, MATERIALS).place(GROUP, cluster, worth)
    assert (decision.placement.sum(axis=0) == GROUP).all()
    assert decision.seconds >= 0
    assert ("steps" in decision.trace) == bool(suffix)


def test_local_search_improves_what_is_before_it():
    cluster = Cluster(SPACE, 4)
    worth = MeanRps().bind(GROUP, cluster, MATERIALS.tables)

    def value(name):
        placement = make_scheduler(name, MATERIALS).place(GROUP, cluster, worth).placement
        return worth[SPACE.index(placement)].sum()

    assert value("optimum") >= value("round_robin+local_search") - 1e-9
    assert value(f"{__name__}:one_by_one+local_search") > value(f"{__name__}:one_by_one")


def test_a_users_scheduler_that_loses_a_container_is_named():
    scheduler = make_scheduler(f"{__name__}:forgetful", MATERIALS)
    with pytest.raises(PlacementError, match=r"forgetful: placed 0 of 2 containers of Redis"):
        scheduler.place(GROUP, Cluster(SPACE, 4), np.zeros(SPACE.size))


def forgetful(group, cluster, worth):
    del group, worth
    return np.zeros_like(cluster.existing), {}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gredy", "'gredy' is unknown: use one of optimum, greedy, round_robin, spread"),
        ("", "'' is unknown"),
        ("greedy+gredy", "'gredy' cannot be put after"),
        ("greedy+", "'' cannot be put after"),
        ("greedy+local_search+nope", "'nope' cannot be put after"),
        ("local_search", "'local_search' is unknown"),
        ("no_such_module:place", "No module named 'no_such_module'"),
        ("numpy:no_such_function", "no_such_function"),
        (":place", "':place'"),
        ("numpy:", "'numpy:'"),
        ("numpy:pi", "'numpy:pi'"),
    ],
)
def test_unknown_names_are_refused_with_what_there_is(name, told):
    with pytest.raises(InputError, match=told):
        make_scheduler(name, MATERIALS)


@pytest.mark.parametrize("function", [modules_of, sections_of])
@pytest.mark.parametrize("name", ["gredy", "greedy+gredy", "greedy+"])
def test_so_are_they_before_anything_is_made(function, name):
    with pytest.raises(InputError):
        function(name)


def test_what_decides_a_schedulers_answer():
    assert modules_of("greedy+local_search") == ["baselines.greedy", "baselines.local_search"]
    assert modules_of("a.b:c") == ["a.b"]
    assert sections_of("optimum+local_search") == ["optimum", "local_search"]
    assert sections_of("a.b:c") == []


def test_options_reach_their_scheduler():
    cluster = Cluster(SPACE, 4)
    worth = MeanRps().bind(GROUP, cluster, MATERIALS.tables)
    still = Materials(MATERIALS.tables, {"local_search": {"max_steps": 0}})
    name = f"{__name__}:one_by_one+local_search"
    assert make_scheduler(name, still).place(GROUP, cluster, worth).trace["steps"] == 0
    assert make_scheduler(name, MATERIALS).place(GROUP, cluster, worth).trace["steps"] > 0


@pytest.mark.parametrize(("seconds", "expected"), [(0.1, 2), (9.0, 1)])
def test_time_is_taken_after_one_warm_up_of_what_is_quick(seconds, expected):
    calls = []

    class Counted:
        def place(self, group, cluster, worth):
            calls.append(group)
            return Decision(np.zeros((1, 3), dtype=int), seconds)

    timed_place(Counted(), GROUP, Cluster(SPACE, 4), np.zeros(SPACE.size))
    assert len(calls) == expected


def test_importing_the_registry_loads_no_heavy_library():
    code = (
        "import sys, baselines.registry, metis.simulate.fitting\n"
        "import metis.measure.testbed, metis.measure.profile\n"
        "heavy = {'tensorflow', 'cvxpy', 'mlflow', 'prefect', 'hydra', 'sklearn', 'flows'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
