"""Measurements of one's own: wide and long tables, data frames, and files of load generators."""

import numpy as np
import pandas as pd
import pytest

from metis.errors import InputError
from metis.measure.measurement_sheet import OTHERS
from metis.measure.profile import MEASURES, Profile, describe_profile
from metis.measure.profile_files import load_profile, refuse_raw

NAN = np.nan
WIDE = """web,db,rps_web,rps_db,p99_web
1,0,800,,0.12
0,1,,50,
1,1,600,40,0.3
1,1,640,44,0.5
2,0,400,,
"""
LONG = """run,app,count,rps,p99
alone-1,web,1,800,0.12
alone-2,db,1,50,
3,web,1,600,0.3
3,db,1,40,
4,db,1,44,
4,web,1,640,0.5
5,web,2,400,
"""


def imported(tmp_path, text, name="data.csv", **options):
    (tmp_path / name).write_text(text)
    return load_profile(tmp_path / name, **options)


@pytest.mark.parametrize("text", [WIDE, LONG, WIDE.replace(",", ";"), WIDE.replace("\n", "\r\n")])
def test_rps_are_divided_by_stand_alone_and_repeats_merged(tmp_path, text):
    profile = imported(tmp_path, text)
    assert (profile.apps, profile.slots) == (("web", "db"), 2)
    assert profile.colocations.tolist() == [[0, 1], [1, 0], [1, 1], [2, 0]]
    # by hand: the median of 600 and 640 is 620, of 40 and 44 it is 42
    np.testing.assert_allclose(profile.rps, [[NAN, 1], [1, NAN], [620 / 800, 42 / 50], [0.5, NAN]])
    np.testing.assert_allclose(profile.p99[:, 0], [NAN, 0.12, 0.4, NAN])
    np.testing.assert_allclose(profile.spread[2], [40 / 620, 4 / 42])
    told = describe_profile(profile)
    assert (told["colocations"], told["space"], told["coverage"]) == (4, 5, 0.8)
    assert (told["rows"], told["rps_alone"]) == (len(text.splitlines()) - 1, "web 800, db 50")


def test_a_complete_profile_covers_all(tmp_path):
    assert describe_profile(imported(tmp_path, WIDE + "0,2,,20,\n"))["coverage"] == 1


def test_names_and_slots_as_asked_for(tmp_path):
    profile = imported(tmp_path, WIDE, apps=("db", "web"), slots=4)
    assert (profile.apps, profile.slots, profile.space.size) == (("db", "web"), 4, 15)
    assert profile.colocations.tolist() == [[0, 1], [0, 2], [1, 0], [1, 1]]
    with pytest.raises(InputError, match=r"measured web, db, but apps.names asks for web, x"):
        imported(tmp_path, WIDE, apps=("web", "x"))
    with pytest.raises(InputError, match=r"line 4: 1 web . 1 db: more containers than cluster.slots 1"):
        imported(tmp_path, WIDE, slots=1)


def test_a_data_frame_and_a_file_are_one(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(WIDE)
    of_file, of_frame = load_profile(path), Profile.from_frame(pd.read_csv(path))
    for name in ("colocations", "spread", *MEASURES):
        np.testing.assert_array_equal(getattr(of_frame, name), getattr(of_file, name))
    indexed = pd.read_csv(pd.io.common.StringIO(LONG)).set_index(["run", "app"])
    np.testing.assert_array_equal(Profile.from_frame(indexed).rps, of_file.rps)
    of_frame.save(str(tmp_path / "x.npz"))
    np.testing.assert_array_equal(load_profile(tmp_path / "x.npz").rps, of_file.rps)
    with pytest.raises(InputError, match="data frame, row 0, column rps_web: is blank"):
        Profile.from_frame(pd.DataFrame({"web": [1], "rps_web": [NAN]}))


def test_shares_stay_shares(tmp_path):
    profile = imported(tmp_path, "web,rps_web\n1,1.0\n2,0.7\n")
    assert profile.rps[:, 0].tolist() == [1.0, 0.7]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (WIDE.replace("0,1,,50,\n", ""), "no row measures db alone: RPS are divided by"),
        (WIDE.replace("0,1,,50,", "0,1,,0,"), "line 3: db alone has an RPS of 0"),
        (WIDE + "0,1,,180,\n0,1,,55,\n", "line 7: db alone reaches 180 RPS, in the median .* 55"),
        (WIDE.replace("600", ""), "line 4, column rps_web: is blank, although containers are counted"),
        (WIDE.replace("800,,", "800,3,"), "line 2, column rps_db: holds a value, although no container"),
        (WIDE.replace("600", "-600"), "line 4, column rps_web: is negative"),
        (WIDE.replace("0.12", "0"), "line 2, column p99_web: is 0; give seconds"),
        (WIDE.replace("\n2,0,", "\n1.5,0,"), "line 6, column web: 1.5 is not a count"),
        (WIDE.replace("\n2,0,", "\n1e18,0,"), r"line 6, column web: 1e\+18 is not a count"),
        (
            WIDE.replace("web,db,", "web,Db,", 1),
            "the column 'rps_db' has no column of counts 'db'",
        ),
        (WIDE.replace("p99_web", "p95_web"), "the column 'p95_web' is no count or measure"),
        (WIDE.replace("web", "<script>"), "application '<script>': give letters, digits"),
        (WIDE.replace("web", "=cmd"), "application '=cmd': give letters, digits"),
        ("web,db\n1,2\n", "neither columns such as `web` and `rps_web` nor run, app, count, rps"),
        ("web,rps_web\n", "has no rows"),
        ("web,rps_web\n0,\n", "has no rows"),
        (LONG + "5,web,1,3,\n", "line 9, column app: run 5 has web twice"),
        (LONG.replace("5,web", ",web"), "line 8, column run: is blank"),
        (LONG.replace(",p99", ",p95"), "the column 'p95' is no column here"),
        (LONG.replace("rps,p99", "results,p99"), "the column 'p99' is no column here"),
        ("run,app,count,results\n1,web,1,a.csv\n", "names files of results: `metis import-profile` reads"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name_line_and_column(tmp_path, text, says):
    with pytest.raises(InputError, match=says) as refused:
        imported(tmp_path, text)
    assert "data.csv" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_raw_rps_in_an_archive_are_refused_by_name(tmp_path):
    raw = imported(tmp_path, "web,rps_web\n1,1.0\n2,0.7\n")
    raw.rps[0] = 512.0
    with pytest.raises(
        InputError, match="web alone has an RPS of 512: as a share of stand-alone it is near 1"
    ):
        refuse_raw(tmp_path / "x.npz", raw)


def test_a_workbook_is_refused_with_the_cure(tmp_path):
    with pytest.raises(InputError, match="is a workbook; save the sheet of measurements as CSV"):
        imported(tmp_path, "PK", name="data.XLSX")


LOCUST = (
    '"Type","Name","Request Count","Failure Count","Median Response Time","Average Response Time",'
    '"Min Response Time","Max Response Time","Average Content Size","Requests/s","Failures/s","50%","99%"\n'
    "GET,/,1200,30,120,130,90,400,15,40.0,1.0,120,350\n"
    ",Aggregated,1200,30,120,130,90,400,15,40.0,1.0,120,350\n"
)
K6_EXPORT = (
    '{"metrics": {"http_reqs": {"count": 600, "rate": 20.0}, "http_req_failed": {"passes": 6, "fails": 594, '
    '"value": 0.01}, "http_req_duration": {"avg": 46, "med": 45, "p(95)": 80, "p(99)": 90}}}'
)
K6_SUMMARY = (
    '{"metrics": {"http_reqs": {"type": "counter", "values": {"count": 600, "rate": 20.0}}, '
    '"http_req_failed": {"values": {"rate": 0.01, "passes": 6, "fails": 594}}, '
    '"http_req_duration": {"values": {"med": 45, "p(99)": 90}}}}'
)
HEY_CSV = (
    "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n"
    + "".join(f"0.0500,0,0,0,0.05,0,{500 if i == 9 else 200},{i / 20}\n" for i in range(10))
)
HEY = """
Summary:
  Total:\t10.0000 secs
  Requests/sec:\t20.0000

Latency distribution:
  50% in 0.0450 secs
  99% in 0.0900 secs

Status code distribution:
  [200]\t190 responses
  [503]\t6 responses

Error distribution:
  [4]\tGet "http://10.0.0.1:8080": dial tcp: connection refused
"""


@pytest.mark.parametrize(
    ("name", "text", "rps", "others"),
    [
        ("w_stats.csv", LOCUST, 39.0, (0.120, 0.350, 1200, 30)),
        ("w.json", K6_EXPORT, 19.8, (0.045, 0.090, 600, 6)),
        ("w.json", K6_SUMMARY, 19.8, (0.045, 0.090, 600, 6)),
        ("w.csv", HEY_CSV, 9 / 0.5, (0.05, 0.05, 10, 1)),
        ("w.txt", HEY, 20 * 190 / 200, (0.045, 0.090, 200, 10)),
        ("w.out", HEY.replace("% in", "%% in"), 20 * 190 / 200, (0.045, 0.090, 200, 10)),
    ],
)
def test_result_files_of_locust_k6_and_hey(tmp_path, name, text, rps, others):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / name).write_text(text)
    listed = f"run,app,count,results\n1,web,1,runs/{name}\n2,web,2,runs/{name}\n"
    profile = imported(tmp_path, listed, results=True)
    # the file of the second run is of two containers together
    assert profile.rps[:, 0].tolist() == pytest.approx([1, 0.5])
    assert profile.provenance["rps_alone"] == f"web {rps:g}"
    assert [getattr(profile, one)[0, 0] for one in OTHERS] == pytest.approx(others)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("w.csv", None, r"line 2, column results: .*w\.csv: cannot be read"),
        ("w.csv", "a,b\n1,2\n", "is no result of Locust"),
        ("w_stats.csv", LOCUST.replace("Aggregated", "Total"), "has 0 rows called 'Aggregated'"),
        ("w_stats.csv", LOCUST.replace('"99%"', '"98%"'), "lacks the column '99%'"),
        ("w_stats.csv", LOCUST.replace(",40.0,", ",,"), "holds no RPS"),
        ("w.json", "{}", "is no summary of k6"),
        ("w.json", '{"metrics": {"http_reqs": 3}}', "holds no RPS"),
        ("w.csv", HEY_CSV.replace(",200,", ",500,"), "no request succeeded"),
        ("w.csv", HEY_CSV.splitlines()[0] + "\n", "give two requests or more"),
        ("w.txt", HEY.replace("[200]", "[500]"), "no request succeeded"),
        ("w.out", "hello", "is no result of Locust, k6 or hey"),
    ],
)
def test_result_files_that_are_none_are_named_with_their_line(tmp_path, name, text, says):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=says) as refused:
        imported(tmp_path, f"run,app,count,results\n1,web,1,{name}\n", results=True)
    assert "column results" in str(refused.value)


@pytest.mark.parametrize(
    ("column", "right"),
    [("RPS_db", "rps_db"), ("db_rps", "rps_db"), ("rps db", "rps_db"), ("db.RPS", "rps_db")],
)
def test_a_measure_by_another_name_is_refused_with_the_right_one(tmp_path, column, right):
    """What was wrong was the count's column, by the message: it had no measure of that name."""
    with pytest.raises(InputError, match=f"the column '{column}' is to be called '{right}'"):
        imported(tmp_path, WIDE.replace("rps_db", column))


@pytest.mark.parametrize(
    ("column", "typed"),
    [("rps_web", "rsp_web"), ("rps_db", "RP_db"), ("p99_web", "p9_web"), ("failures_web", "failure_web")],
)
def test_a_mistyped_measure_is_named_and_not_what_lacks_it(tmp_path, column, typed):
    """The column `web` was blamed, which was right."""
    text = "web,db,rps_web,rps_db,p99_web,failures_web\n1,0,9,,0.1,0\n0,1,,5,,\n1,1,8,4,0.2,0\n"
    with pytest.raises(InputError, match=rf"the column '{typed}': did you mean '{column}'\?"):
        imported(tmp_path, text.replace(column, typed))


def test_a_name_that_cannot_be_borne_is_named_before_other_columns(tmp_path):
    text = "my app,rps_my app,p99_web\n1,10,0.1\n"
    with pytest.raises(InputError, match="application 'my app': give letters"):
        imported(tmp_path, text)


def test_an_application_may_be_called_like_a_measure(tmp_path):
    text = WIDE.replace("rps_db", "rps_db-rps").replace("web,db", "web,db-rps", 1)
    assert imported(tmp_path, text).apps == ("web", "db-rps")


@pytest.mark.parametrize(
    "text", [LONG.replace("4,db", "4,DB"), WIDE.replace("web,db", "web,WEB").replace("s_db", "s_WEB")]
)
def test_names_that_differ_in_capitals_alone_are_refused(tmp_path, text):
    """`DB` was asked for a row of its own in which it is alone."""
    with pytest.raises(
        InputError, match=r"data\.csv: the applications '.*' and '.*' differ in capitals alone"
    ):
        imported(tmp_path, text)


@pytest.mark.parametrize("name", ["summary.json", "measurements", "report.html"])
def test_what_is_neither_table_nor_archive_is_refused_with_what_would_be(tmp_path, name):
    """It was `not a readable .npz file (File is not a zip file)`."""
    with pytest.raises(InputError, match=r"neither a table \(.csv, .tsv, .txt\) nor an .npz; .* `results`"):
        imported(tmp_path, K6_EXPORT, name=name)
