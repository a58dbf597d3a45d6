"""The report page: its figures in words, and its markup."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.report import render_report, summarise, write_report
from flows.report.data import read_as_truth, value_is_rps
from flows.report.figures import container_rps, mean_rps, optimum_line
from flows.report.heatmap import heat_maps, node_order, shade
from flows.report.page import breakable, unbroken
from flows.report.scales import linear, logarithmic_seconds
from flows.report.words import duration, headline, number, percent, simulator_error
from metis.errors import InputError, SurroundingsError
from tests.flows.report.examples import EVIL, report, rows_of


def test_summary_is_sorted_best_first_and_marks_the_optimum(results):
    summary = summarise(results)
    assert list(summary["scheduler"]) == ["optimum", "local_search", "greedy", "spread"]
    assert list(summary["is_optimum"]) == [True, False, False, False]
    greedy = summary.set_index("scheduler").loc["greedy"]
    assert greedy["rps_mean"] == pytest.approx(1.05)
    assert greedy["rps_min"] == pytest.approx(1.0)
    assert greedy["ratio_min"] == pytest.approx(1.0 / 1.2)
    assert greedy["seconds_max"] == pytest.approx(0.07)
    assert greedy["slo_0.90_mean"] == pytest.approx(0.9)
    assert np.isnan(greedy["true_rps_mean"])


def test_schedulers_are_ranked_on_the_groups_that_all_of_them_placed():
    # "lucky" placed only the easy group, where "steady" is better
    results = rows_of({"steady": [1.1, 0.5], "lucky": [1.0]})
    assert list(summarise(results)["scheduler"]) == ["steady", "lucky"]
    sentences = headline(results)
    assert sentences[0] == (
        "steady places best: a predicted mean RPS of 0.800, 10.0 % more than the next (lucky) "
        "(one group: no interval)."
    )
    assert sentences[-1].startswith("Not everyone placed all 2 groups")
    assert sentences[-1].endswith("lucky (1).")
    assert ">groups</button>" in render_report(report(results))


@pytest.mark.parametrize("name", ["rps", "bound", "seconds"])
def test_a_missing_column_is_named(results, name):
    with pytest.raises(InputError, match=name):
        report(results.drop(columns=name))


def test_no_result_a_group_twice_and_a_wrong_placement_are_refused(results):
    with pytest.raises(InputError, match="no result"):
        replace(report(results), results=results.iloc[:0])
    with pytest.raises(InputError, match="spread has group 0 twice"):
        replace(report(results), results=pd.concat([results, results.iloc[:1]]))
    with pytest.raises(InputError, match="placement of greedy"):
        report(results, placements={"greedy": np.zeros((4, 2), dtype=int)})


def test_the_headline_says_who_is_best_by_how_much_and_how_far_from_the_optimum():
    values = {
        "spread": [0.80, 0.81, 0.82],
        "optimum": [1.2, 1.2, 1.2],
        "greedy": [1.0, 1.01, 1.02],
        "local_search": [1.10, 1.11, 1.15],
    }
    sentences = headline(rows_of(values))
    # differences to greedy: 0.1, 0.1, 0.13 of 1.01; half width 4.3027 * 0.01732 / sqrt(3) / 1.01
    assert sentences[0] == (
        "local_search places best: a predicted mean RPS of 1.120, 10.9 ± 4.3 % more than the next (greedy) "
        "and 38.3 ± 5.3 % more than spread, which is what Docker Swarm does by itself."
    )
    assert (
        sentences[1]
        == "It stays 6.7 ± 5.5 % below the optimum of the simulator, which no placement can pass."
    )
    assert sentences[2] == "A decision takes local_search 130 ms on average."


def test_schedulers_are_ordered_by_truth_where_it_is_known_of_all():
    true = {"optimum": [1.0, 1.1, 1.0], "greedy": [1.1, 1.2, 1.1], "other": [0.9, 1.0, 0.9]}
    results = rows_of({"optimum": [1.2] * 3, "other": [1.15] * 3, "greedy": [1.1] * 3}, true=true)
    summary = summarise(results).set_index("scheduler")
    assert list(summary.index) == ["greedy", "optimum", "other"]
    assert summary.loc["greedy", "lead_mean"] == pytest.approx(0.1 / (3.1 / 3))
    assert summary.loc["greedy", "lead_half"] == pytest.approx(0)
    assert np.isnan(summary.loc["other", "lead_mean"])
    ratios = np.array([1.1, 1.2, 1.1]) / 1.2
    assert summary.loc["greedy", "true_ratio_half"] == pytest.approx(4.30265 * ratios.std(ddof=1) / 3**0.5)
    sentences = headline(results)
    assert sentences[0].startswith(
        "greedy places best: a true mean RPS of 1.133, 21.43 ± 0.00 % more than the"
    )
    assert sentences[-1].endswith("is truly 1.033: 86.1 ± 12.0 % of the true optimum, less than greedy.")
    results.loc[results["scheduler"] == "other", "true_value"] = np.nan  # then nobody's truth orders
    assert list(summarise(results)["scheduler"]) == ["optimum", "other", "greedy"]


@pytest.mark.parametrize("known", [True, False])
def test_the_page_says_in_truth_only_where_it_is_known(known):
    true = {"greedy": [1.0, 1.1], "other": [0.9, 1.0]} if known else None
    page = render_report(report(rows_of({"greedy": [1.1] * 2, "other": [1.0] * 2}, true=true)))
    assert ("Best first, in truth" in page) == known
    assert ("Best first, as predicted" in page) != known
    assert ("<dt>True optimum</dt>" in page) == known


def test_where_schedulers_read_the_truth_nothing_is_called_predicted():
    results = read_as_truth(rows_of({"optimum": [1.2, 1.1], "greedy": [1.0, 1.05]}))
    page = render_report(report(results))
    assert "Schedulers chose by what the testbed knows: nothing is predicted." in page
    assert "Ratio to the true optimum" in page
    assert not any(word in page for word in ("predicts", "predicted RPS", "of the simulator"))
    assert "of the simulator" in render_report(report(rows_of({"optimum": [1.2], "greedy": [1.0]})))


def test_a_tie_is_called_one():
    true = {"a": [1.0, 1.1, 1.0, 1.1], "b": [1.1, 1.0, 1.0, 1.0], "spread": [0.5, 0.5, 0.51, 0.5]}
    sentences = headline(rows_of({name: [1.0] * 4 for name in true}, true=true))
    assert sentences[0].startswith(
        "a and b tie for the best (+2.4 ± 14.9 % over 4 groups): a reaches a true mean RPS of 1.050, "
        "109.0 ± 19.2 % more than spread, which is what Docker Swarm does by itself."
    )
    equal = headline(rows_of({"a": [1.0] * 2, "b": [1.0] * 2, "c": [1.0] * 2}))
    assert equal[0].startswith("a, b and c tie for the best (the 95 % intervals of the differences hold 0)")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"optimum": [1.2]}, "Only the optimum of the simulator ran: a predicted mean RPS of 1.200."),
        ({"greedy": [1.0]}, "greedy is the only scheduler that ran: "),
        (
            {"optimum": [1.2], "greedy": [1.0]},
            "greedy is the only scheduler that ran beside the optimum of the",
        ),
        ({"optimum": [1.2], "greedy": [1.2]}, "It is predicted to reach the optimum of the simulator"),
        ({"greedy": [1.2]}, "It is predicted to reach the proven bound"),
        ({"greedy": [1.0], "other": [1.0]}, "level with the next (other) (one group: no interval)"),
        ({"greedy": [1.1], "other": [1.0]}, "greedy leads on the one group there is: "),
        (
            {"spread": [1.0], "other": [0.8]},
            "spread, which is what Docker Swarm does by itself, leads on the",
        ),
        ({"greedy": [0.5], "spread": [0.0]}, "or by no share of it"),
    ],
)
def test_the_headline_of_odd_comparisons(values, words):
    assert words in " ".join(headline(rows_of(values)))


def test_the_headline_says_what_the_testbed_did_not_judge():
    results = rows_of({"greedy": [1.1], "other": [1.05]}, true={"greedy": 0.9, "other": 1.0})
    assert headline(results)[0].startswith("other leads on the one group there is: a true mean RPS of 1.000")
    results.loc[results["scheduler"] == "other", ["true_rps", "true_value"]] = np.nan
    told = " ".join(headline(results))
    assert "greedy leads on the one group there is: a predicted mean RPS of 1.100" in told
    assert "The testbed judged only 1 of 2 placements, so all of this is as predicted." in told


def test_another_objective_than_rps_is_distinguished():
    results = rows_of({"optimum": [1.2], "greedy": [1.0]}).assign(rps=[0.8, 0.9])
    assert not value_is_rps(results)
    assert "a predicted objective value of 1.000 (RPS 0.900)" in headline(results)[0]
    place, words = optimum_line(results)
    assert (place, "not the RPS" in words) == (0.8, True)


def test_without_the_optimum_the_line_is_the_bound_and_without_a_bound_there_is_none():
    results = rows_of({"greedy": [1.0, 1.1]})
    assert optimum_line(results)[0] == pytest.approx(1.2)
    assert np.isnan(optimum_line(results.assign(bound=np.nan, ratio=np.nan, gap=np.nan))[0])


def test_numbers_in_words():
    shares = (0, 1, 0.9997, 0.974, 0.0042)
    assert [percent(x) for x in shares] == ["0 %", "100 %", "99.97 %", "97.4 %", "0.42 %"]
    assert percent(np.nan) == duration(np.nan) == number(np.nan)
    told = ", ".join(duration(seconds) for seconds in (16e-6, 0.0024, 0.474, 2.28, 480, 4e4))
    assert told == "16 µs, 2.4 ms, 474 ms, 2.3 s, 8.0 min, 11.1 h"


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8), st.booleans())
def test_a_linear_axis_holds_its_values_and_few_round_ticks(values, zero):
    scale = linear(values, zero=zero)
    assert scale.low <= min(values)
    assert max(values) <= scale.high
    assert 2 <= len(scale.ticks) <= 7
    assert len({label for _, label in scale.ticks}) == len(scale.ticks)
    places = scale.at(sorted(values))
    assert (np.diff(places) >= 0).all()


@given(st.lists(st.floats(1e-7, 1e5), min_size=1, max_size=8))
def test_a_logarithmic_axis_holds_its_values(values):
    scale = logarithmic_seconds(values)
    assert scale.low <= min(values) * (1 + 1e-6)
    assert max(values) <= scale.high * (1 + 1e-6)
    assert 2 <= len(scale.ticks) <= 6
    assert scale.at(scale.low) == 0
    assert scale.at(np.sqrt(scale.low * scale.high)) == pytest.approx(50)


@given(st.integers(1, 40), st.integers(0, 1000))
@settings(max_examples=40)
def test_alike_nodes_stand_together_and_free_ones_last(nodes, seed):
    placement = np.random.default_rng(seed).integers(0, 3, (nodes, 2))
    order = node_order(placement)
    assert sorted(order) == list(range(nodes))
    ordered = placement[order]
    changes = (ordered[1:] != ordered[:-1]).any(axis=1).sum()
    assert changes == len(np.unique(placement, axis=0)) - 1
    assert not ordered[len(ordered) - int((~placement.any(axis=1)).sum()) :].any()


def test_a_heat_map_draws_every_container_in_shades_and_names_the_commonest_colocations():
    placement = np.array([[0, 2, 0], [1, 0, 0], [0, 2, 0], [0, 0, 0]])
    data = report(rows_of({"greedy": [1.0]}), placements={"greedy": placement})
    drawn = heat_maps(data, ("greedy",))[0]
    assert [(row.label, row.total) for row in drawn.rows] == [
        ("store", 1),
        ("web", 4),
        ("codec", 0),
        ("all", 5),
    ]
    assert drawn.commonest == ((2, "2 web"), (1, "1 store"))
    assert (drawn.nodes, drawn.drawn, drawn.free, drawn.colocations) == (4, 4, 1, 2)
    # sorted: the node with a store, the two with web, the free one
    assert 'd="M1 0h2v1h-2z"' in drawn.rows[1].svg
    assert 'd="M0 0h1v1h-1z"' in drawn.rows[0].svg
    assert "<path" not in drawn.rows[2].svg
    shades = [shade(count, 8) for count in range(9)]
    assert shades == sorted(set(shades))
    assert (shades[0], shades[-1]) == (0.0, 1.0)


def test_the_curve_of_containers_falls_where_they_are():
    data = report(rows_of({"greedy": [1.0]}), container_rps={"greedy": [np.array([0.5, 1.0, 1.0, 2.0])]})
    figure = container_rps(data, data.schedulers)
    assert figure.rows[0].value == "75.0 · 75.0 %"  # at the levels 0.90 and 1.00 of the results
    path = figure.rows[0].svg.split('class="edge" d="')[1].split('"')[0]
    assert [float(step.split("H")[0]) for step in path.split("V")[1:]] == [25, 75, 100]


def test_the_curve_of_containers_covers_all_groups_each_weighing_the_same():
    groups = [np.array([1.0]), np.array([0.5, 0.5, 0.95, 2.0])]  # 100 and 50 % at 0.90, 100 and 25 % at 1.00
    data = report(rows_of({"greedy": [1.0, 0.9]}), container_rps={"greedy": groups})
    figure = container_rps(data, data.schedulers)
    assert figure.rows[0].value == "75.0 · 62.5 %"
    assert "as the simulator predicts it, over all 2 groups" in figure.caption
    true = rows_of({"greedy": [1.0, 0.9]}, true={"greedy": 0.9})
    assert (
        "True RPS, as the testbed knows it, over all 2 groups"
        in container_rps(report(true, container_rps={"greedy": groups}), ("greedy",)).caption
    )


def test_every_figure_states_what_it_covers():
    results = rows_of({"greedy": [1.0, 1.1], "other": [0.9, 1.0]}, true={"greedy": 1.0, "other": 0.9})
    page = render_report(report(results))
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page, flags=re.DOTALL)
    assert len(captions) == 6
    assert all("over all 2 groups" in text or "Group 0 alone, of 2" in text for text in captions)
    alone = render_report(report(rows_of({"greedy": [1.0]})))
    assert all(
        "of the one group" in text or "Group 0." in text
        for text in re.findall(r"<figcaption>(.*?)</figcaption>", alone, flags=re.DOTALL)
    )


def test_the_footer_shows_what_is_made_anew_each_time(results):
    made = {"commit": "abc", "date": "today", "in MLflow (metis ui)": "http://127.0.0.1:5000/#/runs/1"}
    page = render_report(report(results, made=made))
    footer = page.partition("<footer>")[2]
    for text in ("<dt>commit</dt><dd>abc</dd>", "today", '<a href="http://127.0.0.1:5000/#/runs/1">'):
        assert text in footer
    odd = render_report(report(results, made={"commit": "javascript:alert(1)"}))
    assert 'href="javascript' not in odd


def test_names_break_only_after_their_own_signs():
    assert breakable("greedy+local_search") == "greedy+<wbr>local_<wbr>search"
    assert breakable("<b>_x") == "&lt;b&gt;_<wbr>x"
    assert unbroken("99.2 ± 0.8 % of 2.0 ms at") == "99.2\xa0±\xa00.8\xa0% of 2.0\xa0ms at"


def test_the_testbed_is_shown_only_where_it_answered(results):
    assert "True RPS" not in render_report(report(results))
    true = {"spread": 0.7, "optimum": 1.1, "greedy": 1.0, "local_search": 1.0}
    judged = rows_of({name: [1.0, 1.1] for name in true}, true=true)
    assert mean_rps(report(judged), ("spread",)).rows[0].value == "0.700 (1.050)"  # truth first
    judged.loc[judged["scheduler"] == "spread", ["true_rps", "true_value", "true_ratio"]] = np.nan
    assert mean_rps(report(judged), ("spread", "greedy")).rows[0].value == "1.050"
    assert mean_rps(report(judged), ("spread", "greedy")).rows[1].value == "1.050 (1.000)"


def test_the_line_is_the_true_optimum_where_it_is_known():
    true = rows_of({"optimum": [1.3, 1.3], "greedy": [1.2, 1.2]}, true={"optimum": 1.0, "greedy": 1.1})
    place, words = optimum_line(true)
    assert (place, words) == (
        1.2,
        "The dashed line is the true optimum, the most that any placement can reach.",
    )


def test_what_is_unknown_is_left_out():
    results = rows_of({"greedy": [1.0], "other": [0.9]}).drop(columns=["slo_0.90", "slo_1.00"])
    results[["ratio", "gap", "bound", "seconds"]] = np.nan
    page = render_report(report(results, placements={}, container_rps={}, facts={}))
    for gone in ('id="ratio"', 'id="seconds"', 'id="placements"', 'id="containers"', ">nan", "nan%"):
        assert gone not in page
    assert 'id="rps"' in page


def test_the_page_is_the_same_every_time_and_names_are_escaped(results):
    odd = results.replace({"scheduler": {"greedy": EVIL}})
    data = report(odd, title=EVIL, facts={EVIL: EVIL}, command=EVIL, apps=(EVIL, "web", "codec"))
    data = replace(data, made={EVIL: EVIL})
    page = render_report(data)
    assert page == render_report(data)
    assert not any(tag in page for tag in ("<script>window", "<img"))


def test_fifteen_schedulers_on_1000_nodes_stay_below_the_limit():
    rng = np.random.default_rng(0)
    values = {f"scheduler {i}": rng.uniform(0.7, 1.2, 30) for i in range(15)}
    apps = tuple("abcdefg")
    worst = {name: rng.multinomial(rng.integers(0, 9, 1000), [1 / 7] * 7) for name in values}
    reached = {name: [rng.uniform(0, 2, 3000)] * 30 for name in values}
    page = render_report(report(rows_of(values), apps=apps, placements=worst, container_rps=reached))
    assert len(page.encode()) < 1_500_000
    assert "1000 nodes, of which 750 are drawn" in page


def test_a_page_is_written_whole_or_not_at_all(results, tmp_path):
    write_report(report(results), tmp_path / "new" / "report.html")
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SurroundingsError, match=r"report\.html"):
        write_report(report(results), tmp_path / "file" / "report.html")


@pytest.mark.parametrize(
    ("draws", "within"),
    [((1.18, 1.22), ""), ((1.1, 1.3), ": a predicted gain within the simulator's error")],
)
def test_the_page_says_how_wrong_the_simulator_may_be(draws, within):
    results = rows_of({"metis": [1.2, 1.2], "greedy": [1.1, 1.1], "optimum": [1.21, 1.21]})
    for k, value in enumerate(draws):
        results[f"drawn_{k}"] = np.where(results["scheduler"] == "metis", value, 1.1)
    half = 1.96 * np.std(draws, ddof=1)
    said = (
        f"Of metis the simulator predicts 1.200 ± {half:.3f} by its own error; over greedy +9.1 "
        f"± {half / 1.1 * 100:.1f} %{within}."
    )
    assert simulator_error(results) == [said]
    assert said in headline(results)
    assert simulator_error(rows_of({"metis": [1.2], "greedy": [1.1]})) == []
