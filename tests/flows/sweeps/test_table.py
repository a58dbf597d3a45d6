"""The summary of a sweep: a row per setting and scheduler, its interval, its rank, by hand."""

import pandas as pd
import pytest

from flows.sweeps.table import aggregate, setting_columns, sweep_rows


def results(*rows):
    columns = ["group.size", "seed", "scheduler", "group", "rps", "seconds"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(value=frame["rps"], ratio=frame["rps"] / 2, bound=2.0, cpu_seconds=frame["seconds"])


TWO_SIZES = results(
    (200, 0, "good", 0, 2.0, 0.1),
    (200, 0, "good", 1, 1.0, 0.3),
    (200, 0, "poor", 0, 1.0, 0.1),
    (200, 0, "poor", 1, 1.0, 0.1),
    (300, 0, "good", 0, 1.0, 0.1),
    (300, 0, "poor", 0, 1.5, 0.1),
)


def test_settings_are_what_differs_between_jobs_seeds_left_out():
    assert setting_columns(TWO_SIZES) == ["group.size"]
    assert setting_columns(TWO_SIZES.assign(seed=range(6))) == ["group.size"]
    assert setting_columns(TWO_SIZES[TWO_SIZES["group.size"] == 200]) == []


def test_what_a_simulator_that_knows_its_errors_adds_is_no_setting():
    drawn = TWO_SIZES.assign(drawn_0=TWO_SIZES["rps"] * 1.1, bound_kind=["proven", *["estimated"] * 5])
    assert setting_columns(drawn) == ["group.size"]
    assert aggregate(drawn)["groups"].tolist() == aggregate(TWO_SIZES)["groups"].tolist()


def test_means_over_groups_and_ranks_under_each_setting():
    summary = aggregate(TWO_SIZES)
    assert summary[["group.size", "scheduler", "rank"]].to_numpy().tolist() == [
        [200, "good", 1],
        [200, "poor", 2],
        [300, "poor", 1],
        [300, "good", 2],
    ]
    first = summary.iloc[0]
    assert (first["groups"], first["seeds"], first["rps"], first["ratio_min"]) == (2, 1, 1.5, 0.5)
    assert first["seconds"] == pytest.approx(0.2)
    # Student's t with one degree of freedom: 12.706 x sd / sqrt(2), sd = sqrt(1/2)
    assert first["rps_high"] - first["rps"] == pytest.approx(12.706 / 2, rel=1e-4)
    assert summary.iloc[2]["rps_sd"] == 0.0  # one group has no deviation


def test_over_several_seeds_the_interval_is_that_of_their_means():
    rows = [(200, seed, "good", group, 1.0 + seed, 0.1) for seed in (0, 1) for group in (0, 1)]
    row = aggregate(results(*rows)).iloc[0]
    assert (row["seeds"], row["groups"], row["rps"]) == (2, 4, 1.5)
    assert row["rps_sd"] == pytest.approx(0.5**0.5)


def test_a_scheduler_that_two_jobs_placed_alike_counts_once():
    doubled = pd.concat([TWO_SIZES, TWO_SIZES], ignore_index=True)
    assert aggregate(doubled)["groups"].tolist() == aggregate(TWO_SIZES)["groups"].tolist()


def test_rows_as_texts_name_the_settings_first():
    named, headings, rows = sweep_rows(aggregate(TWO_SIZES))
    assert named == ["group.size", "scheduler"]
    assert headings[:3] == ["mean RPS", "± 95 %", "sd"]
    assert rows[0][:3] == ["200", "good", "1.5000"]
    assert all(len(row) == len(named) + len(headings) for row in rows)
