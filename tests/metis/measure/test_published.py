"""The reader of the published files, and what REFERENCE.md says of them."""

import builtins
import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from metis.errors import InputError
from metis.measure.profile_files import load_profile
from metis.measure.published import APPS, read_published

NAN = np.nan


def write(path, objects=True, **changes):
    """A file as published: object arrays of 9 columns. Row 2 repeats row 1, row 3 is a failed run."""
    alloc = np.zeros((5, 9))
    alloc[1:, :2] = [[1, 2], [1, 2], [3, 0], [0, 1]]
    rps = np.where(alloc > 0, 1.0, NAN)
    rps[1, :2], rps[2, :2], rps[3, 0] = [1.2, 0.8], [1.4, 0.6], 0.0
    arrays = {"alloc": alloc, "rps": rps, "rt_50": 0.1 * rps, "rt_99": np.where(alloc > 0, 0.0, NAN)}
    arrays |= {name: np.asarray(value) for name, value in changes.items() if value is not None}
    for name in [name for name, value in changes.items() if value is None]:
        del arrays[name]
    kind = object if objects else None
    np.savez(path, **{n: a if a.dtype == object else a.astype(kind or a.dtype) for n, a in arrays.items()})
    return path


@pytest.mark.parametrize("objects", [True, False])
def test_reads_merges_and_drops(tmp_path, objects):
    profile = read_published(write(tmp_path / "p.npz", objects), apps=APPS[:2])
    assert profile.colocations.tolist() == [[0, 0], [0, 1], [1, 2]]
    assert profile.apps == APPS[:2]
    assert profile.rps[2] == pytest.approx([1.3, 0.7])
    assert profile.slots == 3  # of the largest row, the failed one among them
    assert np.isnan(profile.p99).all()  # 0 was written where latency was not measured
    assert profile.provenance == {
        "source": "p.npz",
        "rows": 5,
        "failed_rows_dropped": 1,
        "unused_columns_dropped": 7,
    }


def test_names_and_slots_as_told(tmp_path):
    path = write(tmp_path / "p.npz")
    profile = read_published(path, apps=("a", "b", "c"), slots=8)
    assert (profile.apps, profile.slots) == (("a", "b", "c"), 8)
    assert load_profile(path, apps=("a", "b", "c"), slots=8).apps == ("a", "b", "c")
    with pytest.raises(InputError, match=r"uses 2 of 9 columns, but apps\.names has 1"):
        read_published(path, apps=("a",))
    with pytest.raises(InputError, match=r"row 1 \[1, 2\] holds more containers than 2 slots"):
        read_published(path, apps=APPS[:2], slots=2)


BROKEN = np.zeros((5, 9))
BROKEN[1:, :2] = [[1, 2], [1, 2], [3, 0], [0, 1]]


def with_cell(row, column, value):
    alloc = BROKEN.copy()
    alloc[row, column] = value
    return alloc


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"alloc": None}, "'alloc' is missing"),
        ({"rps": None}, "'rps' is missing"),
        ({"rt_50": None}, "'rt_50' is missing"),
        ({"rt_99": None}, "'rt_99' is missing"),
        ({"rps": np.ones((4, 9))}, r"rps has shape \(4, 9\), alloc \(5, 9\)"),
        ({"rt_99": np.ones((5, 8))}, r"rt_99 has shape \(5, 8\)"),
        ({"alloc": np.ones(9)}, r"has shape"),
        ({"alloc": with_cell(2, 0, -1)}, r"row 2 \[-1, 2\] has a count that is negative or not whole"),
        ({"alloc": with_cell(4, 1, 0.5)}, r"row 4 \[0, 0.5\] has a count that is negative or not whole"),
        ({"alloc": with_cell(1, 0, NAN)}, r"row 1 \[nan, 2\] has a count"),
        ({"alloc": with_cell(4, 0, 2)}, r"row 4 \[2, 1\] holds containers without an RPS"),
        ({"rps": np.where(BROKEN > 0, -1.0, NAN)}, "row 1 .* negative RPS"),
        ({"rps": np.where(BROKEN > 0, 0.0, NAN), "alloc": with_cell(0, 0, 0)}, "failed run|co-location"),
        ({"alloc": np.array([["x"] * 9] * 5, dtype=object)}, "alloc.npy is refused"),
        ({"alloc": np.array([[{}] * 9] * 5, dtype=object)}, "alloc.npy is refused"),
    ],
)
def test_refuses_by_file_row_and_reason(tmp_path, changes, told):
    path = write(tmp_path / "p.npz", **changes)
    if "failed" in told:
        # without the empty co-location nothing is left
        path = write(tmp_path / "p.npz", **{n: np.asarray(a)[1:] for n, a in complete(changes).items()})
    with pytest.raises(InputError, match=told) as refused:
        load_profile(path, apps=APPS[:2])
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def complete(changes):
    base = {"alloc": BROKEN, "rt_50": np.where(BROKEN > 0, 1.0, NAN), "rt_99": np.where(BROKEN > 0, 1.0, NAN)}
    return base | changes


class Evil:
    """Unpickled freely, calls a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def holder(thing, shape=(5, 9)):
    array = np.empty(shape, dtype=object)
    array.fill(0.0)
    array[(0,) * len(shape)] = thing
    return array


def evils(marker):
    touch = f"open({str(marker)!r}, 'w').close()"
    yield "system", Evil(os.system, f"touch '{marker}'")
    yield "eval", Evil(eval, touch)
    yield "exec", Evil(exec, touch)
    yield "open", Evil(open, str(marker), "w")
    yield "getattr", Evil(getattr, Evil(__import__, "os"), "system")
    yield "nested", [{"deep": (Evil(eval, touch),)}]
    yield "in an array", holder(Evil(os.system, f"touch '{marker}'"), (2,))
    yield "loads", Evil(pickle.loads, pickle.dumps(Evil(eval, touch)))
    yield "numpy", Evil(np.load, str(marker))


def archive_of(path, raw, name="alloc.npy"):
    write(path)
    with zipfile.ZipFile(path) as old:
        kept = {n: old.read(n) for n in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for member, content in {**kept, name: raw}.items():
            new.writestr(member, content)


@pytest.mark.parametrize("kind", [name for name, _ in evils("x")])
@pytest.mark.parametrize("member", ["alloc", "rt_99"])
def test_a_pickle_that_calls_anything_is_refused_and_nothing_runs(tmp_path, kind, member):
    marker = tmp_path / "marker"
    evil = dict(evils(marker))[kind]
    path = write(tmp_path / "p.npz", **{member: holder(evil)})
    with pytest.raises(InputError, match=rf"p\.npz: {member}\.npy is refused: it names"):
        load_profile(path)
    assert not marker.exists()


@pytest.mark.parametrize("header", [True, False])
def test_a_bare_pickle_as_member_is_refused(tmp_path, header):
    marker = tmp_path / "marker"
    raw = io.BytesIO()
    if header:
        np.lib.format.write_array_header_1_0(raw, {"descr": "|O", "fortran_order": False, "shape": (5, 9)})
    pickle.dump(Evil(os.system, f"touch '{marker}'"), raw)
    archive_of(tmp_path / "p.npz", raw.getvalue())
    with pytest.raises(InputError, match=r"alloc\.npy is refused"):
        load_profile(tmp_path / "p.npz")
    assert not marker.exists()


def test_the_evil_pickles_would_have_run():
    """Guards the tests above: freely unpickled, the same bytes do call."""
    called = []
    builtins.metis_test_hook = called.append
    try:
        pickle.loads(pickle.dumps(Evil(eval, "metis_test_hook(1)")))
    finally:
        del builtins.metis_test_hook
    assert called == [1]


def test_an_array_bigger_than_its_header_promises_is_refused(tmp_path):
    raw = io.BytesIO()
    np.lib.format.write_array_header_1_0(raw, {"descr": "|O", "fortran_order": False, "shape": (5, 9)})
    pickle.dump(np.zeros((3, 9), dtype=object), raw)
    archive_of(tmp_path / "p.npz", raw.getvalue())
    with pytest.raises(InputError, match="header promises"):
        load_profile(tmp_path / "p.npz")


def test_a_truncated_file_is_refused(tmp_path):
    whole = write(tmp_path / "p.npz").read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 10):
        (tmp_path / "p.npz").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"p\.npz: not a readable \.npz"):
            load_profile(tmp_path / "p.npz")


def test_a_flipped_byte_is_refused(tmp_path):
    path = write(tmp_path / "p.npz")
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        raw[archive.getinfo("rps.npy").header_offset + 400] ^= 0xFF
    path.write_bytes(bytes(raw))
    with pytest.raises(InputError, match=r"p\.npz"):
        load_profile(path)


@pytest.mark.published
@pytest.mark.parametrize(
    ("name", "rows", "distinct", "failed"),
    [
        ("0905-6435results-normed.npz", 6435, 6435, 0),
        ("0905-2008results-median-normed.npz", None, 1324, 12),
        ("1212-322results-normed.npz", 322, None, None),
        ("1212-5792results-normed.npz", None, 3791, None),
    ],
)
def test_the_published_files_are_what_the_reference_says(published, name, rows, distinct, failed):
    profile = read_published(published / name)
    told = profile.provenance
    assert profile.apps == APPS
    assert profile.slots == 8
    assert rows is None or told["rows"] == rows
    assert failed is None or told["failed_rows_dropped"] == failed
    # REFERENCE.md counts co-locations before failed runs are dropped
    assert distinct is None or distinct - told["failed_rows_dropped"] <= len(profile) <= distinct
    assert np.isfinite(profile.rps[profile.present]).all()
    assert (profile.rps[profile.present] > 0).all()


@pytest.mark.published
def test_the_full_file_covers_the_space_and_has_no_latency_of_the_two_ycsb(measured):
    assert len(measured) == measured.space.size == 6435
    alone = measured.rps[measured.colocations.sum(axis=1) == 1]
    assert np.nanmax(np.abs(alone - 1)) < 1e-6  # normalised by what an application reaches alone
    unmeasured = [app for a, app in enumerate(APPS) if np.isnan(measured.p99[:, a]).all()]
    assert unmeasured == ["YCSB-A", "YCSB-B"]


def nine(path, **more):
    """A file of the published form that uses nine columns, as the authors' other ones do."""
    alloc = np.vstack([np.eye(9), 2 * np.eye(9)])
    rps = np.where(alloc == 1, 1.0, np.where(alloc == 2, 0.8, NAN))
    np.savez(path, alloc=alloc.astype(object), rps=rps, rt_50=rps, rt_99=rps, **more)
    return path


def test_nine_applications_do_not_come_in_under_the_published_seven_names(tmp_path):
    path = nine(tmp_path / "nine.npz")
    with pytest.raises(InputError, match=r"uses 9 columns that it does not name, .* give apps\.names="):
        load_profile(path)
    assert load_profile(path, apps=tuple("abcdefghi")).apps == tuple("abcdefghi")


def test_names_in_a_file_are_used_and_what_is_not_needed_is_not_read(tmp_path):
    path = nine(tmp_path / "nine.npz", apps=np.array(list("ihgfedcba")), labels=np.array([{}], dtype=object))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("README.txt", "measured in May")
        archive.writestr("plots/", "")
    profile = load_profile(path)
    assert profile.apps == tuple("ihgfedcba")
    assert profile.rps[profile.colocations[:, 0] == 2, 0].tolist() == [0.8]
