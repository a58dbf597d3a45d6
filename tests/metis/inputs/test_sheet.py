"""The one reader of tables: what spreadsheets write is read, what may be meant in two ways is refused."""

import numpy as np
import pandas as pd
import pytest

from metis.errors import InputError
from metis.inputs.sheet import is_sheet, read_sheet, sheet_of

PLAIN = b"web,db\n1,2\n3,4\n"


def read(tmp_path, content, **options):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    return read_sheet(path, **options)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace(b"\n", b"\r\n"),
        PLAIN.replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + PLAIN,
        PLAIN.decode().encode("utf-16"),
        PLAIN.replace(b",", b";"),
        b"sep=;\r\n" + PLAIN.replace(b",", b";"),
        PLAIN.replace(b",", b"\t"),
        b"web, db \n 1 ,2\n3, 4\n",
        b'"web","db"\n"1","2"\n3,4\n',
        b"# from the laboratory; May\nweb,db\n# morning\n1,2\n3,4\n",
        PLAIN + b",\n,\n\n\n",
        b"web,db,,\n1,2,,\n3,4,,\n,,,\n",
        b"web,db\n1,2.0\n3,4\n",
    ],
)
def test_what_spreadsheets_write_is_read(tmp_path, content):
    sheet = read(tmp_path, content, ordered=True)
    assert sheet.header == ("web", "db")
    assert sheet.counts(["db", "web"]).tolist() == [[2, 1], [4, 3]]


def test_capitals_in_the_ending(tmp_path):
    assert [is_sheet(tmp_path / name) for name in ("a.CSV", "a.Tsv", "a.npz", "a")] == [
        True,
        True,
        False,
        False,
    ]


def test_decimal_commas_where_something_else_separates_values(tmp_path):
    for delimiter in (";", "\t"):
        content = "web;rps_web\n1;0,95\n2;1,5e1\n3;7\n4;\n".replace(";", delimiter)
        numbers = read(tmp_path, content.encode()).numbers(["rps_web"])[:, 0]
        np.testing.assert_array_equal(numbers, [0.95, 15.0, 7.0, np.nan])
    assert read(tmp_path, b"a;b\n1;0.95\n").numbers(["b"]).tolist() == [[0.95]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty; the first line must name the columns"),
        (b"\n\n", "is empty"),
        (b"web,web\n1,2\n", "the column 'web' stands twice"),
        (b",web,db\n0,1,2\n", r"column 1 has no name; .*index=False"),
        (b"web,db\n1,2\n0,3,4\n", r"line 3: has 3 values, the header 2 names"),
        (b"web,db\n0,1,2\n1,3,4\n", r"line 2: has 3 values, the header 2 names"),  # pandas shifts these
        (b"web,db\n1,2\n3\n", r"line 3: has 1 values, the header 2 names"),
        (b"web,db,\n1,2,\n3,4,5\n", "column 3 has no name"),
        (b"web,db\n1,2\n,\n3,4\n", "line 3: is empty between others"),
        (b"web,db\n1,2\n\n3,4\n", "line 3: is empty between others"),
        (b'web,db\n1,"2\n3,4\n', r"line \d: unexpected end"),
        (b"web,db\n1,\xe4\n", "line 2: is not UTF-8; save the file as UTF-8"),
        (b"\xff\xfea", "is not UTF-8"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(tmp_path, content, says):
    with pytest.raises(InputError, match=says) as refused:
        read(tmp_path, content, ordered=True)
    assert str(tmp_path / "t.csv") in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"web,db\n1,2\n3,x\n", "line 3, column db: 'x' is not a number"),
        (b"web,db\n1,95%\n", "line 2, column db: '95%' is not a number"),
        (b'web,db\n1,"0,95"\n', "line 2, column db: '0,95' is not a number"),
        (b'web,db\n1,"1,234.5"\n', "line 2, column db: '1,234.5' is not a number"),
        (b"web;db\n1;1.234,5\n", "line 2, column db: '1.234,5' is not a number"),
        (b"web;db\n1;1,5\n2;1.5\n", "line 3, column db: '1.5' is not a number; it has a point where others"),
        (b"web,db\n1,2\x00\n", "line 2.*is not a number|NUL"),
        (b"web,db\n1,#DIV/0!\n", "column db: '#DIV/0!' is not a number"),
        (b"web,db\n1,1_000\n", "column db: '1_000' is not a number"),
        (b"web,db\n1,inf\n", "column db: 'inf' is not a number"),
        (b"web,db\nsum,3\n", "line 2, column web: 'sum' is not a number"),
        ("web,db\n1,\u0663\n".encode(), "column db: '.u0663' is not a number"),
    ],
)
def test_what_is_no_number_is_refused_with_line_and_column(tmp_path, content, says):
    with pytest.raises(InputError, match=says):
        read(tmp_path, content).numbers(["web", "db"])


@pytest.mark.parametrize("cell", ["-1", "0.5", "1e18", "1e300"])
def test_what_is_no_count_is_refused_with_line_and_column(tmp_path, cell):
    with pytest.raises(InputError, match=r"line 2, column web: .* is not a count; give whole numbers, 0 to"):
        read(tmp_path, f"web\n{cell}\n".encode()).counts(["web"])


def test_names_are_matched_never_guessed(tmp_path):
    sheet = read(tmp_path, b"Web,db\n1,2\n")
    with pytest.raises(InputError, match="column 'Web' is no application; did you mean 'web'"):
        sheet.expect(["web", "db"], (), "application")
    with pytest.raises(InputError, match="column 'Web' is no application; use "):
        sheet.expect(["cache", "db"], (), "application")
    sheet.expect(["Web"], ["db"])
    with pytest.raises(InputError, match="lacks the application 'cache'"):
        sheet.expect(["Web", "db", "cache"], (), "application")


@pytest.mark.parametrize(
    ("numbers", "order"), [((0, 1, 2), [0, 1, 2]), ((2, 0, 1), [1, 2, 0]), ((3, 2, 1), [2, 1, 0])]
)
def test_an_index_is_honoured(tmp_path, numbers, order):
    content = "i\n" + "".join(f"{number}\n" for number in numbers)
    assert read(tmp_path, content.encode()).order("i").tolist() == order


@pytest.mark.parametrize("numbers", [(0, 0, 1), (0, 2), (5, 6), (1, 3)])
def test_an_index_with_gaps_is_refused(tmp_path, numbers):
    content = "i\n" + "".join(f"{number}\n" for number in numbers)
    with pytest.raises(InputError, match=r"column i: .*number the rows from 0 or 1"):
        read(tmp_path, content.encode()).order("i")


def test_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("metis.inputs.sheet.MAX_CELLS", 5)
    with pytest.raises(InputError, match="more than 5 values"):
        read(tmp_path, PLAIN)
    monkeypatch.setattr("metis.inputs.sheet.MAX_COLUMNS", 1)
    with pytest.raises(InputError, match="has 2 columns: at most 1"):
        read(tmp_path, b"web,db\n")


def test_a_data_frame_is_a_sheet():
    frame = pd.DataFrame({"run": [7, 8], "web": [1, 2], "rps_web": [0.1 + 0.2, np.nan]}).set_index("run")
    sheet = sheet_of(frame)
    assert sheet.header == ("run", "web", "rps_web")
    np.testing.assert_array_equal(sheet.numbers(["rps_web"])[:, 0], [0.1 + 0.2, np.nan])
    assert sheet.place(1, "web") == "data frame, row 1, column web"
    with pytest.raises(InputError, match="stands twice"):
        sheet_of(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(InputError, match="no plain names"):
        sheet_of(pd.DataFrame([[1, 2]]))
