import numpy as np
import pytest

from metis.errors import InputError
from metis.files import load_arrays, save_arrays
from metis.measure.profile import MEASURES, describe_profile, make_profile
from metis.measure.profile_files import load_profile

APPS = ("web", "db")
NAN = np.nan


def small(provenance=None):
    rows = np.array([[1, 0], [0, 1], [1, 1], [2, 0]])
    rps = np.array([[1.0, NAN], [NAN, 1.0], [1.5, 0.9], [0.7, NAN]])
    return make_profile(APPS, 2, rows, {"rps": rps, "p99": 0.1 / rps}, provenance or {"source": "by hand"})


def test_round_trip(tmp_path):
    saved = small({"source": "é", "seed": 3})
    saved.save(tmp_path / "p.npz")
    read = load_profile(tmp_path / "p.npz")
    assert (read.apps, read.slots, read.provenance) == (APPS, 2, {"source": "é", "seed": 3})
    assert (read.colocations == saved.colocations).all()
    for name in MEASURES:
        np.testing.assert_array_equal(getattr(read, name), getattr(saved, name))
    assert read.space.size == 6
    assert all(array.dtype != object for array in load_arrays(tmp_path / "p.npz").values())


def test_repeated_co_locations_are_merged_by_their_median():
    rows = np.array([[1, 1], [2, 0], [1, 1], [1, 1]])
    rps = np.array([[1.0, 5.0], [0.7, 9.0], [3.0, NAN], [2.0, 7.0]])
    merged = make_profile(APPS, 2, rows, {"rps": rps}, {})
    assert merged.colocations.tolist() == [[1, 1], [2, 0]]
    assert merged.rps[0].tolist() == [2.0, 6.0]  # of what is known
    assert merged.rps[1, 0] == 0.7
    assert np.isnan(merged.rps[1, 1])  # an absent application has no RPS
    assert np.isnan(merged.p99).all()


def test_spread_of_repeated_runs_is_kept(tmp_path):
    rows = np.array([[1, 1], [2, 0], [1, 1], [1, 1]])
    rps = np.array([[1.0, 5.0], [0.7, NAN], [3.0, 5.0], [2.0, 10.0]])
    merged = make_profile(APPS, 2, rows, {"rps": rps}, {})
    np.testing.assert_array_equal(merged.spread, [[1.0, 1.0], [NAN, NAN]])
    merged.save(tmp_path / "p.npz")
    np.testing.assert_array_equal(load_profile(tmp_path / "p.npz").spread, merged.spread)
    np.testing.assert_array_equal(merged.rows([1]).spread, [[NAN, NAN]])
    assert load_profile(tmp_path / "p.npz", slots=1 + 2).spread is not None
    told = describe_profile(merged)
    assert (told["spread"], told["spread_most_in"]) == (1.0, "1 web + 1 db")
    assert small().spread is None
    assert "spread" not in describe_profile(small())
    stored = dict(load_arrays(tmp_path / "p.npz"))
    save_arrays(tmp_path / "bad.npz", stored | {"spread": np.zeros((1, 2))})
    with pytest.raises(InputError, match=r"spread has shape \(1, 2\)"):
        load_profile(tmp_path / "bad.npz")


def test_speed_is_relative_to_the_stand_alone_run():
    speed = small().speed
    by_row = {tuple(r): s for r, s in zip(small().colocations.tolist(), speed, strict=True)}
    assert by_row[1, 1] == pytest.approx([1.5, 0.9])
    assert by_row[2, 0][0] == pytest.approx(0.7)
    assert np.isnan(by_row[2, 0][1])


def test_quantities_by_name_and_what_is_reached_alone():
    profile = small()
    for name in ("rps", "speed", "p50", "p99"):
        np.testing.assert_array_equal(profile.quantity(name), getattr(profile, name))
    assert profile.alone("p99") == pytest.approx([0.1, 0.1])
    assert profile.alone("rps").tolist() == profile.alone("speed").tolist() == [1.0, 1.0]
    assert np.isnan(profile.alone("p50")).all()
    assert np.isnan(profile.rows(profile.colocations.sum(axis=1) > 1).alone("p99")).all()
    with pytest.raises(InputError, match="'p75': a profile has rps, speed, p50, p99"):
        profile.quantity("p75")


def test_smaller_nodes_leave_out_what_no_longer_fits(tmp_path):
    small().save(tmp_path / "p.npz")
    fewer = load_profile(tmp_path / "p.npz", slots=1)
    assert fewer.slots == 1
    assert sorted(fewer.colocations.tolist()) == [[0, 1], [1, 0]]
    assert load_profile(tmp_path / "p.npz", slots=5).space.size == 21


def test_names_must_agree(tmp_path):
    small().save(tmp_path / "p.npz")
    assert load_profile(tmp_path / "p.npz", apps=APPS).apps == APPS
    with pytest.raises(InputError, match=r"measured web, db, but apps.names asks for x, y"):
        load_profile(tmp_path / "p.npz", apps=("x", "y"))


def test_description():
    described = describe_profile(small())
    assert described["colocations"] == 4
    assert (described["space"], described["coverage"]) == (5, 4 / 5)
    assert described["source"] == "by hand"
    assert described["apps"] == ["web", "db"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"rps": None}, "'rps' is missing|neither"),
        ({"p50": None}, "'p50' is missing"),
        ({"apps": None}, "'apps' is missing"),
        ({"provenance": None}, "'provenance' is missing"),
        ({"provenance": "{no json"}, "holds what it should not"),
        ({"slots": "many"}, "holds what it should not"),
        ({"slots": [1, 2]}, "holds what it should not"),
        ({"slots": 0}, "slots"),
        ({"slots": 1}, r"row \d \[1, 1\] holds more containers than 1 slots|row \d \[2, 0\] holds more"),
        ({"apps": ["a", "a"]}, "each name once"),
        ({"apps": ["a"]}, r"must be \[rows, 1\]"),
        ({"rps": [[1.0, 1.0]]}, r"rps \(1, 2\)"),
        ({"p99": [[1.0, 1.0]]}, r"p99 has shape \(1, 2\)"),
        ({"rps": [["x", "y"]] * 4}, "holds what it should not"),
        ({"colocations": [[1, 0], [0, 1], [1, 0.5], [2, 0]]}, r"row 2 \[1, 0.5\] .*not whole"),
        ({"colocations": [[1, 0], [0, -1], [1, 1], [2, 0]]}, r"row 1 \[0, -1\] .*negative"),
        ({"colocations": [[1, 0], [0, 1], [1, 0], [2, 0]]}, r"row 2 \[1, 0\] repeats"),
        (
            {"colocations": [[0, 1], [0, 1], [1, 1], [2, 0]]},
            r"row 0 \[0, 1\] holds containers without an RPS",
        ),
        ({"colocations": np.zeros((0, 2)), "rps": np.zeros((0, 2))}, "no rows"),
        ({"format": "other"}, "neither a metis profile nor a published one"),
    ],
)
def test_refuses_profiles_that_make_no_sense(tmp_path, changed, told):
    path = tmp_path / "p.npz"
    small().save(path)
    arrays = load_arrays(path)
    arrays["colocations"] = np.array([[1, 0], [0, 1], [1, 1], [2, 0]])
    for name in MEASURES:
        arrays[name] = np.where(arrays["colocations"] > 0, 1.0, NAN)
    for name, value in changed.items():
        if value is None:
            del arrays[name]
        else:
            arrays[name] = np.array(value)
    save_arrays(path, arrays)
    with pytest.raises(InputError, match=told) as refused:
        load_profile(path)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 2


def test_a_negative_rps_is_refused(tmp_path):
    path = tmp_path / "p.npz"
    small().save(path)
    arrays = load_arrays(path)
    arrays["rps"][0] = np.where(arrays["colocations"][0] > 0, -1.0, NAN)
    save_arrays(path, arrays)
    with pytest.raises(InputError, match=r"row 0 .* negative RPS"):
        load_profile(path)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04"])
def test_corrupt_files_are_refused_by_name(tmp_path, content):
    (tmp_path / "p.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"p\.npz: not a readable"):
        load_profile(tmp_path / "p.npz")


def test_a_truncated_profile_is_refused(tmp_path):
    small().save(tmp_path / "p.npz")
    whole = (tmp_path / "p.npz").read_bytes()
    for length in (10, len(whole) // 2, len(whole) - 10):
        (tmp_path / "p.npz").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"p\.npz"):
            load_profile(tmp_path / "p.npz")


def test_what_is_no_file_is_refused(tmp_path):
    for path, says in ((tmp_path, "is a folder; give a file"), (tmp_path / "none.npz", "no such profile")):
        with pytest.raises(InputError, match=says):
            load_profile(path)


def test_noise_is_what_repeated_runs_differ_by():
    counts = np.array([[1, 0], [1, 1], [1, 1], [2, 0], [2, 0]])
    rps = np.array([[1.0, np.nan], [0.90, 1.10], [1.10, 0.90], [0.5, np.nan], [0.5, np.nan]])
    profile = make_profile(("a", "b"), 2, counts, {"rps": rps}, {})
    # spreads 0.2 / 1, 0.2 / 1 and 0: mean square 0.08 / 3, half of it the variance
    assert profile.noise == pytest.approx(np.sqrt(0.08 / 3 / 2))
    assert profile.rows([0]).noise == 0
