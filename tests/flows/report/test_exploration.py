"""The figure and the section on an exploration."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd

from flows.report.exploration import exploration_figure, exploration_section


def a_history(seed=0, ratio=True):
    at = np.array([10, 18, 26])
    reached = np.array([0.9, 0.97, 0.995]) if ratio else np.full(3, np.nan)
    columns = {"round": [0, 1, 2], "measurements": at, "hours": at / 10, "value": [1.0, 1.1, 1.2]}
    return pd.DataFrame(columns | {"ratio": reached, "gain_bound": [0.3, 0.1, 0.012], "seed": seed})


def runs():
    return [
        {"round": 0, "colocation": "1 Redis", "reason": "alone", "sound": True},
        {"round": 1, "colocation": "1 Redis <b>", "reason": "plan", "sound": True},
        {"round": 1, "colocation": "2 MMS", "reason": "plan", "sound": False},
    ]


def test_the_section_says_what_was_bought_and_why():
    made = exploration_section(a_history(), runs(), None)
    assert "3 measurements, 2.6 machine hours, 3 rounds" in made.html
    assert "99.5" in made.html
    assert "could gain 1" in made.html
    assert "plan</th><td>2" in made.html
    assert "1 runs could not be believed" in made.html
    assert "&lt;b&gt;" in made.html


def test_a_testbed_without_a_truth_has_a_curve_of_values():
    made = exploration_section(a_history(ratio=False), runs(), None)
    assert "true optimum" not in made.html
    assert "value believed" in made.figure_svg


def test_a_line_per_acquisition_with_a_band_over_seeds_and_the_calibration_beside():
    several = [
        a_history(seed).assign(acquisition=name, ratio=lambda f, s=seed: f["ratio"] - 0.01 * s)
        for name in ("optimistic", "random")
        for seed in (0, 1)
    ]
    calibration = pd.DataFrame({"level": [0.5, 0.9], "coverage": [0.55, 0.93]})
    drawn = exploration_figure(pd.concat(several), calibration).decode()
    ElementTree.fromstring(drawn)
    one = exploration_figure(a_history().assign(acquisition="plans")).decode()
    assert drawn.count("PolyCollection") == 2  # a band each
    assert "PolyCollection" not in one
