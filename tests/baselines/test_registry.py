import json
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest

from baselines.columns import ColumnsSettings
from baselines.constraints import ConstraintsSettings, constraints_of
from baselines.contract import Entry, Improver, Materials
from baselines.divide_conquer import DivideConquerSettings
from baselines.local_search import LocalSearchSettings
from baselines.medea import MedeaSettings
from baselines.optimum import OptimumSettings
from baselines.paragon import ParagonSettings
from baselines.registry import (
    IMPROVERS,
    SCHEDULERS,
    check_name,
    entry_of,
    learner_of,
    learns,
    make_scheduler,
    modules_of,
    sections_of,
    timed_place,
)
from baselines.vanilla_rl import VanillaRlSettings
from metis.errors import InputError, PlacementError
from metis.learn.paper.device import LearnSettings
from metis.learn.paper.high_level import HighLevelSettings
from metis.learn.paper.policy import initial_weights
from metis.learn.paper.sub_scheduler import SubSchedulers
from metis.learn.paper.tree import TreeShape
from metis.learn.value.dealer_learner import DealerLearner
from metis.learn.value.learner import ValueLearner
from metis.learn.value.problem import ValueProblem
from metis.learn.value.settings import DealerSettings, DecodeSettings, ValueSettings
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


WITHOUT_LEARNING = [name for name in SCHEDULERS if not learns(name)]
MATERIALS = Materials(tables())
SETTINGS = {
    "optimum": OptimumSettings(gap=1e-4),
    "columns": ColumnsSettings(width=8),
    "local_search": LocalSearchSettings(max_steps=3),
    "constraints": ConstraintsSettings(threshold=0.2),
    "medea": MedeaSettings(draws=1),
    "paragon": ParagonSettings(seed=3),
    "decode": DecodeSettings(beam=2),
    "highlevel": HighLevelSettings(steps=1),
    "learn": LearnSettings(),
    "vanilla_rl": VanillaRlSettings(steps=1),
    "divide_conquer": DivideConquerSettings(steps=1),
}


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
    json.dumps(dict(decision.trace))
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


@pytest.fixture(scope="module")
def weights():
    """Weights of both learners, hardly trained."""
    worth = MeanRps().bind(GROUP, Cluster(SPACE, 4), MATERIALS.tables)
    problem = ValueProblem.of(SPACE, "rps", worth)
    small = ValueSettings(hidden=(8,), episodes=4, max_nodes=3, wide_nodes=9, updates=1, steps=1)
    learner = ValueLearner(problem, small)
    learner.step()
    dealer = DealerLearner(learner.network, problem, 3, DealerSettings(hidden=4)).dealer
    shape = TreeShape(3, 1, 3, hidden=4)
    fresh = initial_weights(shape, np.random.default_rng(0))
    paper = SubSchedulers(SPACE, shape, tuple(array[None] for array in fresh))
    return {"value": learner.weights(dealer), "paper": paper}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_entry_is_exported_builds_and_places(name, weights):
    entry = entry_of(name)
    assert isinstance(entry, Entry)
    assert set(entry.sections) <= SETTINGS.keys()
    assert entry.learner in (None, "value", "paper")
    assert (learner_of(name), learns(name)) == (entry.learner, entry.learns)
    assert check_name(name) == name
    cluster = Cluster(SPACE, 4)
    worth = MeanRps().bind(GROUP, cluster, MATERIALS.tables)
    materials = Materials(MATERIALS.tables, SETTINGS, weights.__getitem__)
    decision = make_scheduler(name, materials).place(GROUP, cluster, worth)
    assert (decision.placement.sum(axis=0) == GROUP).all()


@pytest.mark.parametrize("name", IMPROVERS)
def test_every_improver_is_exported_and_reads_sections_there_are(name):
    improver = import_module(IMPROVERS[name]).IMPROVER
    assert isinstance(improver, Improver)
    assert set(improver.sections) <= SETTINGS.keys()


def test_a_scheduler_that_needs_weights_says_so():
    with pytest.raises(InputError, match=r"give Materials\.weights for 'paper'"):
        make_scheduler("metis-paper", MATERIALS)


def test_the_very_settings_object_reaches_the_scheduler():
    chosen = VanillaRlSettings(steps=7)
    place = entry_of("vanilla_rl").build(Materials(MATERIALS.tables, {"vanilla_rl": chosen}))
    assert place.settings is chosen
    assert entry_of("vanilla_rl").build(MATERIALS).settings == VanillaRlSettings()


def test_a_settings_object_of_another_class_is_refused():
    wrong = Materials(MATERIALS.tables, {"medea": {"draws": 0}})
    with pytest.raises(InputError, match=r"options\['medea'\] is a dict: give a MedeaSettings"):
        make_scheduler("medea", wrong)


def test_constraints_come_from_a_file_or_from_the_tables(tmp_path):
    found = constraints_of(MATERIALS.tables)
    assert len(found) > 0
    assert found.items == constraints_of(MATERIALS.tables, ConstraintsSettings(threshold=0.1)).items
    assert found.items != constraints_of(MATERIALS.tables, ConstraintsSettings(threshold=0.5)).items
    path, _ = found.write(tmp_path)
    assert constraints_of(MATERIALS.tables, ConstraintsSettings(path=str(path))).items == found.items


def test_a_scheduler_in_a_file_of_the_users(tmp_path, monkeypatch):
    (tmp_path / "mine_for_this_test.py").write_text(
        "def place(group, cluster, worth):\n"
        "    placement = cluster.existing * 0\n"
        "    placement[0] = group\n"
        "    return placement, {'note': 'mine'}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    name = "mine_for_this_test:place+local_search"
    assert check_name(name) == name
    assert modules_of(name) == ["mine_for_this_test", "baselines.local_search"]
    assert (learner_of(name), learns(name), sections_of(name)) == (None, False, ["local_search"])
    group, cluster = np.array([1, 1, 1]), Cluster(SPACE, 3)
    worth = MeanRps().bind(group, cluster, MATERIALS.tables)
    decision = make_scheduler(name, MATERIALS).place(group, cluster, worth)
    assert decision.placement.sum() == 3
    assert decision.trace["note"] == "mine"
    assert decision.trace["steps"] >= 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "gredy",
            "'gredy' is unknown: did you mean greedy[?] use one of optimum, columns, greedy",
        ),
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
def test_unknown_names_are_refused_with_what_there_is(name, message):
    with pytest.raises(InputError, match=message):
        make_scheduler(name, MATERIALS)


@pytest.mark.parametrize("function", [modules_of, sections_of])
@pytest.mark.parametrize("name", ["gredy", "greedy+gredy", "greedy+"])
def test_so_are_they_before_anything_is_made(function, name):
    with pytest.raises(InputError):
        function(name)


def test_what_decides_where_a_scheduler_places():
    assert modules_of("greedy+local_search") == ["baselines.greedy", "baselines.local_search"]
    assert modules_of("a.b:c") == ["a.b"]
    assert modules_of("metis-deal") == ["baselines.metis"]
    assert sections_of("optimum+local_search") == ["optimum", "local_search"]
    assert sections_of("a.b:c") == []


def test_options_reach_their_scheduler():
    cluster = Cluster(SPACE, 4)
    worth = MeanRps().bind(GROUP, cluster, MATERIALS.tables)
    still = Materials(MATERIALS.tables, {"local_search": LocalSearchSettings(max_steps=0)})
    name = f"{__name__}:one_by_one+local_search"
    assert make_scheduler(name, still).place(GROUP, cluster, worth).trace["steps"] == 0
    assert make_scheduler(name, MATERIALS).place(GROUP, cluster, worth).trace["steps"] > 0


@pytest.mark.parametrize(("seconds", "expected"), [(0.1, 2), (9.0, 1)])
def test_time_is_taken_after_one_warm_up_of_what_is_quick(seconds, expected):
    calls = []

    class Counted:
        def place(self, group, cluster, worth):
            calls.append(group)
            return Decision(np.zeros((1, 3), dtype=int), seconds, seconds)

    timed_place(Counted(), GROUP, Cluster(SPACE, 4), np.zeros(SPACE.size))
    assert len(calls) == expected


def test_importing_the_registry_and_every_entry_loads_no_heavy_library():
    code = (
        "import sys, baselines.registry, metis.simulate.fitting\n"
        "[baselines.registry.entry_of(name) for name in baselines.registry.SCHEDULERS]\n"
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
