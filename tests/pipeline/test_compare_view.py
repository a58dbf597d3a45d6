"""`metis ui`: to whom it responds; its compare view in a real browser: who placed, how well, how long.

`METIS_SCREENSHOT=docs/img/compare.png` keeps the picture that the docs show.
"""

import http.client
import json
import os
import shutil
import time
import urllib.request
from urllib.parse import urlsplit

import pytest
from mlflow import MlflowClient

from flows.command.landing import is_installed
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.engine.database import sqlite_uri
from flows.prefect.run import run_chain
from tests.pipeline.shared_servers import free_port, plain_environment, started, wait_for
from tests.pipeline.test_chain import SMALL

ASKED = (("greedy+local_search", 20, 0), ("greedy", 24, 1))
# it asks its own server for users, who has none, and for the assistant, which is off
OF_MLFLOW = ("/users/current", "/mlflow/assistant/")
ARTIFACT = "[data-testid=artifact-tree-node]"
LIST = ".ReactVirtualized__Grid"  # of numbers; it draws only the lines it is scrolled to
# what stands on the line of the number called `name`, where that line is drawn
BESIDE = """name => {
  const named = [...document.querySelectorAll("a[title='Plot chart']")];
  const own = named.find(line => line.innerText.trim() === name)?.getBoundingClientRect();
  if (!own) return [];
  const middle = own.top + own.height / 2;
  return [...document.querySelectorAll(".ReactVirtualized__Grid *")]
    .filter(each => !each.children.length && each.innerText?.trim())
    .map(each => [each.innerText.trim(), each.getBoundingClientRect()])
    .filter(([, box]) => box.left > own.right && box.top < middle && middle < box.bottom)
    .sort((one, other) => one[1].left - other[1].left).map(([text]) => text);
}"""
PATIENCE = 5  # times: chromium drops what it loads when a network interface of the machine comes or goes


@pytest.fixture(scope="module")
def runs(tmp_path_factory, empty_database):
    """Two runs of the chain; their folder, and the run of one scheduler in each."""
    folder = tmp_path_factory.mktemp("compare")
    shutil.copy(empty_database, folder)
    local = [f"tracking.path={folder}", "tracking.orchestrate=false", "stages=[evaluate]"]
    found = []
    for scheduler, size, seed in ASKED:
        words = [*SMALL, *local, f"schedulers=[{scheduler}]", f"group.size={size}", f"seed={seed}"]
        outcome = run_chain(validated(compose_plain(words)))
        client = MlflowClient(sqlite_uri(folder))
        parent = client.get_run(outcome.records["evaluate"].run_id)
        chosen = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}' and params.scheduler = '{scheduler}'"
        found += client.search_runs([parent.info.experiment_id], chosen)
    return folder, found


@pytest.fixture(scope="module")
def address(runs, tmp_path_factory):
    """That of `metis ui` on these runs."""
    log, port = tmp_path_factory.mktemp("ui") / "ui.log", free_port()
    words = ["flows.command.main", "ui", f"tracking.path={runs[0]}", f"tracking.port={port}"]
    with started(words, plain_environment(), log) as process:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        process.wait(timeout=60)


def ask(address, path, body, **headers):
    """Status of a request whose headers are as they are given."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
    status = connection.getresponse().status
    connection.close()
    return status


def test_neither_another_name_for_this_machine_nor_another_page_is_served(address):
    """DNS rebinding, and any web page that sends a request."""
    path, own = "/ajax-api/2.0/mlflow/experiments/create", urlsplit(address).netloc
    port = urlsplit(address).port
    assert ask(address, path, {"name": "own"}, Host=own) == 200
    assert ask(address, path, {"name": "same"}, Host=own, Origin=f"http://{own}") == 200
    assert ask(address, path, {"name": "page"}, Host=own, Origin="http://evil.example") == 403
    for host in (f"rebound.example:{port}", "192.168.1.7", "127.0.0.1.evil.example"):
        assert ask(address, path, {"name": host}, Host=host) == 403


def test_it_opens_on_the_schedulers_of_the_runs(address):
    if not is_installed():
        pytest.skip("MLflow finds our application by an entry point: install metis again")
    with urllib.request.urlopen(f"{address}/", timeout=60) as page:
        assert b"viewStateShareKey=metis" in page.read()
    own = urlsplit(address).netloc
    assert ask(address, "/ajax-api/3.0/mlflow/assistant/message", {}, Host=own) == 404


class View:
    """The compare view of some runs, and everything that went wrong on the way."""

    def __init__(self, browser, address, runs):
        self.page = browser.new_page(viewport={"width": 1200, "height": 900})
        self.errors, self.responses = [], []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._said)
        self.page.on("requestfailed", lambda request: self.errors.append(f"{request.url} {request.failure}"))
        self.page.on("response", lambda response: self.responses.append((response.status, response.url)))
        ids, experiment = [run.info.run_id for run in runs], runs[0].info.experiment_id
        self._url = f"{address}/#/compare-runs?runs={json.dumps(ids)}&experiments={json.dumps([experiment])}"

    def _said(self, message):
        if message.type == "error" and not any(path in str(message.location) for path in OF_MLFLOW):
            self.errors.append(f"{message.text} {message.location}")

    def open(self):
        from playwright.sync_api import Error

        for again in range(PATIENCE):
            self.errors.clear()
            self.responses.clear()
            try:
                self.page.goto("about:blank")
                self.page.goto(self._url)
                self.page.get_by_text("metis.versions").wait_for(timeout=60_000)  # the last of its tables
                self.page.locator(ARTIFACT).first.wait_for(timeout=60_000)
            except Error as error:
                self.errors.append(str(error))
            if not any("ERR_NETWORK_CHANGED" in error for error in self.errors):
                return self
            time.sleep(again)
        return self

    def told(self, name):
        """What stands beside a parameter or a detail, for each run in the order of the runs asked for."""
        heading = self.page.locator("main th").get_by_text(name, exact=True)
        return [text.strip() for text in heading.locator("xpath=ancestor-or-self::tr/td").all_inner_texts()]

    def numbers(self, name):
        """What stands beside a number, for each run."""
        self.scroll(-5000)
        for _ in range(20):
            shown = self.page.evaluate(BESIDE, name)
            if len(shown) == len(ASKED):
                return [float(text) for text in shown]
            self.scroll(135)
        return []

    def scroll(self, pixels):
        """Turn the wheel over the list of numbers."""
        self.page.locator(LIST).last.hover()
        for turned in (pixels, 1):  # the names follow one turn of the wheel behind
            self.page.mouse.wheel(0, turned)
            self.page.wait_for_timeout(200)

    def keep(self, path):
        """A picture of its tables, without what MLflow shows on both sides of them."""
        self.page.set_viewport_size({"width": 1400, "height": 1420})
        self.scroll(-5000)
        self.scroll(135)  # from the worst gap to the seconds
        self.page.get_by_text("Run details").evaluate("one => one.scrollIntoView()")
        self.page.wait_for_timeout(1000)
        box = self.page.locator(".CompareRunView").bounding_box()
        clip = {"x": box["x"] - 12, "y": 0, "width": box["width"] + 24, "height": 1420}
        self.page.screenshot(path=path, clip=clip)


@pytest.fixture(scope="module")
def view(browser, address, runs):
    opened = View(browser, address, runs[1]).open()
    yield opened
    opened.page.close()


@pytest.mark.browser
def test_it_answers_which_scheduler_which_size_which_seed(view):
    schedulers, sizes, seeds = zip(*ASKED, strict=True)
    assert view.told("scheduler") == list(schedulers)
    assert view.told("containers") == list(map(str, sizes))
    assert view.told("seed") == list(map(str, seeds))
    names = view.told("Run Name:")
    assert names == [f"{name}, {size} on 9 nodes, seed {seed}" for name, size, seed in ASKED]


@pytest.mark.browser
@pytest.mark.parametrize("number", ["rps", "true_rps", "ratio", "true_ratio", "gap", "seconds"])
def test_it_answers_how_good_and_how_long(view, runs, number):
    logged = [run.data.metrics[number] for run in runs[1]]
    assert view.numbers(number) == pytest.approx(logged, rel=2e-3, abs=6e-4)


@pytest.mark.browser
def test_it_shows_both_placements(view):
    view.page.locator(ARTIFACT).get_by_text("placement.svg", exact=True).dispatch_event("click")
    pictures = view.page.locator("main img[alt='placement.svg']")
    pictures.nth(1).wait_for(timeout=30_000)
    widths = pictures.evaluate_all("all => all.map(one => one.naturalWidth)")
    assert len(widths) == 2
    assert all(width > 0 for width in widths)


@pytest.mark.browser
def test_nothing_of_ours_goes_wrong_on_the_way(view):
    assert view.errors == []
    refused = [url for status, url in view.responses if status >= 400]
    assert [url for url in refused if not any(path in url for path in OF_MLFLOW)] == []
    if os.environ.get("METIS_SCREENSHOT"):
        view.keep(os.environ["METIS_SCREENSHOT"])
