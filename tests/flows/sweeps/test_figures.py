"""Figures of sweeps: which form, what is named in them, and the published values of the experiments."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from flows.sweeps import figures
from flows.sweeps.figures import sweep_figure

CONF = Path(__file__).resolve().parents[3] / "conf" / "experiment"


def frame(setting=None, values=("",), schedulers=("optimum", "metis"), **more):
    rows = [
        {
            "scheduler": name,
            "group": group,
            "rps": 1.2 - j / 10 + group / 100,
            **({setting: v} if setting else {}),
        }
        for v in values
        for j, name in enumerate(schedulers)
        for group in range(2)
    ]
    results = pd.DataFrame(rows)
    own = {"value": results["rps"], "ratio": 0.98, "seconds": 0.1, "nodes": 81, "free_nodes": 8}
    return results.assign(**own, **more)


def published(experiment):
    return yaml.safe_load((CONF / f"{experiment}.yaml").read_text(encoding="utf-8"))["published"]


CURVES = pd.DataFrame(
    [("metis-paper", 0, 1.0, 0.9, 10), ("metis-paper", 0, 2.0, 1.0, 20), ("vanilla_rl", 0, 2.0, 0.8, 30)],
    columns=["scheduler", "group", "cpu_seconds", "best", "episodes"],
)
SIZES = frame("group.size", [200, 300], seconds_more=0)
FANS = frame("divide_conquer.fan_out", [3, 9, 81], ["optimum", "divide_conquer"], episodes=3600)
SHARES = frame("profile.share", [0.05, 0.2], mse=0.002, r2=0.98, true_rps=1.1)
CASES = frame("objective", ["slo_090", "slo_100", "free_00", "free_10"])
PROFILES = frame("profile", ["random_01", "random_20", "explore"], true_ratio=0.97).assign(
    measured=lambda f: f["profile"].map({"random_01": 64, "random_20": 1287, "explore": 150})
)
DRAWN = [
    # results, experiment, further arguments, form, what must be named
    (
        SIZES,
        "paper_81",
        {},
        "draw_boxes",
        ["whiskers: 5-95 %", "n = 2 groups per box", "bar: 5-95 %", "seconds per"],
    ),
    (
        frame(),
        "figure4",
        {"curves": CURVES},
        "draw_training",
        ["CPU seconds of training", "vanilla_rl 30", "diamond"],
    ),
    (FANS, "fanout", {}, "draw_fan_outs", ["fan-out K", "3,600 episodes", "after 60 min"]),
    (
        SHARES,
        "sampling",
        {},
        "draw_shares",
        ["mean squared error", "on the true table", "diamond: published"],
    ),
    (CASES, "objectives", {}, "draw_objectives", ["SLO satisfaction", "vacant nodes, %", "weight beta"]),
    (
        PROFILES,
        None,
        {},
        "draw_measurements",
        ["co-locations measured", "metis, what plans ask for", "1,287"],
    ),
    (frame(), None, {"arrive": True}, "draw_arrivals", ["arrival", "cluster it met"]),
]


@pytest.mark.parametrize(
    ("results", "experiment", "more", "form", "named"), DRAWN, ids=[one[3] for one in DRAWN]
)
def test_each_sweep_is_drawn_in_its_own_form(results, experiment, more, form, named, monkeypatch):
    drawn = []
    real = getattr(figures, form)
    monkeypatch.setattr(figures, form, lambda *given: drawn.append(form) or real(*given))
    picture = sweep_figure(results, published(experiment) if experiment else {}, **more).decode()
    assert drawn == [form]
    assert picture.startswith("<?xml")
    # matplotlib draws letters as paths and keeps each text as a comment
    for text in (*named, "metis" if "metis" in set(results["scheduler"]) else "divide_conquer"):
        assert text in picture, text
    assert "n = 2 groups" in picture


def test_the_same_results_give_the_same_figure_but_for_the_ids_that_matplotlib_makes_up():
    one, two = (sweep_figure(SIZES, {}).count(b"<path") for _ in range(2))
    assert one == two


@pytest.mark.parametrize(
    ("experiment", "setting", "scheduler", "value"),
    [
        ("figure4", "6038", "vanilla_rl", 1.0156),
        ("fanout", "9", "divide_conquer", 1.11),
        ("sampling", "0.2", "metis", 1.153),
        ("sampling", "0.01", "mse", 0.00254),
        ("objectives", "slo_095", "medea", 0.415),
        ("objectives", "vacant_20", "metis", 0.265),
        ("paper_729", "3000", "metis", 1.055),
    ],
)
def test_experiments_hold_the_published_values(experiment, setting, scheduler, value):
    assert published(experiment)[setting][scheduler][0] == value


@pytest.mark.parametrize("experiment", ["arrivals", "figure4"])
def test_experiments_of_one_job_are_sweeps_too(experiment):
    from flows.sweeps.sweep import is_sweep

    assert is_sweep([f"experiment={experiment}"])
