"""What the golden tests share: one thread for linear algebra, and one small chain that was run."""

import json
import shutil
from importlib import import_module
from types import SimpleNamespace

import pytest
import scipy.linalg
import sklearn.ensemble
from threadpoolctl import threadpool_limits

from tests.golden import subjects

LOADED = (scipy.linalg, sklearn.ensemble)  # their libraries must be there before they can be limited
SMALL = [
    "experiment=quick",
    "cluster.nodes=9",
    "cluster.slots=4",
    "group.size=20",
    "groups.count=2",
    "simulator.trees=10",
    "simulator.held_out=0.1",
    "schedulers=[greedy,greedy+local_search,spread,metis]",
    "value.steps=2",
    "value.max_nodes=9",
    "value.episodes=16",
    "value.updates=4",
    "value.hidden=[16,16]",
    "dealer.steps=2",
    "dealer.episodes=4",
    "profile=testbed",
    "simulator=boosted",
]


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Sums come in one order, whatever processors the machine has."""
    with threadpool_limits(limits=1):
        yield


@pytest.fixture(scope="package")
def chain(tmp_path_factory, empty_database):
    """A folder, the words of the small chain in it, and what reached its report when it was run there."""
    folder = tmp_path_factory.mktemp("golden")
    (folder / "runs").mkdir()
    shutil.copy(empty_database, folder / "runs")
    words = [*SMALL, f"tracking.path={folder / 'runs'}", "tracking.orchestrate=false"]
    shown = []

    def capture(data, path):
        shown.append(data)
        return write(data, path)

    write = subjects.report_stage.write_report
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subjects.report_stage, "write_report", capture)
        outcome = subjects.run_chain(subjects.validated(subjects.compose_plain(words)))
    return SimpleNamespace(folder=folder, words=words, outcome=outcome, data=shown[0])


def with_effect(verb, words):
    """The words without those that a verb refuses because they change nothing for it."""
    module = import_module(f"flows.command.verbs.{verb.replace('-', '_')}")
    settings = subjects.validated(subjects.compose_plain([w for w in words if "=" in w]))
    kept = []
    for word in words:
        try:
            subjects.refuse_without_effect(verb, module.VERB, [word], settings)
        except subjects.InputError:
            continue
        kept.append(word)
    return kept


@pytest.fixture
def document(chain, capfd):
    """Run a verb in this process, in the chain's folder; the JSON document that it prints, and its code."""

    def run(verb, *words, code=0):
        capfd.readouterr()
        given = subjects.main([verb, *with_effect(verb, words), "output=json"])
        out, err = capfd.readouterr()
        assert given in (code if isinstance(code, tuple) else (code,)), err
        return json.loads(out)

    return run
