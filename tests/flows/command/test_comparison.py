"""The table of schedulers that `run` and `compare` end with, and its document."""

import re

import pandas as pd
import pytest

from flows.command.comparison import comparison_document, comparison_table
from flows.command.presenter import present
from flows.command.result import Result
from tests.flows.report.test_page import rows_of

TRUE = {
    "optimum": [1.0, 1.1, 1.0],
    "greedy+local_search": [1.1, 1.2, 1.1],
    "metis": [1.1, 1.19, 1.12],
    "spread": [0.5, 0.6, 0.5],
}


@pytest.fixture
def results():
    rows = rows_of({name: [1.2, 1.1, 1.0] for name in TRUE}, true=TRUE)
    return rows.assign(cpu_seconds=0.01, **{"slo_0.95": 0.5, "true_slo_0.95": 0.4})


def cells(table):
    headings = [getattr(column, "heading", column).replace("\n", " ") for column in table.columns]
    return [dict(zip(headings, row, strict=True)) for row in table.rows]


def test_rows_stand_in_the_order_of_truth_with_intervals_and_ties(results):
    table = comparison_table(results, "3 groups")
    rows = cells(table)
    assert [row["scheduler"] for row in rows] == [
        "metis",
        "greedy+local_search",
        "optimum (simulator)",
        "spread",
    ]
    assert table.title.splitlines() == [
        "3 groups",
        "ordered by true value; ±: 95 % interval over groups, paired; a tie where it holds 0",
    ]
    first = rows[0]
    assert (first["true RPS"], first["true SLO 0.95"]) == ("1.1367", "40.0%")
    # differences 0, -0.01, 0.02: mean 1/300, sd 0.0153; of 3.4/3
    assert first["to the next, %"] == "tie ±3.3"
    assert rows[1]["to the next, %"] == "+9.68±0.00"
    assert rows[1]["of true optimum, %"] == "94.4±12.0 tie"  # 91.7, 100 and 91.7 %
    assert rows[3]["to the next, %"] == "\N{EN DASH}"
    assert not table.styles  # the optimum of the simulator is no limit of what is true


def test_without_truth_the_table_says_predicted():
    results = rows_of({"optimum": [1.2, 1.2], "greedy": [1.1, 1.0]})
    table = comparison_table(results.assign(cpu_seconds=0.01), "2 groups")
    assert "predicted: no testbed knows the truth" in table.title
    rows = cells(table)
    assert rows[0]["scheduler"] == "optimum (simulator)"
    assert rows[1]["of pred. optimum, %"] == "87.5±52.9 tie"
    assert "true RPS" not in rows[0]
    assert list(table.styles) == [0]


def test_one_group_has_no_interval():
    rows = rows_of({"a": [1.2], "b": [1.1]}, true={"a": 1.0, "b": 0.9}).assign(cpu_seconds=0.01)
    table = comparison_table(rows, "1 group")
    assert "one group: no interval (± ?)" in table.title
    assert cells(table)[0]["to the next, %"] == "+11.11±?"


def test_it_fits_120_columns(results, capsys):
    present(Result(views=[comparison_table(results, "10 groups on 81 nodes")]), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 120
    assert re.search(r"greedy\+local_search │ +1\.1333", "\n".join(lines))  # not folded


def test_the_document_is_ordered_alike_and_names_the_next(results):
    document = comparison_document(results)["schedulers"]
    assert list(document) == ["metis", "greedy+local_search", "optimum", "spread"]
    lead = document["metis"]["to_the_next"]
    assert (lead["scheduler"], lead["by"], lead["tie"]) == ("greedy+local_search", "true", True)
    assert lead["mean"] == pytest.approx((1 / 300) / (3.4 / 3))
    assert document["optimum"]["to_the_next"]["tie"] is False
    assert document["spread"]["to_the_next"] == {
        "scheduler": None,
        "by": "true",
        "mean": None,
        "half_width": None,
        "tie": None,
    }
    assert document["metis"]["true_ratio"]["half_width"] == pytest.approx(0.0975, abs=1e-3)


def test_a_group_that_one_did_not_place_counts_for_nobody():
    # on groups 0 and 1, which both placed, b is better by 0.1 and 0.12; a's good group 2 is left out
    rows = rows_of({"a": [1.0, 1.0, 1.5], "b": [1.0] * 2}, true={"a": [1.0, 1.0, 1.5], "b": [1.1, 1.12]})
    document = comparison_document(pd.DataFrame(rows).assign(cpu_seconds=0.01))["schedulers"]
    assert list(document) == ["b", "a"]
    assert document["b"]["to_the_next"]["mean"] == pytest.approx(0.11)
    assert document["b"]["to_the_next"]["half_width"] == pytest.approx(12.7062 * 0.01, rel=1e-4)
