"""Placing and judging where co-locations are too many to tabulate."""

import json

import numpy as np
import pytest

from flows.command.comparison import comparison_document, comparison_table
from flows.command.verbs.explain import explained
from flows.command.verbs.place import place
from flows.engine.memo import Memo
from flows.placing.known import known_simulator, known_tables
from flows.stages.chain import STAGES
from flows.stages.evaluate import read_results
from metis.errors import InputError
from metis.measure.profile import join_types, make_profile
from metis.measure.synthetic import SyntheticModel
from metis.measure.testbed import EmbeddedTestbed, list_colocations
from tests.flows.conftest import settings_of

WIDE = (
    *("testbed=synthetic", "apps.count=40", "cluster.slots=8", "cluster.nodes=3", "group.size=12", "seed=2"),
    *("groups.count=2", "simulator=testbed", "columns.width=256", "tracking.orchestrate=false"),
)
TINY = (
    *("prices.problems=2", "prices.updates=2", "prices.apps=6", "prices.nodes=4", "prices.width=16"),
    *("prices.kept=100", "prices.hidden=8"),
)


@pytest.fixture
def memo_of(store):
    def memo(*words):
        return Memo(settings_of(*WIDE, f"tracking.path={store.root}", *words), STAGES, store)

    return memo


def test_schedulers_are_compared_with_a_bound_that_none_exceeds(memo_of):
    memo = memo_of("schedulers=[columns,greedy+local_search,greedy]")
    results = read_results(memo.obtain("evaluate").folder)
    assert (results["value"] <= results["bound"] + 1e-12).all()
    assert results.groupby("group")["bound"].nunique().eq(1).all()
    document = comparison_document(results)
    assert document["bound_kind"] == "proven"
    columns = document["schedulers"]["columns"]
    assert columns["ratio"]["min"] <= columns["ratio"]["median"] <= 1
    assert columns["ratio"]["mean"] >= document["schedulers"]["greedy"]["ratio"]["mean"]
    assert columns["bound_kind"] == "proven"
    assert "optimum" not in document["schedulers"]
    table = comparison_table(results, "title", exact=True)
    assert table.title.endswith("bounds proven")
    assert "of the\nbound, %" in [column.heading for column in table.columns[1:]]
    page = (memo.obtain("report").folder / "report.html").read_text(encoding="utf-8")
    assert "Ratio to the proven bound" in page
    assert "Schedulers chose by what the testbed knows: nothing is predicted." in page


def test_the_bound_is_found_without_the_scheduler_columns_too(memo_of):
    results = read_results(memo_of("schedulers=[spread,greedy]", "groups.count=1").obtain("evaluate").folder)
    assert set(results["bound_kind"]) == {"proven"}
    assert (results["ratio"] < 1).all()


def test_what_was_learnt_is_judged_on_the_truth_too(memo_of):
    """Fitted to mixes: what is predicted has its own error, and the truth a bound of its own."""
    fitted = ("simulator=lowrank", "profile=mixes", "profile.mixes=40", "simulator.members=2")
    memo = memo_of(
        *fitted, "apps.count=12", "cluster.slots=12", "schedulers=[columns,spread]", "simulator.resources=4"
    )
    results = read_results(memo.obtain("evaluate").folder)
    assert (results["true_value"] <= results["true_best"] + 1e-12).all()
    assert (results["value"] <= results["bound"] + 1e-12).all()
    assert {"drawn_0", "drawn_1", "true_slo_0.95"} <= set(results)
    by_name = results.groupby("scheduler")["true_ratio"].mean()
    assert by_name["columns"] > max(by_name["spread"], 0.9)
    table = comparison_table(results, "title")
    assert "of true\nbound, %" in [column.heading for column in table.columns[1:]]
    assert "true_ratio" in comparison_document(results)["schedulers"]["columns"]
    report = json.loads((memo.obtain("simulator").folder / "report.json").read_text())
    assert {"r2", "coverage80"} <= set(report)


def test_measurements_of_ones_own_may_be_of_many_applications(store, tmp_path):
    testbed = EmbeddedTestbed(SyntheticModel.drawn(12, 0), 12, 0.02)
    path = tmp_path / "mine.npz"
    testbed.measure(list_colocations(testbed.space, "mixes", mixes=40), 0).save(path)
    names = ",".join(testbed.space.apps)
    words = [
        *("profile=file", f"profile.path={path}", f"apps.names=[{names}]", "cluster.slots=12"),
        *("cluster.nodes=3", "group.size=14", "simulator=lowrank", "simulator.members=2"),
        *("simulator.held_out=0", "scheduler=greedy", "columns.width=64", "tracking.orchestrate=false"),
    ]
    settings = settings_of(*words, f"tracking.path={store.root}")
    assert settings.wide
    placed = place(Memo(settings, STAGES, store))
    assert placed.error is not None
    assert placed.gain is not None
    assert placed.judged.value <= placed.bound


@pytest.fixture(scope="module")
def mixes():
    """Measured co-locations of 12 applications on 12 slots, without noise."""
    testbed = EmbeddedTestbed(SyntheticModel.drawn(12, 0), 12, 0.0)
    return testbed.measure(list_colocations(testbed.space, "mixes", mixes=40), 0)


def words_of(profile, path, *more):
    profile.save(path)
    return [
        *("profile=file", f"profile.path={path}", f"apps.names=[{','.join(profile.apps)}]"),
        *("cluster.slots=12", "cluster.nodes=3", "group.size=14", "simulator.held_out=0"),
        *("scheduler=greedy", "columns.width=64", "columns.seconds=20", "tracking.orchestrate=false", *more),
    ]


@pytest.mark.parametrize("kind", ["ensemble", "boosted", "lowrank"])
def test_every_fitted_kind_serves_many_applications_and_returns_what_was_measured(
    store, tmp_path, mixes, kind
):
    """A node that holds a measured mix is explained by what was measured, as in tables."""
    few = {"boosted": ("simulator.trees=5",), "lowrank": ("simulator.members=2",)}.get(kind, ())
    words = words_of(mixes, tmp_path / "mine.npz", f"simulator={kind}", f"tracking.path={store.root}", *few)
    settings = settings_of(*words)
    assert settings.wide
    placed = place(Memo(settings, STAGES, store))
    assert placed.judged.value <= placed.bound
    assert (placed.error is None) == (kind == "boosted")  # which knows nothing of its errors
    row = 12 + int(np.argmax((mixes.colocations[12:] > 0).sum(axis=1)))
    held = np.zeros((3, 12), dtype=np.int64)
    held[1] = mixes.colocations[row]
    plan = tmp_path / "plan.csv"
    plan.write_text(
        "\n".join(
            [",".join(("node", *mixes.apps)), *(f"{i},{','.join(map(str, r))}" for i, r in enumerate(held))]
        )
    )
    asked = settings_of(*words, f"placement={plan}")
    explanation, _ = explained(Memo(asked, STAGES, store))
    assert not explanation.checked  # for constraints are found in tables
    np.testing.assert_allclose(np.nan_to_num(explanation.rps[1]), np.nan_to_num(mixes.rps[row]))
    there = np.flatnonzero(held[1])
    known = known_simulator(Memo(asked, STAGES, store))
    less = held[1].copy()
    less[there[0]] -= 1
    without = known.quantities_of(less[None], ("rps",))["rps"][0]
    expected = mixes.rps[row, there[1]] - without[there[1]]
    assert explanation.effect[1, there[1], there[0]] == pytest.approx(expected)


def test_columns_fill_nodes_by_what_was_measured(store, tmp_path, mixes):
    """One measured mix is far better than trees have it, which saw it once: two nodes hold it."""
    row = 12 + int(np.argmax(mixes.colocations[12:].sum(axis=1)))
    rps = mixes.rps.copy()
    rps[row] = np.where(mixes.colocations[row] > 0, 4.0, np.nan)
    better = make_profile(mixes.apps, mixes.slots, mixes.colocations, {"rps": rps}, {})
    counts = ",".join(map(str, (2 * mixes.colocations[row]).tolist()))
    words = words_of(
        better,
        tmp_path / "mine.npz",
        *("simulator=boosted", "simulator.trees=3", f"group.counts=[{counts}]", "cluster.nodes=2"),
        f"tracking.path={store.root}",
    )
    words = [word for word in words if word not in ("group.size=14", "cluster.nodes=3", "scheduler=greedy")]
    placed = place(Memo(settings_of(*words, "scheduler=columns"), STAGES, store))
    assert (placed.placement == mixes.colocations[row]).all()
    assert placed.judged.value == pytest.approx(4.0)


def test_many_applications_are_placed_by_type_of_node(store, tmp_path):
    testbed = EmbeddedTestbed(SyntheticModel.drawn(12, 0), 12, 0.02)
    mixes = list_colocations(testbed.space, "mixes", mixes=40)
    fast, slow = (testbed.measure(mixes, seed) for seed in (0, 1))
    path = tmp_path / "typed.npz"
    join_types({"fast": fast, "slow": slow}, np.array([np.ones(12), np.full(12, 0.25)]), {}).save(path)
    words = [
        *("profile=file", f"profile.path={path}", f"apps.names=[{','.join(testbed.space.apps)}]"),
        "cluster.types=[{name: slow, count: 2, slots: 12}, {name: fast, count: 2, slots: 12}]",
        *("group.size=12", "simulator=lowrank", "simulator.members=2", "simulator.held_out=0"),
        *("scheduler=greedy", "columns.width=64", "tracking.orchestrate=false"),
    ]
    settings = settings_of(*words, f"tracking.path={store.root}")
    assert settings.wide
    placed = place(Memo(settings, STAGES, store))
    held = placed.placement.sum(axis=1)
    assert held[:2].sum() == 0  # a full fast node does more than an empty slow one
    assert placed.judged.value <= placed.bound
    assert placed.document["types"]["slow"]["measured"] > 0


def test_groups_that_arrive_meet_what_is_there(memo_of):
    memo = memo_of("schedulers=[greedy]", "groups.arrive=true", "group.size=8")
    results = read_results(memo.obtain("evaluate").folder)
    assert (results["ratio"] <= 1).all()
    assert results["bound"].nunique() == 2


@pytest.mark.parametrize("scheduler", ["columns", "spread"])
def test_one_group_is_placed_with_a_bound_and_its_kind(memo_of, scheduler):
    placed = place(memo_of(f"scheduler={scheduler}")).document
    assert placed["bound_kind"] == "proven"
    assert placed["value"] <= placed["bound"]
    assert sum(sum(node.values()) for node in placed["placement"].values()) == 12


def test_what_needs_a_table_says_so(memo_of):
    with pytest.raises(InputError, match=r"40 applications and 8 slots make 377,348,994 co-locations"):
        known_tables(memo_of())
    with pytest.raises(InputError, match=r"'metis-flat' needs a table"):
        place(memo_of("scheduler=metis-flat"))


def test_metis_learns_prices_once_and_is_compared_and_placed_by_them(memo_of):
    memo = memo_of("schedulers=[metis,columns,greedy]", *TINY)
    document = comparison_document(read_results(memo.obtain("evaluate").folder))
    shares = {name: one["ratio"]["mean"] for name, one in document["schedulers"].items()}
    assert shares["greedy"] < shares["metis"] <= 1
    assert shares["metis"] > 0.98
    assert document["bound_kind"] == "proven"
    again = memo_of("scheduler=metis", "group.size=9", "cluster.nodes=2", *TINY)
    assert again.find("subscheduler/prices") is not None  # another group, the same weights
    placed = place(again).document
    assert placed["bound_kind"] == "proven"
    assert sum(sum(node.values()) for node in placed["placement"].values()) == 9


def test_a_testbed_of_few_applications_is_tabulated_and_has_the_optimum(store):
    few = [word for word in WIDE if not word.startswith(("apps.count", "columns.width"))]
    words = [*few, "apps.count=5", "schedulers=[columns,greedy]", f"tracking.path={store.root}"]
    results = read_results(Memo(settings_of(*words), STAGES, store).obtain("evaluate").folder)
    assert set(results["scheduler"]) == {"optimum", "columns", "greedy"}
    assert "true_rps" not in results  # what schedulers see is the truth already
    of_optimum = results[results["scheduler"] == "columns"]["ratio"]
    assert of_optimum.between(0.99, 1 + 1e-9).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("testbed=synthetic",), "testbed=synthetic draws its applications: give apps.count=N"),
        (("testbed=synthetic", "apps.count=9", "apps=seven"), "give apps.count=N, and no apps.names"),
        (("apps.count=9",), "apps.count: has no effect but with testbed=synthetic"),
        (("testbed=synthetic", "apps.count=1"), "apps.count"),
        (
            ("testbed=synthetic", "apps.count=30", "simulator=table"),
            "too many to measure them all, as simulator=table needs; use simulator=lowrank",
        ),
        (("profile=mixes", "profile.choose=share", "profile.mixes=9"), "profile.mixes=9: goes with"),
        (
            ("testbed=synthetic", "apps.count=30", "simulator=lowrank", "profile=random_05"),
            "too many to profile a share of them; use profile=mixes",
        ),
        (
            ("simulator=testbed", "cluster=lab", "testbed=swarm", "apps=lab"),
            "simulator=testbed: of a live cluster",
        ),
    ],
)
def test_settings_that_make_no_problem_are_refused(words, message):
    with pytest.raises(InputError, match=message):
        settings_of(*words)
