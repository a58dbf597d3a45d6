"""The embedded testbed's model: its form, its table, and its fidelity to the published measurements."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from metis.errors import InputError
from metis.measure.embedded import InterferenceModel
from metis.measure.profile import Profile
from metis.measure.published import read_published
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray
from metis.problem.groups import load_groups
from metis.problem.space import ColocationSpace
from metis.program.colocation_program import solve_colocation_program

PUBLISHED = Path(__file__).resolve().parents[3].parent / "shared" / "published"
MEASURED = PUBLISHED / "0905-6435results-normed.npz"
MODEL = InterferenceModel.load()
SPACE = ColocationSpace(MODEL.apps, 8)
APPS = len(MODEL.apps)

published = pytest.mark.published
needs_published = pytest.mark.skipif(
    not MEASURED.is_file(), reason=f"the published data is not beside the project ({MEASURED} is absent)"
)

colocations = st.lists(st.integers(0, 8), min_size=APPS, max_size=APPS).map(
    lambda counts: np.array([counts], dtype=np.int64)
)


@cache
def measured() -> Profile:
    return read_published(MEASURED)


def r_squared(predicted: FloatArray, true: FloatArray) -> float:
    return float(1 - ((predicted - true) ** 2).sum() / ((true - true.mean()) ** 2).sum())


def test_names_the_seven_applications_in_the_published_order() -> None:
    assert MODEL.apps == ("Redis", "MMS", "Checksum", "YCSB-A", "YCSB-B", "SceneDetect", "ISR")


def test_is_a_small_table() -> None:
    packaged = Path(__file__).resolve().parents[3] / "metis" / "measure" / "data" / "seven_apps.yaml"
    assert MODEL.coefficients == count_numbers(yaml.safe_load(packaged.read_text())["apps"])
    assert MODEL.coefficients <= 350


def count_numbers(value: object) -> int:
    if isinstance(value, dict):
        return sum(count_numbers(entry) for entry in value.values())
    return int(isinstance(value, int | float))


def test_a_container_alone_reaches_exactly_one() -> None:
    assert np.array_equal(MODEL.rps(np.eye(APPS, dtype=np.int64)), np.eye(APPS))


def test_is_zero_where_absent_and_positive_where_present() -> None:
    rps = MODEL.rps(SPACE.counts)
    assert rps.shape == (SPACE.size, APPS)
    assert rps.dtype == np.float64
    assert np.array_equal(rps > 0, SPACE.counts > 0)
    assert rps.max() < 3


def test_the_whole_space_in_one_call_is_what_its_parts_are() -> None:
    parts = [MODEL.rps(part) for part in np.array_split(SPACE.counts, 7)]
    np.testing.assert_allclose(MODEL.rps(SPACE.counts), np.concatenate(parts), rtol=1e-12)


def test_no_rows_in_no_rows_out() -> None:
    none = np.zeros((0, APPS), dtype=np.int64)
    assert MODEL.rps(none).shape == (0, APPS)
    assert MODEL.latency(none, MODEL.rps(none))[0].shape == (0, APPS)


@given(colocations)
def test_a_row_does_not_depend_on_the_rows_beside_it(counts: np.ndarray) -> None:
    beside = np.concatenate([SPACE.counts[1000:1005], counts, SPACE.counts[:3]])
    np.testing.assert_allclose(MODEL.rps(beside)[5], MODEL.rps(counts)[0], rtol=1e-12)


@given(st.permutations(range(APPS)), st.integers(0, SPACE.size - 1))
def test_the_order_of_applications_does_not_matter(order: list[int], row: int) -> None:
    shuffled = InterferenceModel(
        apps=tuple(MODEL.apps[a] for a in order),
        pressures=MODEL.pressures,
        demand=MODEL.demand[order],
        company=MODEL.company[order],
        presence=MODEL.presence[np.ix_(order, order)],
        knee=MODEL.knee[order],
        effect=MODEL.effect[order],
        alone=MODEL.alone[order],
        exponent=MODEL.exponent[order],
    )
    counts = SPACE.counts[[row]]
    np.testing.assert_allclose(shuffled.rps(counts[:, order]), MODEL.rps(counts)[:, order], rtol=1e-9)


def test_redis_helps_those_that_take_images_from_it() -> None:
    redis, mms, isr = (MODEL.apps.index(app) for app in ("Redis", "MMS", "ISR"))
    for app, least in ((mms, 2.0), (isr, 1.3)):
        counts = np.zeros((1, APPS), dtype=np.int64)
        counts[0, [redis, app]] = 1
        assert MODEL.rps(counts)[0, app] > least
        assert MODEL.rps(counts)[0, redis] < 1


def test_latency_is_missing_where_absent_or_unmeasured_only() -> None:
    rps = MODEL.rps(SPACE.counts)
    p50, p99 = MODEL.latency(SPACE.counts, rps)
    known = SPACE.counts > 0
    known[:, [MODEL.apps.index("YCSB-A"), MODEL.apps.index("YCSB-B")]] = False
    for values in (p50, p99):
        assert values.shape == rps.shape
        assert np.array_equal(np.isfinite(values), known)
    assert (p99[known] >= p50[known]).all()


def test_latency_falls_as_throughput_rises() -> None:
    one = np.eye(APPS, dtype=np.int64)[:1]
    alone = MODEL.latency(one, np.ones((1, APPS)))
    slower = MODEL.latency(one, np.full((1, APPS), 0.5))
    assert alone[0][0, 0] == MODEL.alone[0, 0]
    assert slower[0][0, 0] > 1.5 * alone[0][0, 0]
    assert slower[1][0, 0] > 1.5 * alone[1][0, 0]


def test_refuses_co_locations_of_another_shape() -> None:
    with pytest.raises(InputError, match="needs"):
        MODEL.rps(np.zeros((2, APPS + 1), dtype=np.int64))
    with pytest.raises(InputError, match="negative"):
        MODEL.rps(-np.eye(APPS, dtype=np.int64))
    with pytest.raises(InputError, match="alike"):
        MODEL.latency(SPACE.counts[:2], np.ones((3, APPS)))


TINY = """
pressures: [bus]
apps:
  web: {company: -0.1, presence: {web: 0, db: 0.3}, demand: {bus: 1}, knee: {bus: 0}, effect: {bus: -0.5},
        latency: {p50_alone: 1, p50_exponent: 1, p99_alone: 2, p99_exponent: 2}}
  db: {company: 0, presence: {web: 0, db: 0}, demand: {bus: 2}, knee: {bus: 1}, effect: {bus: 0},
       latency: null}
"""


def test_follows_its_formula(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    model = InterferenceModel.load(path)
    rps = model.rps(np.array([[1, 1], [2, 0], [0, 3]]))
    softplus = np.log1p(np.exp([2.0, 1.0])) - np.log(2.0)
    np.testing.assert_allclose(rps[0], [np.exp(-0.1 + 0.3 - 0.5 * softplus[0]), 1.0])
    np.testing.assert_allclose(rps[1], [np.exp(-0.1 - 0.5 * softplus[1]), 0.0])
    np.testing.assert_allclose(rps[2], [0.0, 1.0])
    p50, p99 = model.latency(np.array([[1, 0]]), np.array([[0.5, 0.0]]))
    np.testing.assert_allclose([p50[0, 0], p99[0, 0]], [2.0, 8.0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("knee: {bus: 0}, ", "", "web: 'knee' is missing"),
        ("knee: {bus: 0}", "knee: {bis: 0}", "web.knee: 'bis' is unknown"),
        ("knee: {bus: 0}", "knee: {bus: much}", "web.knee: bus is 'much'"),
        ("demand: {bus: 1}", "demand: {bus: -1}", "a demand is negative"),
        ("p50_alone: 1", "p50_alone: 0", "above 0"),
        ("pressures: [bus]", "pressures: bus", "a list of names"),
        ("apps:", "apps: [", "is no YAML"),
    ],
)
def test_a_wrong_table_is_refused_by_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(TINY.replace(old, new, 1))
    with pytest.raises(InputError, match=r"wrong\.yaml") as refused:
        InterferenceModel.load(path)
    assert message in str(refused.value)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        InterferenceModel.load(tmp_path / "none.yaml")


@published
@needs_published
def test_explains_the_published_measurements() -> None:
    profile = measured()
    rps, present = MODEL.rps(profile.colocations), profile.present
    assert r_squared(rps[present], profile.rps[present]) >= 0.985
    for a, app in enumerate(profile.apps):
        assert r_squared(rps[present[:, a], a], profile.rps[present[:, a], a]) >= 0.80, app


@published
@needs_published
def test_median_latency_is_near_the_published_one() -> None:
    profile = measured()
    p50, p99 = MODEL.latency(profile.colocations, MODEL.rps(profile.colocations))
    for model, true in ((p50, profile.p50), (p99, profile.p99)):
        both = np.isfinite(true)
        assert np.array_equal(both, np.isfinite(model))
        assert np.median(np.abs(np.log(model[both] / true[both]))) < 0.1


@published
@needs_published
@pytest.mark.parametrize(("size", "nodes", "least"), [(200, 81, 0.98), (400, 81, 0.91), (2000, 729, 0.98)])
def test_an_optimum_on_the_model_is_nearly_one_in_truth(size: int, nodes: int, least: float) -> None:
    profile = measured()
    group = load_groups(PUBLISHED / f"batch_set_{size}.npz", "0", profile.apps)[0]
    rps = MODEL.rps(SPACE.counts)
    true = rps.copy()  # what was not measured is worth what the model says
    true[SPACE.index(profile.colocations)] = np.nan_to_num(profile.rps)
    guess, value = ((SPACE.counts * table).sum(axis=1) for table in (rps, true))
    cluster = Cluster(SPACE, nodes)
    placement = solve_colocation_program(guess, group, cluster, mip_rel_gap=1e-4).placement
    best = solve_colocation_program(value, group, cluster, mip_rel_gap=1e-4).value
    assert value[SPACE.index(placement)].sum() >= least * best
