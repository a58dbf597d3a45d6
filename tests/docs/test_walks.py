"""The walks of CONTRIBUTING.md: what they say to type works as it stands there."""

import re
import sys
import textwrap
from types import ModuleType

import numpy as np
import pytest
import yaml

from baselines.contract import Materials
from baselines.registry import SCHEDULERS, make_scheduler
from metis.problem import objectives
from metis.problem.cluster import Cluster
from metis.problem.evaluation import value
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from tests.docs.test_pages import DOCS

GUIDE = (DOCS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
SPACE = ColocationSpace(("web", "db"), 3)
TABLES = Tables(SPACE, {"rps": np.where(SPACE.counts > 0, 1.0, 0.0)})
CLUSTER = Cluster(SPACE, 3)


def block(heading):
    """The first indented block of code below a heading that is no command."""
    found = re.search(r"^    ```\w+[^\n]*\n(.*?)^    ```", GUIDE.partition(f"## {heading}\n")[2], re.M | re.S)
    assert found, heading
    return textwrap.dedent(found[1])


def test_the_objective_of_the_walk_values_a_placement(monkeypatch):
    made = dict(vars(objectives))
    exec(block("Add an objective"), made)
    monkeypatch.setitem(objectives.OBJECTIVES, "apart", made["Apart"])
    found = re.search(r'title="conf/objective/apart.yaml"\n(.*?)```', GUIDE, re.S)
    apart = objectives.make_objective({**yaml.safe_load(found[1]), "penalty": 0.3})
    assert apart.name == "apart0.3"
    group = np.array([2, 2])
    worth = apart.bind(group, CLUSTER, TABLES)
    placement = np.array([[2, 1], [0, 1], [0, 0]])  # two of four containers share a node with their like
    assert value(placement, CLUSTER, worth) == pytest.approx(1 - 0.3 * 2 / 4)


def test_the_scheduler_of_the_walk_fills_one_node_after_another(monkeypatch):
    made = ModuleType("baselines.pack")
    exec(block("Add a scheduler"), vars(made))
    monkeypatch.setitem(sys.modules, "baselines.pack", made)
    monkeypatch.setitem(SCHEDULERS, *re.search(r'`"(pack)": "([\w.]+)",`', GUIDE).groups())
    placed = make_scheduler("pack", Materials(TABLES)).place(np.array([2, 2]), CLUSTER, np.zeros(SPACE.size))
    assert placed.placement.tolist() == [[2, 1], [0, 1], [0, 0]]
