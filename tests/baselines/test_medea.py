import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from baselines.constraints import Constraint, Constraints, read_constraints
from baselines.medea import MedeaSettings, medea_range, medea_scheduler, solve_medea
from baselines.medea_models import forbidden_boxes
from metis.errors import InputError, SolverError
from metis.problem.cluster import Cluster
from metis.problem.objectives import MeanRps
from metis.problem.placement import check_placement
from metis.problem.rules import Rules
from metis.problem.scheduler import TimedScheduler
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

PUBLISHED = Path(__file__).parents[3] / "shared" / "published"
APPS = ("Redis", "MMS", "Checksum", "YCSB-A", "YCSB-B", "SceneDetect", "ISR")
AB = ColocationSpace(("a", "b"), 4)
ABC = ColocationSpace(("a", "b", "c"), 3)
FORMULATIONS = ("container", "aggregate", "colocation")
every_formulation = pytest.mark.parametrize("formulation", FORMULATIONS)


def constraints(*items, apps=("a", "b")):
    return Constraints(apps, tuple(Constraint(*item) for item in items))


def published_constraints():
    path = PUBLISHED / "interference_applist.csv"
    if not path.exists():
        pytest.skip(f"the published data is not in {PUBLISHED.parent.name}/{PUBLISHED.name}")
    return read_constraints(path, APPS, 8)


@every_formulation
def test_two_that_disturb_each_other_part(formulation):
    apart = constraints(("a", "b", False, 0), ("b", "a", False, 0))
    result = solve_medea(apart, np.array([2, 2]), Cluster(AB, 2), MedeaSettings(formulation))
    assert result.value == result.bound == 0
    assert result.proven
    assert sorted(result.placement.tolist()) == [[0, 2], [2, 0]]


@every_formulation
def test_one_node_pays_per_container(formulation):
    """Three a and one b must share the node: each a minds b (3 x 2), b minds the a over the first (2)."""
    mind = constraints(("a", "b", False, 0, 2.0), ("b", "a", False, 1))
    result = solve_medea(mind, np.array([3, 1]), Cluster(AB, 1), MedeaSettings(formulation))
    assert (result.value, result.bound, result.gap) == (8, 8, 0)


@every_formulation
def test_affinity_draws_together(formulation):
    near = constraints(("a", "b", True, 1))
    result = solve_medea(near, np.array([3, 1]), Cluster(AB, 4), MedeaSettings(formulation))
    assert result.value == 0
    assert [3, 1] in result.placement.tolist()


@every_formulation
def test_existing_containers_stay_and_count(formulation):
    """Both nodes have a `b`; a minds it twice as much where one more stands, and the old a minds too."""
    mind = constraints(("a", "b", False, 0))
    cluster = Cluster(AB, 2, np.array([[1, 1], [0, 2]]))
    result = solve_medea(mind, np.array([1, 1]), cluster, MedeaSettings(formulation))
    # b to the second node; a to the first: two a beside one b
    assert result.placement.tolist() == [[1, 0], [0, 1]]
    assert result.value == 2


@every_formulation
def test_hard_constraints_and_rules_hold(formulation):
    """A hard cardinality, and a rule that b stands beside a, against a soft wish for the contrary."""
    mixed = constraints(("a", "a", False, 1, math.inf), ("b", "a", False, 0))
    allowed = Rules(only_beside={"b": ["a"]}).mask(AB)
    cluster = Cluster(AB, 3, allowed=allowed)
    result = solve_medea(mixed, np.array([2, 3]), cluster, MedeaSettings(formulation))
    check_placement(result.placement, np.array([2, 3]), cluster, "Medea")
    assert result.placement[:, 0].max() == 1
    assert result.value == 3


@every_formulation
def test_a_broken_node_may_stay_but_receives_nothing(formulation):
    allowed = Rules(never_together=[("a", "b")]).mask(AB)
    cluster = Cluster(AB, 2, np.array([[1, 1], [0, 0]]), allowed)
    near = constraints(("a", "b", True, 1))
    result = solve_medea(near, np.array([3, 0]), cluster, MedeaSettings(formulation))
    assert result.placement.tolist() == [[0, 0], [3, 0]]
    assert result.value == 3


def random_case(seed):
    rng = np.random.default_rng(seed)
    nodes = int(rng.integers(2, 4))
    existing = rng.integers(0, 2, (nodes, 3)) * (rng.random((nodes, 1)) < 0.4)
    items = []
    for _ in range(int(rng.integers(1, 6))):
        app, other = rng.choice(ABC.apps, 2)
        at_least = bool(rng.random() < 0.3)
        threshold = int(rng.integers(int(at_least), 3))
        items.append(Constraint(str(app), str(other), at_least, threshold, float(rng.choice([1, 1.5, 2]))))
    rules = Rules(never_together=[("a", "c")]) if seed % 3 == 0 else Rules(at_most={"b": 2})
    group = rng.multinomial(rng.integers(1, 6), np.full(3, 1 / 3))
    cluster = Cluster(ABC, nodes, existing, rules.mask(ABC))
    return Constraints(ABC.apps, tuple(items)), group, cluster


@pytest.mark.parametrize("seed", range(50))
def test_formulations_agree(seed):
    wanted, group, cluster = random_case(seed)
    if group.sum() > cluster.free_slots:
        with pytest.raises(InputError, match="do not fit"):
            solve_medea(wanted, group, cluster, MedeaSettings("colocation"))
        return
    values = []
    for formulation in FORMULATIONS:
        try:
            result = solve_medea(wanted, group, cluster, MedeaSettings(formulation))
        except InputError as error:
            values.append(f"impossible: {type(error).__name__}")
            continue
        check_placement(result.placement, group, cluster, formulation)
        assert result.proven
        assert result.value == pytest.approx(wanted.violations(result.placement, cluster).weighted)
        values.append(round(result.value, 6))
    assert values[0] == values[1] == values[2]


def test_the_random_cases_are_worth_comparing():
    cases = [case for case in map(random_case, range(50)) if case[1].sum() <= case[2].free_slots]
    values = [solve_medea(*case, MedeaSettings()).value for case in cases]
    assert len(values) >= 40
    assert np.count_nonzero(values) >= 15


@pytest.mark.published
@every_formulation
def test_six_nodes_of_the_paper(formulation):
    """Two containers of each of seven applications: the paper violates 4 of 468 (Metis, SC 2020)."""
    wanted, group, cluster = published_constraints(), np.full(7, 2), Cluster(ColocationSpace(APPS, 8), 6)
    result = solve_medea(wanted, group, cluster, MedeaSettings(formulation))
    found = wanted.violations(result.placement, cluster)
    assert (result.value, result.bound) == (4, 4)
    assert (found.count, found.total) == (4, 468)


@pytest.mark.published
def test_least_violation_of_the_first_published_group():
    wanted = published_constraints()
    with np.load(PUBLISHED / "batch_set_200.npz", allow_pickle=False) as stored:
        group = stored["batch_set"][0].astype(np.int64)
    result = solve_medea(wanted, group, Cluster(ColocationSpace(APPS, 8), 81), MedeaSettings(weights=()))
    assert (result.value, result.bound) == (60, 60)


def worth_of(rps):
    return lambda group, cluster: MeanRps().bind(group, cluster, Tables(AB, {"rps": rps}))


def test_medea_is_blind_to_what_it_has_no_constraint_for():
    """b never minds a, but a doubles its RPS: all placements violate nothing, and differ in worth."""
    rps = np.where(AB.counts > 0, 1.0, 0.0)
    rps[:, 1] *= 1 + (AB.counts[:, 0] > 0)
    group, cluster = np.array([2, 2]), Cluster(AB, 2)
    worth = worth_of(rps)(group, cluster)
    nothing = constraints(("a", "a", False, 4))
    found = medea_range(nothing, group, cluster, worth)
    assert (found.minimum, found.worst, found.best) == (0, 1.0, 1.5)
    assert len(found.draws) == 9
    assert found.worst <= found.draws.min() <= found.median <= found.draws.max() <= found.best
    assert np.median(found.draws) == pytest.approx(found.median)
    for placement in (found.placement, found.worst_placement, found.best_placement):
        check_placement(placement, group, cluster, "Medea")


def test_scheduler_reports_and_repeats_itself():
    mind = constraints(("a", "b", False, 0), ("b", "b", False, 1))
    group, cluster = np.array([3, 4]), Cluster(AB, 3)
    worth = np.random.default_rng(1).random(AB.size)
    scheduler = TimedScheduler("medea", medea_scheduler(mind))
    first, second = (scheduler.place(group, cluster, worth) for _ in range(2))
    assert (first.placement == second.placement).all()
    trace = first.trace
    assert trace["proven"]
    assert trace["weighted"] == trace["bound"] == mind.violations(first.placement, cluster).weighted
    assert sorted(trace["draws"])[4] == pytest.approx(worth[AB.index(first.placement)].sum())
    untied = medea_scheduler(mind, MedeaSettings(draws=0))(group, cluster, worth)
    assert untied[1]["weighted"] == trace["weighted"]
    assert untied[1]["draws"] == []


def test_published_weights_need_those_applications():
    space = ColocationSpace(("Redis", "MMS"), 2)
    mind = constraints(("Redis", "MMS", False, 0), apps=space.apps)
    together = (np.array([1, 1]), Cluster(space, 1))
    assert solve_medea(mind, *together, MedeaSettings()).value == 2
    assert solve_medea(mind, *together, MedeaSettings(weights=())).value == 1
    assert solve_medea(mind, *together, MedeaSettings(weights=(("Redis", "MMS", 5.0),))).value == 5
    with pytest.raises(InputError, match="unknown application 'ISR'"):
        solve_medea(mind, *together, MedeaSettings(weights=(("Redis", "ISR", 2.0),)))


def test_contradicting_hard_constraints_are_named():
    clash = constraints(
        ("a", "b", True, 1, math.inf), ("b", "b", False, 3, math.inf), ("a", "b", False, 0, math.inf)
    )
    with pytest.raises(InputError) as caught:
        solve_medea(clash, np.array([1, 2]), Cluster(AB, 2), MedeaSettings())
    assert "no node can hold a" in str(caught.value)
    assert "a: at least 1 b; a: at most 0 b" in str(caught.value)
    assert "at most 3" not in str(caught.value)


def test_a_hard_constraint_may_contradict_a_rule_or_the_group():
    near = constraints(("a", "b", True, 1, math.inf))
    ruled = Cluster(AB, 2, allowed=Rules(never_together=[("a", "b")]).mask(AB))
    with pytest.raises(InputError, match="a: at least 1 b; the cluster's rules"):
        solve_medea(near, np.array([1, 1]), ruled, MedeaSettings())
    with pytest.raises(InputError, match="no node can hold a"):
        solve_medea(near, np.array([1, 0]), Cluster(AB, 2), MedeaSettings())


@every_formulation
def test_hard_constraints_that_leave_no_room_are_listed(formulation):
    alone = constraints(("a", "a", False, 1, math.inf))
    with pytest.raises(InputError, match=r"no placement satisfies the rules.*a: at most 1 a"):
        solve_medea(alone, np.array([3, 0]), Cluster(AB, 2), MedeaSettings(formulation))


@every_formulation
def test_nothing_in_time_is_one_clear_error(formulation):
    space = ColocationSpace(tuple("abcdefg"), 8)
    rng = np.random.default_rng(0)
    items = [(s, c, False, int(rng.integers(0, 3))) for s in space.apps for c in space.apps]
    settings = MedeaSettings(formulation, time_limit=1e-3)
    with pytest.raises(SolverError, match=f"medea .{formulation}, 20 nodes, 98 containers, 0.001 s.*time"):
        solve_medea(constraints(*items, apps=space.apps), np.full(7, 14), Cluster(space, 20), settings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"formulation": "milp"},
        {"time_limit": 0.0},
        {"time_limit": math.nan},
        {"mip_rel_gap": 1.0},
        {"draws": -1},
        {"seed": -1},
    ],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        replace(MedeaSettings(), **wrong)


def test_boxes_cover_what_is_forbidden_and_nothing_else():
    rng = np.random.default_rng(3)
    for allowed in (rng.random(ABC.size) < 0.5, Rules(only_beside={"a": ["b", "c"]}).mask(ABC)):
        inside = np.zeros(ABC.size, dtype=bool)
        boxes = forbidden_boxes(ABC, allowed)
        for low, high in boxes:
            inside |= ((ABC.counts >= low) & (ABC.counts <= high)).all(axis=1)
        assert (inside == ~allowed).all()
    assert len(boxes) == 1  # one rule, one box
