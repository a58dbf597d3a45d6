"""The operator's walk in docs/real-cluster.md: every verb accepts the settings that it is given there."""

import re
import shlex
from pathlib import Path

import pytest

import flows
from flows.command.commands import VERBS, _module
from flows.command.request import request_of

PAGE = Path(flows.__file__).parents[1] / "docs" / "real-cluster.md"
LIST = '"${SITE[@]}"'  # how its commands name the settings that they share
NO_CLUSTER = "Learn from what runs anyway"  # a section whose commands are given no live cluster
MEASURING, EXPLORING = "profile.choose=all", "profile=explore explore.budget=60"


def walk():
    """The commands of the page, as words."""
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ")
    text = re.sub(rf"^## {NO_CLUSTER}$.*?(?=^## )", "", text, flags=re.MULTILINE | re.DOTALL)
    site = re.search(r"^SITE=\((.*?)\)$", text, re.MULTILINE | re.DOTALL)
    assert site
    measuring = " ".join(site[1].split())
    assert MEASURING in measuring
    exploring = measuring.replace(MEASURING, EXPLORING).replace("simulator=table", "simulator=ensemble")
    lines = [line for line in text.splitlines() if line.startswith("metis ") and line.split()[1] in VERBS]
    lines += [f"metis undeploy {LIST}"]
    whole = [line.replace(LIST, words) for line in lines for words in (measuring, exploring)]
    return [shlex.split(line, comments=True) for line in dict.fromkeys(whole)]


@pytest.mark.parametrize("words", walk(), ids=" ".join)
def test_a_command_of_the_walk_is_accepted(words):
    _, verb, *given = words
    settings = request_of(verb, _module(verb).VERB, given).settings
    assert settings.cluster.live


def test_the_walk_goes_through_all_that_an_operator_does():
    verbs = {words[1] for words in walk()}
    assert {"cluster", "run", "place", "explain", "deploy", "watch", "lab"} <= verbs
