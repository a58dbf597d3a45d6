"""The commands of docs/rebalance.md, one after another, on little."""

import json
import shlex
from pathlib import Path

from flows.command.main import main
from tests.docs.test_pages import DOCS, commands

ELSEWHERE = {"move_cost", "group.counts", "why_not", "cluster"}


def test_the_page_leads_from_what_runs_to_a_plan(tmp_path, monkeypatch, capfd, full_profile, tracking):
    monkeypatch.chdir(tmp_path)
    shared = ["cluster.nodes=9", "cluster.slots=3", "profile=file", f"profile.path={full_profile}"]
    shared += ["simulator=table", tracking]
    swapped = {"group.size=400": "group.size=20", "moves=50": "moves=4"}
    lines = [shlex.split(line)[1:] for line in commands(DOCS / "rebalance.md")]
    # the others have function-level tests; that they compose is seen in test_pages
    walked = [words for words in lines if words[0] != "run" and len(words) > 2]
    walked = [words for words in walked if not ELSEWHERE & {word.partition("=")[0] for word in words}]
    # a live cluster, and a folder of the reader's own
    apart = {"existing=live", "problem=problem", "${LAB[@]}"}
    walked = [words for words in walked if words[0] != "lab" and not apart & set(words)]
    assert len(walked) == 4
    for words in walked:
        typed = [swapped.get(word, word) for word in words if not word.startswith("cluster.nodes")]
        assert main([*typed, *shared]) == 0, (typed, capfd.readouterr().err)
    plan = json.loads(Path("plan.json").read_text())
    assert plan["moves"] <= 4
    assert sum(sum(held.values()) for held in plan["placement"].values()) == 20
