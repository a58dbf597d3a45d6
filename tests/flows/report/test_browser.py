"""The report page in a real browser."""

import numpy as np
import pytest

from flows.report import ReportSection, write_report
from tests.flows.report.examples import EVIL, report, rows_of


class Opened:
    """A page opened from its file, and everything it said or asked for."""

    def __init__(self, browser, path, **context):
        self.said, self.requests = [], []
        self.page = browser.new_page(**context)
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request))
        self.page.goto(path.as_uri())

    def order(self):
        return [name.split()[0] for name in self.page.locator("#summary tbody th").all_inner_texts()]


@pytest.fixture
def open_page(browser, tmp_path):
    opened = []

    def open_one(data, **context):
        path = tmp_path / "report.html"
        write_report(data, path)
        opened.append(Opened(browser, path, **context))
        # what the page's own policy blocks never leaves the browser
        sent = [request.url for request in opened[-1].requests if request.failure != "csp"]
        assert sent == [path.as_uri()]
        return opened[-1]

    yield open_one
    for one in opened:
        one.page.close()


@pytest.mark.browser
def test_the_page_opens_from_a_file_in_silence(open_page, results):
    svg = '<?xml version="1.0"?><!DOCTYPE svg><svg viewBox="0 0 9 9"><circle r="3"/></svg>'
    shown = open_page(report(results, sections=[ReportSection("Learning", "<p>A curve.</p>", svg)]))
    assert shown.said == []
    assert shown.page.locator("h1").all_inner_texts() == ["A small comparison"]
    assert shown.page.locator("#rps .row").count() == 4
    assert "tie for the best" in shown.page.locator(".headline").inner_text()
    assert shown.page.locator("figure[aria-label=Learning] svg circle").count() == 1
    # the optimum's line crosses every row at the same place
    lines = shown.page.locator("#rps .limit").evaluate_all("all => all.map(x => x.getBoundingClientRect().x)")
    assert lines == pytest.approx([lines[0]] * 4, abs=1)
    assert shown.page.locator("#ratio .plot").first.bounding_box()["width"] > 150


@pytest.mark.browser
def test_the_select_switches_the_heat_map(open_page, results):
    shown = open_page(report(results))
    visible = shown.page.locator(".map:visible")
    assert visible.count() == 1
    assert visible.get_attribute("aria-label") == "Placement of local_search"  # the best, the optimum aside
    shown.page.select_option("#choice", label="spread")
    assert visible.count() == 1
    assert visible.get_attribute("aria-label") == "Placement of spread"
    assert visible.locator(".cells path").first.bounding_box()["height"] > 10
    assert shown.said == []


@pytest.mark.browser
def test_a_click_on_a_heading_sorts(open_page, results):
    results.loc[results["scheduler"] == "spread", "seconds"] = np.nan
    shown = open_page(report(results))
    assert shown.order()[0] == "optimum"
    heading = shown.page.get_by_role("button", name="time, mean")
    heading.click()
    assert shown.order() == ["local_search", "optimum", "greedy", "spread"]
    heading.click()
    assert shown.order() == ["greedy", "optimum", "local_search", "spread"]  # the unknown last both ways
    assert shown.page.locator("th[aria-sort=ascending]").count() == 1
    shown.page.get_by_role("button", name="scheduler", exact=True).click()
    assert shown.order() == ["greedy", "local_search", "optimum", "spread"]
    assert shown.said == []


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone_scrolls_no_page_sideways(open_page, results, scheme):
    long = results.replace({"scheduler": {"greedy": "a_very_long_name_of_a_scheduler_" * 3}})
    size = {"width": 390, "height": 844}
    shown = open_page(report(long), viewport=size, color_scheme=scheme)
    assert shown.page.evaluate("document.documentElement.scrollWidth") == 390
    # no word of a name is cut: each stands on the lines that its own signs allow
    cut = """all => all.filter(one => one.textContent !== '' && !one.textContent.includes('very_long') &&
        one.scrollWidth > one.clientWidth + 1).map(one => one.textContent)"""
    assert shown.page.locator(".name, .value, #summary th, #summary td").evaluate_all(cut) == []
    table = shown.page.locator("#summary").evaluate("one => one.scrollWidth - one.parentElement.clientWidth")
    assert table > 0  # it scrolls within its frame
    background = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
    lightness = sum(int(part) for part in background.strip("rgb()").split(","))
    assert lightness > 600 if scheme == "light" else lightness < 150


@pytest.mark.browser
def test_markup_in_names_is_inert_in_the_browser(open_page, results):
    odd = results.replace({"scheduler": {"greedy": EVIL}})
    shown = open_page(report(odd, title=EVIL, facts={EVIL: EVIL}, command=EVIL, apps=(EVIL, "web", "codec")))
    shown.page.select_option("#choice", label=EVIL)
    assert shown.page.evaluate("window.hacked") is None
    assert shown.said == []
    assert shown.page.locator("#rps .name", has_text="onerror").count() == 1


@pytest.mark.browser
def test_a_script_that_slips_into_a_section_does_not_run(open_page, results):
    shown = open_page(report(results, sections=[ReportSection("Slipped", f"<p>{EVIL}</p>")]))
    assert shown.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in text for text in shown.said)
    shown.page.select_option("#choice", label="spread")
    assert shown.page.locator(".map:visible").get_attribute("aria-label") == "Placement of spread"


@pytest.mark.browser
def test_one_scheduler_and_one_group_make_a_page(open_page):
    shown = open_page(report(rows_of({"greedy": [1.0]})))
    assert shown.said == []
    assert shown.page.locator("#rps .mean").count() == 1
    assert shown.page.locator("#choice option").count() == 1
