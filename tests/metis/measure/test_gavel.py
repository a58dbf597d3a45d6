"""Gavel's throughputs in their form, and as published where they are there."""

import json
from pathlib import Path

import numpy as np
import pytest

from metis.errors import InputError
from metis.measure.gavel import gavel_problem, read_gavel
from metis.measure.profile import profile_of_sheet

PUBLISHED = Path(__file__).parents[3].parent / "shared" / "instances" / "gavel_oracle_throughputs.json"
A, B = "LM (batch size 80)", "A3C"
RATES = {
    "v100": {
        A: {"null": 40.0, A: [10.0, 14.0], B: [20.0, 4.0]},
        B: {"null": 8.0, A: [4.0, 20.0], B: [6.0, 6.0]},
    },
    "k80": {
        A: {"null": 10.0, A: [0.0, 0.0], B: [5.0, 2.0]},
        B: {"null": 4.0, A: [2.0, 5.0], B: [1.0, 1.0]},
    },
}


def written(tmp_path, rates):
    path = tmp_path / "rates.json"
    path.write_text(json.dumps(rates), encoding="utf-8")
    return path


def test_rates_become_a_profile_with_types(tmp_path):
    sheet = read_gavel(written(tmp_path, RATES))
    profile = profile_of_sheet(sheet)
    assert (profile.apps, profile.slots) == (("A3C", "LM-80"), 2)
    k80, v100 = profile.types["k80"], profile.types["v100"]
    of = profile.space.index(v100.colocations).tolist()
    np.testing.assert_allclose(v100.rps[of.index(profile.space.index([1, 1]))], [4 / 8, 20 / 40])
    np.testing.assert_allclose(v100.rps[of.index(profile.space.index([0, 2]))], [np.nan, 12 / 40])
    np.testing.assert_allclose(k80.pace, [0.5, 0.25])
    assert np.nanmin(k80.rps) == 0  # a pair without enough memory

    problem = gavel_problem(sheet)
    assert (problem.types, len(problem.nodes), problem.demand.tolist()) == (("v100", "k80"), 72, [6, 6])


@pytest.mark.parametrize(
    "rates", [{}, [1], {"k80": {A: {}}}, {"k80": {A: {"null": "x", A: [1, 1]}}}, {"k80": {A: {"null": 1}}}]
)
def test_other_files_are_refused_in_one_line(rates, tmp_path):
    with pytest.raises(InputError, match=r"rates\.json: is not Gavel's throughputs as published") as error:
        read_gavel(written(tmp_path, rates))
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="Gavel's throughputs are not beside the project")
def test_the_published_rates_say_what_their_description_says():
    profile = profile_of_sheet(read_gavel(PUBLISHED))
    assert (len(profile.apps), profile.slots, profile.space.size - 1) == (26, 2, 377)
    assert {name: len(one) for name, one in profile.types.items()} == {"p100": 377, "v100": 377, "k80": 377}
    shares = {name: one.rps[one.colocations.sum(axis=1) == 2] for name, one in profile.types.items()}
    medians = {name: round(float(np.nanmedian(values[values > 0])), 2) for name, values in shares.items()}
    assert medians == {"p100": 0.83, "v100": 0.72, "k80": 0.52}
    assert profile.types["v100"].pace.min() == 1.0  # fastest for all
