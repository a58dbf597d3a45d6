"""Profiles with node types: what was measured on a type stands, others lend the rest, worse by a doubt."""

import numpy as np
import pytest

from metis.errors import InputError
from metis.measure.profile import describe_profile, join_types
from metis.measure.profile_files import load_profile
from metis.measure.synthetic import SyntheticModel
from metis.measure.testbed import EmbeddedTestbed, draw_mixes, join_profiles, list_colocations
from metis.problem.oracle import known_on, types_of
from metis.simulate.fitting import fit_simulator, oracle_of
from metis.simulate.lowrank_oracle import LowRankOracle
from metis.simulate.replay import FileTestbed
from metis.simulate.settings import SimulatorSettings
from metis.simulate.simulator import FittedSimulator

NAN = np.nan
# alone web does 800 on fast nodes and 400 on slow ones, db 50 and 40; together they ran on fast ones only
TYPED = """type,web,db,rps_web,rps_db,p99_web
fast,1,0,800,,0.1
fast,0,1,,50,
fast,1,1,640,40,0.2
fast,2,0,400,,0.4
fast,0,2,,20,
slow,1,0,400,,0.3
slow,0,1,,40,
slow,2,0,100,,0.9
"""
UNKNOWN = f"{TYPED.partition('slow')[0]}slow,1,2,200,20,\n"  # on slow nodes nothing that is known elsewhere
LONG = """run,type,app,count,rps
1,fast,web,1,800
2,fast,db,1,50
3,fast,web,1,640
3,fast,db,1,40
4,slow,web,1,400
"""


@pytest.fixture
def profile(tmp_path):
    (tmp_path / "typed.csv").write_text(TYPED, encoding="utf-8")
    return load_profile(tmp_path / "typed.csv")


def table(**options):
    return SimulatorSettings(kind="table", **options)


def test_each_type_has_its_profile_and_all_together_their_median(profile, tmp_path):
    assert list(profile.types) == ["fast", "slow"]
    fast, slow = profile.types.values()
    np.testing.assert_allclose(fast.pace, [1, 1])
    np.testing.assert_allclose(slow.pace, [400 / 800, 40 / 50])
    np.testing.assert_allclose(profile.pace, [0.75, 0.9])
    assert slow.colocations.tolist() == [[0, 1], [1, 0], [2, 0]]
    np.testing.assert_allclose(slow.rps[2], [100 / 400, NAN])
    assert profile.colocations.tolist() == [[0, 1], [0, 2], [1, 0], [1, 1], [2, 0]]
    np.testing.assert_allclose(profile.rps[4], [(400 / 800 + 100 / 400) / 2, NAN])
    assert profile.spread is None  # types that differ are no noise
    assert describe_profile(profile)["types"] == {"fast": 5, "slow": 3}

    profile.save(tmp_path / "typed.npz")
    again = load_profile(tmp_path / "typed.npz")
    for name in profile.types:
        for part in ("colocations", "rps", "p99", "pace"):
            np.testing.assert_array_equal(
                getattr(again.types[name], part), getattr(profile.types[name], part)
            )
    np.testing.assert_array_equal(again.pace, profile.pace)
    assert list(load_profile(tmp_path / "typed.npz", slots=1).types) == ["fast", "slow"]


def test_what_was_not_measured_on_a_type_is_lent_at_a_stated_discount(profile):
    tables = fit_simulator(profile, table(), ("rps", "p99")).tables
    of = profile.space.index
    fast, slow = tables.of_type("fast"), tables.of_type("slow")
    assert (fast.measured, slow.measured) == (1.0, 3 / 5)
    np.testing.assert_allclose(fast.rps[of([[1, 1], [2, 0]])], [[640 / 800, 40 / 50], [0.5, 0]])
    # measured on slow nodes: as it is, in shares of what fast ones do alone
    np.testing.assert_allclose(slow.rps[of([[1, 0], [0, 1], [2, 0]])], [[0.5, 0], [0, 0.8], [100 / 800, 0]])
    # not measured there: the share of fast nodes, of what slow ones do alone, worse by the doubt
    worse = np.exp(-0.1)
    np.testing.assert_allclose(slow.rps[of([1, 1])], [0.8 * 0.5 * worse, 0.8 * 0.8 * worse])
    np.testing.assert_allclose(slow.quantity("p99")[of([1, 1]), 0], 0.2 * 3 / worse)  # alone 0.3 s, not 0.1
    # of another type: the median share of both, of the median of what they do alone
    other = tables.of_type("new")
    np.testing.assert_allclose(other.rps[of([1, 1])], [0.8 * 0.75 * worse, 0.8 * 0.9 * worse])
    trusting = fit_simulator(profile, table(type_doubt=0.0)).tables
    np.testing.assert_allclose(trusting.of_type("slow").rps[of([1, 1])], [0.4, 0.64])


def test_speed_is_a_share_of_the_fastest_type(profile):
    speed = fit_simulator(profile, table(), ("rps", "speed")).tables
    alone, two = profile.space.index([1, 0]), profile.space.index([2, 0])
    np.testing.assert_allclose(speed.of_type("fast").quantity("speed")[[alone, two], 0], [1, 0.1 / 0.4])
    np.testing.assert_allclose(speed.of_type("slow").quantity("speed")[[alone, two], 0], [1 / 3, 0.1 / 0.9])


def test_an_application_that_a_type_never_ran_is_as_slow_there_as_others(tmp_path):
    (tmp_path / "long.csv").write_text(LONG, encoding="utf-8")
    profile = load_profile(tmp_path / "long.csv")
    np.testing.assert_allclose(profile.types["slow"].pace, [0.5, NAN])
    fitted = fit_simulator(profile, SimulatorSettings(kind="boosted", trees=5, type_doubt=0.2))
    slow = fitted.tables.of_type("slow").rps
    both = slow[profile.space.index([[1, 0], [0, 1]])]
    np.testing.assert_allclose(both, [[0.5, 0], [0, 0.5 * np.exp(-0.2)]])


def test_what_an_application_does_alone_on_a_type_follows_from_pairs_measured_on_others(tmp_path):
    text = TYPED.replace("slow,0,1,,40,\n", "slow,1,1,200,20,\n")
    text = text.replace("slow,2,0,100,,0.9\n", "slow,0,2,,0,\n")
    (tmp_path / "typed.csv").write_text(text, encoding="utf-8")
    profile = load_profile(tmp_path / "typed.csv")
    # what was measured with nothing like it elsewhere: as slow as others
    odd = TYPED.replace("slow,0,1,,40,\n", "slow,1,2,200,10,\n")
    (tmp_path / "odd.csv").write_text(odd, encoding="utf-8")
    np.testing.assert_allclose(load_profile(tmp_path / "odd.csv").types["slow"].pace, [0.5, 0.5])
    # beside web db keeps 40 of 50 on fast nodes, so that 20 of it on a slow one are 25 alone
    np.testing.assert_allclose(profile.types["slow"].pace, [0.5, 25 / 50])
    slow = fit_simulator(profile, table()).tables.of_type("slow").rps
    np.testing.assert_allclose(slow[profile.space.index([1, 1])], [200 / 800, 20 / 50])  # as measured
    (tmp_path / "typed.csv").write_text(TYPED.replace("slow,0,1,,40,\n", "slow,0,2,,0,\n"), encoding="utf-8")
    slow = load_profile(tmp_path / "typed.csv").types["slow"]
    np.testing.assert_allclose(slow.pace, [0.5, NAN])  # of 0 RPS nothing follows but that
    assert slow.rps[0, 1] == 0


def test_doubts_are_wider_where_a_type_was_not_measured_and_all_is_kept_in_a_file(profile, tmp_path):
    part = profile.on(2)
    rows = ~(part.colocations == [0, 2]).all(axis=1)  # else all is exact
    part = FileTestbed(part).measure(part.colocations[rows], 0)
    fitted = fit_simulator(part, SimulatorSettings(kind="ensemble", held_out=0, type_doubt=0.3))
    fitted.save(tmp_path / "simulator.npz")
    again = FittedSimulator.load(tmp_path / "simulator.npz")
    pair, two = profile.space.index([[1, 1], [0, 2]])
    for one in (fitted, again):
        spread = one.types["slow"].doubts["rps"].spread
        np.testing.assert_allclose(spread[pair], 0.3)  # measured on fast nodes
        assert spread[two, 1] > 0.3  # nowhere
        assert (one.types["fast"].doubts["rps"].spread[pair] == 0).all()
        draws = list(one.drawn())
        assert len(draws) >= 8
        on_slow = np.array([drawn.of_type("slow").rps[pair, 0] for drawn in draws])
        assert 0.1 < np.log(on_slow).std() < 0.6
        assert np.array_equal(draws[0].of_type("fast").rps[pair], fitted.tables.of_type("fast").rps[pair])
        careful = one.cautious(1.0).tables.of_type("slow")
        np.testing.assert_allclose(
            careful.rps[pair], one.tables.of_type("slow").rps[pair] * np.exp(-0.3), rtol=1e-6
        )
    assert again.tables.of_type("slow").measured == fitted.tables.of_type("slow").measured == 3 / 5


def test_an_oracle_of_many_applications_goes_by_type_as_tables_do(tmp_path):
    """Eight applications on two types: on the slow one all do half as much alone; the rest is lent."""
    testbed = EmbeddedTestbed(SyntheticModel.drawn(8, 1), 4, 0.0)
    fast = testbed.measure(list_colocations(testbed.space, "mixes", mixes=60, seed=1), 0)
    slow = testbed.measure(np.eye(8, dtype=np.int64)[:7], 0)  # all but the last, alone
    alone = np.array([np.ones(8), [0.5] * 7 + [NAN]])
    profile = join_types({"fast": fast, "slow": slow}, alone, {})
    chosen = SimulatorSettings(kind="lowrank", resources=2, members=3, held_out=0, type_doubt=0.2)
    oracle, report = oracle_of(profile, chosen)
    assert report["measured_slow"] == 7 / (testbed.space.size - 1)
    oracle.save(tmp_path / "lowrank.npz")
    rows = np.concatenate([np.eye(8, dtype=np.int64), draw_mixes(testbed.space, 5, 9)])
    for one in (oracle, LowRankOracle.load(tmp_path / "lowrank.npz")):
        assert set(types_of(one)) == {"fast", "slow"}
        on_fast, on_slow, on_new = (
            known_on(one, name).quantities_of(rows, ("rps",))["rps"] for name in ("fast", "slow", "new")
        )
        np.testing.assert_allclose(on_slow[:7], on_fast[:7] * 0.5)  # measured alone
        np.testing.assert_allclose(on_slow[7, 7], 0.5 * np.exp(-0.2))  # never, but others were
        np.testing.assert_allclose(on_slow[8:, :7], on_fast[8:, :7] * 0.5 * np.exp(-0.2), rtol=0.05)
        np.testing.assert_allclose(on_new[:7, :7], np.eye(7) * 0.75 * np.exp(-0.2), atol=1e-9)
        for name, reached in (("fast", on_fast), ("slow", on_slow)):
            there, _ = known_on(one, name).most_rps(rows, np.ones(rows.shape, dtype=bool))
            assert (reached <= there + 1e-9)[rows > 0].all()
        drawn = [known_on(k, "slow").quantities_of(rows, ("rps",))["rps"] for k in one.drawn()]
        assert len({round(float(values[9].sum()), 6) for values in drawn}) == 3
        assert all(np.allclose(values[:7], on_slow[:7]) for values in drawn)
        mixed = fast.colocations[8:]
        measured = known_on(one, "fast").quantities_of(mixed, ("rps",))["rps"]
        np.testing.assert_allclose(measured, np.nan_to_num(fast.rps[8:]))  # as it was
        careful = known_on(one.cautious(1.0), "slow").quantities_of(rows, ("rps",))["rps"]
        assert (careful[8:] <= on_slow[8:] * np.exp(-0.2) + 1e-12).all()


def test_a_replayed_profile_is_the_truth_where_every_type_is_full(profile, tmp_path):
    with pytest.raises(InputError, match="2 of 5 are not recorded in it on nodes of type slow"):
        FileTestbed(profile).truth()
    (tmp_path / "full.csv").write_text(TYPED + "slow,1,1,200,20,\nslow,0,2,,10,\n", encoding="utf-8")
    truth = FileTestbed(load_profile(tmp_path / "full.csv")).truth()
    np.testing.assert_allclose(truth.of_type("slow").rps[profile.space.index([1, 1])], [200 / 800, 20 / 50])
    with pytest.raises(InputError, match=r"node types \(fast, slow\): joining profiles does not distinguish"):
        join_profiles(profile, profile, {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (TYPED.replace("slow,2", ",2"), "line 9, column type: is blank; name the type of the node"),
        (
            TYPED.replace("slow,1,0,400,,0.3\nslow,0,1,,40,\nslow,2,0,100,,0.9", "slow,1,2,200,20,"),
            "alone on a node of type slow; add a row",
        ),
        (LONG.replace("3,fast,db", "3,slow,db"), "line 5, column type: run 3 is on a node of type fast in"),
        (TYPED.replace("slow", "a b"), "type 'a b': give letters"),
        ("type,rps_type\n1,3\n2,2\n", ""),  # an application of that name
    ],
)
def test_bad_types_are_refused_in_one_line(text, says, tmp_path):
    (tmp_path / "typed.csv").write_text(text, encoding="utf-8")
    if not says:
        assert load_profile(tmp_path / "typed.csv").apps == ("type",)
        return
    with pytest.raises(InputError) as error:
        load_profile(tmp_path / "typed.csv")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("array", ["type_of", "type_rps", "type_pace"])
def test_damaged_files_of_types_are_refused(array, profile, tmp_path):
    from metis.files import load_arrays, save_arrays

    profile.save(tmp_path / "typed.npz")
    stored = dict(load_arrays(tmp_path / "typed.npz"))
    save_arrays(tmp_path / "bad.npz", {name: v for name, v in stored.items() if name != array})
    with pytest.raises(InputError, match=rf"bad\.npz: .*{array}"):
        load_profile(tmp_path / "bad.npz")
    save_arrays(tmp_path / "bad.npz", stored | {array: stored[array][:1]})
    with pytest.raises(InputError, match=r"bad\.npz: .* do not belong|bad\.npz: 1 rows"):
        load_profile(tmp_path / "bad.npz")
