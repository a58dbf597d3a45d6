"""`metis import-metrics`: of a file, and what it says."""

import json

import pytest

from flows.command.main import main
from flows.command.verbs.import_metrics import _ending


@pytest.fixture
def day(tmp_path):
    """A file of five hours of two applications side by side, a sample every five minutes."""
    rows, served = ["time,node,app,requests,seconds,work"], 0.0
    for i in range(61):
        rows += [f"{i * 300},alpha,{app},{served},{served / 5},{served / 10}" for app in ("web", "db")]
        served += 30 * (1 + i % 7)
    path = tmp_path / "day.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("words", "hours"), [([], 5.0), (["metrics.hours=3"], 3.0), (["metrics.hours=90"], 5.0)]
)
def test_of_a_file_all_is_learnt_or_its_last_hours(day, tmp_path, tracking, capsys, words, hours):
    out = f"out={tmp_path / 'day.npz'}"
    assert main(["import-metrics", str(day), out, *words, "output=json", tracking]) == 0
    assert json.loads(capsys.readouterr().out)["hours"] == hours


def test_a_folder_that_out_names_is_made(day, tmp_path, tracking):
    out = tmp_path / "new" / "er" / "day.npz"
    assert main(["import-metrics", str(day), f"out={out}", tracking]) == 0
    assert out.is_file()


def test_too_few_hours_are_refused(day, tmp_path, tracking, capsys):
    assert main(["import-metrics", str(day), f"out={tmp_path / 'd.npz'}", "metrics.hours=1", tracking]) == 2
    assert "half hours in which it served requests; give 4 or more" in capsys.readouterr().err


def test_an_address_without_a_host_is_refused(tracking, capsys):
    assert main(["import-metrics", "http://", tracking]) == 2
    assert "'http://': is no address of a Prometheus server" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("hurt", "named", "says"),
    [
        (0, 0, "no application is found to be hurt by its neighbours"),
        (1, 1, "1 hurt; it is sure which neighbour's removal would help most"),
        (1, 0, "1 hurt; it is not sure which neighbour's removal would help most"),
        (3, 2, "3 hurt; for 2 of them it is sure which neighbour's removal would help most"),
    ],
)
def test_what_was_found_is_said_in_plain_words(hurt, named, says):
    assert _ending(hurt, named) == says
