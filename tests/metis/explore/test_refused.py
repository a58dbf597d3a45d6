"""Settings, journals and measurements that an exploration refuses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from metis.errors import InputError
from metis.explore.acquisition import demand_of
from metis.explore.loop import ExploreSettings, explore
from metis.measure.journal import Patience, journal_of
from metis.measure.testbed import EmbeddedTestbed
from metis.problem.cluster import Cluster
from metis.problem.objectives import Latency, MeanRps, P99Below
from metis.problem.space import ColocationSpace
from tests.metis.explore.examples import GROUP, QUICK, plan, run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 0}, "budget 0"),
        ({"hours": -1.0}, "hours -1"),
        ({"optimism": float("nan")}, "optimism nan"),
        ({"until_gain": "150%"}, "until_gain 1.5: give at most 1"),
        ({"until_gain": "much"}, "until_gain 'much': give a share such as 0.005 or 0.5%"),
        ({"acquisition": "greedy"}, "'greedy'"),
        ({"start": "middle"}, "'middle'"),
        ({"until_gain": 2.0}, "until_gain 2"),
        ({"retries": -1}, "retries -1"),
        ({"most_rps": 0.5}, "most_rps 0.5"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(QUICK, **change)


def test_settings_are_read_alike_in_python_and_from_a_file() -> None:
    read = TypeAdapter(ExploreSettings).validate_python({"budget": 20, "until_gain": "0.5%", "hours": None})
    assert read == replace(ExploreSettings(), budget=20, until_gain=0.005)
    assert replace(ExploreSettings(), until_gain="0.5%").until_gain == 0.005
    assert (replace(read, hours=1.0).runs, replace(read, hours=10.0).runs) == (10, 20)
    with pytest.raises(ValidationError, match="measurements"):
        TypeAdapter(ExploreSettings).validate_python({"measurements": 20})


def test_an_objective_on_what_is_not_measured_is_refused(testbed: EmbeddedTestbed) -> None:
    blind = replace(testbed, model=replace(testbed.model, alone=testbed.model.alone * np.nan))
    for objective in (Latency(), P99Below(1.0), P99Below(None, {"web": 1.0})):
        with pytest.raises(InputError, match=r"no (latency|p99) was measured for .*web"):
            explore(blind, [(GROUP, Cluster(testbed.space, 10))], objective, plan, QUICK)


def test_hope_for_latency_means_less_of_it(testbed: EmbeddedTestbed) -> None:
    """Where the mean misses a limit, the worth must still have a spread: it could be met."""
    found = run(testbed, replace(QUICK, budget=8), objective=P99Below(None, {"cache": 0.36}))
    p99, spread = found.belief.tables.quantity("p99")[:, 0], found.belief.ensembles["p99"].beliefs[1][:, 0]
    unsure = int(spread.argmax())
    missed = P99Below(None, {"cache": float(p99[unsure] * np.exp(-spread[unsure] / 2))})
    demand = demand_of(GROUP, Cluster(testbed.space, 10), missed, found.belief)
    assert spread[unsure] > 0.02
    assert demand.spread[unsure] > 0
    assert demand.hope(2.0)[unsure] > demand.worth[unsure]


def test_bad_input_is_named(testbed: EmbeddedTestbed, tmp_path: Path) -> None:
    small = Cluster(testbed.space, 2)
    with pytest.raises(InputError, match="at least one group"):
        explore(testbed, [], MeanRps(), plan, QUICK)
    with pytest.raises(InputError, match="do not fit"):
        explore(testbed, [(GROUP, small)], MeanRps(), plan, QUICK)
    other = Cluster(ColocationSpace(testbed.space.apps, 5), 9)
    with pytest.raises(InputError, match="measure what will be placed"):
        explore(testbed, [(GROUP, other)], MeanRps(), plan, QUICK)
    journal_of(tmp_path / "p.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"p\.journal\.npz"):
        run(testbed, QUICK, path=tmp_path / "p.npz")


def test_a_journal_of_another_testbed_is_refused(testbed: EmbeddedTestbed, tmp_path: Path) -> None:
    run(testbed, replace(QUICK, budget=8), path=tmp_path / "p.npz")
    with pytest.raises(InputError, match="another path"):
        run(replace(testbed, slots=5), QUICK, path=tmp_path / "p.npz")


def test_patience_is_bounded() -> None:
    with pytest.raises(InputError, match="retries 101"):
        Patience(retries=101)
