import numpy as np
import pytest

from metis.errors import InputError
from metis.problem.groups import draw_groups, draw_skewed_groups, load_groups, parse_rows

APPS = ("web", "db")


@pytest.mark.parametrize("draw", [draw_groups, draw_skewed_groups])
def test_groups_drawn_are_seeded_and_of_the_size_asked_for(draw):
    first = draw(20, 50, 3, np.random.default_rng(1))
    assert first.shape == (20, 3)
    assert first.dtype == np.int64
    assert (first.sum(axis=1) == 50).all()
    assert (first == draw(20, 50, 3, np.random.default_rng(1))).all()
    assert (first != draw(20, 50, 3, np.random.default_rng(2))).any()


def test_groups_are_uniform_over_applications_unless_skewed():
    groups = draw_groups(400, 70, 7, np.random.default_rng(0))
    # of a multinomial the variance of a count is 70 * (1/7) * (6/7) = 8.57
    assert np.abs(groups.mean(axis=0) - 10).max() < 0.6
    assert 7.5 < groups.var(axis=0).mean() < 9.7
    assert draw_skewed_groups(400, 70, 7, np.random.default_rng(0)).var(axis=0).mean() > 40


@pytest.mark.parametrize("draw", [draw_groups, draw_skewed_groups])
@pytest.mark.parametrize(("count", "size"), [(0, 5), (5, 0), (-1, 5)])
def test_refuses_to_draw_nothing(draw, count, size):
    with pytest.raises(InputError, match="at least 1"):
        draw(count, size, 2, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["groups", "batch_set"])
def test_reads_npz(tmp_path, name):
    np.savez(tmp_path / "g.npz", **{name: np.array([[1, 2], [3, 4], [5, 6]])})
    assert load_groups(tmp_path / "g.npz", None, APPS).tolist() == [[1, 2], [3, 4], [5, 6]]
    assert load_groups(tmp_path / "g.npz", "1", APPS).tolist() == [[3, 4]]
    assert load_groups(tmp_path / "g.npz", "1:", APPS).tolist() == [[3, 4], [5, 6]]


def test_reads_csv_by_the_names_of_its_header(tmp_path):
    (tmp_path / "g.csv").write_text("db,web\n2,1\n4,3\n", encoding="utf-8")
    assert load_groups(tmp_path / "g.csv", "0:2", APPS).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("rows", "total", "expected"),
    [(None, 3, (0, 1, 2)), ("2", 3, (2,)), ("0:2", 3, (0, 1)), (" 1: ", 3, (1, 2))],
)
def test_rows(rows, total, expected):
    assert tuple(range(total))[parse_rows(rows, total)] == expected


@pytest.mark.parametrize("rows", ["3", "-1", "0:4", "2:1", "a", "0:1:2", "", "1.5", "1:1"])
def test_refuses_rows_that_are_not_there(rows):
    with pytest.raises(InputError, match=r"groups\.rows"):
        parse_rows(rows, 3)


@pytest.mark.parametrize(
    ("values", "rows", "told"),
    [
        ([[1, 2], [3, -4]], None, "g.npz: group 1: -4 is not a count"),
        ([[1, 2], [3, 4], [5, 0.5]], "1:", "g.npz: group 2: 0.5 is not a count"),
        ([[1, 2], [3, 4], [0, 0]], "1:", "g.npz: group 2 holds no container"),
        ([[1, 2, 3]], None, r"shape \(1, 3\), expected \[groups, 2\]"),
        ([1, 2], None, r"shape \(2,\)"),
        ([["x", "y"]], None, "g.npz: group 0: holds what is not a number"),
    ],
)
def test_refuses_groups_by_file_and_row(tmp_path, values, rows, told):
    np.savez(tmp_path / "g.npz", groups=np.array(values))
    with pytest.raises(InputError, match=told):
        load_groups(tmp_path / "g.npz", rows, APPS)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("g.npz", b"", "not a readable .npz file"),
        ("g.npz", b"PK\x03\x04rest", "not a readable .npz file"),
        ("g.csv", b"", "is empty; the first line must name the columns"),
        ("g.csv", b"web\n1\n", "lacks the application 'db'"),
        ("g.csv", b"web,db\n1,many\n", r"g\.csv, line 2, column db: 'many' is not a number"),
    ],
)
def test_refuses_files_that_are_none(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=told) as refused:
        load_groups(tmp_path / name, None, APPS)
    assert str(tmp_path / name) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_refuses_what_is_missing_or_unnamed(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz"):
        load_groups(tmp_path / "none.npz", None, APPS)
    np.savez(tmp_path / "g.npz", other=np.ones((1, 2)))
    with pytest.raises(InputError, match="no array named groups or batch_set"):
        load_groups(tmp_path / "g.npz", None, APPS)


@pytest.mark.published
@pytest.mark.parametrize("size", [200, 300, 400, 1000, 2000])
def test_published_groups(published, size):
    apps = tuple("abcdefg")
    groups = load_groups(published / f"batch_set_{size}.npz", None, apps)
    assert groups.shape == (50, 7)
    assert (groups.sum(axis=1) == size).all()


def test_numbered_groups_and_named_columns(tmp_path):
    (tmp_path / "g.csv").write_text("group,db,web\n2,6,5\n0,2,1\n1,4,3\n", encoding="utf-8")
    assert load_groups(tmp_path / "g.csv", None, APPS).tolist() == [[1, 2], [3, 4], [5, 6]]
    np.savez(
        tmp_path / "g.npz", groups=np.array([[2, 1]]), apps=np.array(["db", "web"]), notes=np.array([{}])
    )
    assert load_groups(tmp_path / "g.npz", None, APPS).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("web,db\n1,2,3\n", "line 2: has 3 values, the header 2 names"),
        ("web,db,cache\n1,2,3\n", "the column 'cache' is no application; use"),
        (",web,db\n0,1,2\n", "column 1 has no name"),
        ("group,web,db\n0,1,2\n0,3,4\n", "column group: 0: number the rows"),
        ("web,db\n1e18,1\n", r"line 2, column web: 1e\+18 is not a count"),
    ],
)
def test_tables_of_groups_that_could_shift_are_refused(tmp_path, content, told):
    (tmp_path / "g.csv").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=told):
        load_groups(tmp_path / "g.csv", None, APPS)
