"""The commands of docs/rebalance.md, one after another, on little."""

import json
import shlex
from pathlib import Path

from flows.command.main import main
from tests.docs.test_pages import DOCS, commands


def test_the_page_leads_from_what_runs_to_a_plan(tmp_path, monkeypatch, capfd, full_profile):
    monkeypatch.chdir(tmp_path)
    shared = ["cluster.nodes=9", "cluster.slots=3", "profile=file", f"profile.path={full_profile}"]
    shared += ["simulator=table", "tracking.orchestrate=false"]
    swapped = {"group.size=400": "group.size=20", "moves=50": "moves=4", "moves=20": "moves=9"}
    swapped |= {
        "group.counts={Redis: 10, ISR: 4}": "group.counts={Redis: 2}",
        "why_not=Redis-12": "why_not=Redis-1",
    }
    lines = [
        shlex.split(line)[1:]
        for line in commands(DOCS / "rebalance.md")
        if "existing=" in line or "out=r" in line
    ]
    assert len(lines) == 9
    for words in lines:
        typed = [swapped.get(word, word) for word in words if not word.startswith("cluster.nodes")]
        given = [word for word in shared if "orchestrate" not in word or words[0] == "run"]
        assert main([*typed, *given]) == 0, (typed, capfd.readouterr().err)
    plan = json.loads(Path("plan.json").read_text())
    assert plan["moves"] <= 4
    assert sum(sum(held.values()) for held in plan["placement"].values()) == 20
