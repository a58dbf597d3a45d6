"""Same seed, same digits on one machine: a small chain, run twice in folders of their own."""

import shutil

import pandas as pd
import pytest

from flows.prefect.run import run_chain
from flows.report.data import summarise
from flows.stages.evaluate import read_results
from flows.stages.report import report_data
from tests.flows.conftest import UNTRAINED, settings_of

WORDS = [
    *("profile.kind=testbed", "profile.path=null", "cluster.nodes=6", "cluster.slots=3", "group.size=9"),
    *("groups.count=3", "simulator=boosted", "simulator.trees=5", "schedulers=[greedy,metis]"),
    *("scheduler=greedy", "tracking.orchestrate=false", "seed=3", *UNTRAINED),
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, empty_database):
    """Two runs that know nothing of each other, and the data of the second one's page."""
    made, shown = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "flows.stages.report.report_data", lambda work: shown.append(report_data(work)) or shown[-1]
        )
        for name in ("first", "second"):
            folder = tmp_path_factory.mktemp(name)
            shutil.copy(empty_database, folder)
            made.append(run_chain(settings_of(*WORDS, f"tracking.path={folder}")))
    return *made, shown[-1]


def test_the_same_seed_gives_the_same_digits(outcomes):
    first, second, _ = outcomes
    assert list(first.records) == list(second.records)
    for name in ("results.csv",):
        one, other = (outcome.folder("evaluate") / name for outcome in (first, second))
        assert one.read_bytes() == other.read_bytes()
    for name, record in first.records.items():
        assert second.records[name].key == record.key, name  # of the page too: its footer is in no key


def test_the_slo_numbers_of_the_figure_are_those_of_the_table(outcomes):
    *_, data = outcomes
    summary = summarise(data.results).set_index("scheduler")
    for name, groups in data.container_rps.items():
        assert len(groups) == 3
        for level in (0.90, 0.95, 1.00):
            shares = [(values >= level).mean() for values in groups]
            told = summary.loc[name, f"true_slo_{level:.2f}_mean"]
            assert sum(shares) / 3 == pytest.approx(told)
        assert sum(values.mean() for values in groups) / 3 == pytest.approx(
            summary.loc[name, "true_rps_mean"]
        )


def test_the_page_says_where_it_comes_from(outcomes):
    first, _, data = outcomes
    assert set(data.made) == {
        *("commit", "version", "date", "machine", "CPU seconds", "MLflow run", "in MLflow (metis ui)")
    }
    page = (first.folder("report") / "report.html").read_text(encoding="utf-8")
    footer = page.partition("<footer>")[2]
    run = first.records["report"].run_id
    assert 'href="http://127.0.0.1:5000/#/experiments/' in footer
    assert f"/runs/{run}" in footer
    spent = [r.cpu_seconds for name, r in first.records.items() if name != "report"]
    assert f"{sum(spent):.1f} in {len(spent)} steps" in footer
    assert "seed 3; groups.seed 3, profile.seed 3, simulator.seed 3" in page


def test_every_scheduler_is_judged_in_truth(outcomes):
    results = read_results(outcomes[0].folder("evaluate"))
    assert isinstance(results, pd.DataFrame)
    for column in ("true_rps", "true_value", "true_best", "true_ratio", "true_slo_0.95"):
        assert results[column].notna().all()
    assert (results["true_value"] <= results["true_best"] + 1e-6).all()
    assert results.groupby("group")["true_best"].nunique().eq(1).all()  # one limit per group
