"""Stage rebalance: its output, and its place in the chain."""

import json

import numpy as np
import pytest

from flows.placing.problem import check_problem
from flows.placing.rebalancing import check_rebalancing
from flows.report.frontier import frontier_section
from flows.stages.chain import all_steps, check_problems
from flows.stages.rebalance import STAGE
from metis.errors import InputError
from tests.flows.conftest import settings_of

APPS = "Redis,MMS,Checksum,YCSB-A,YCSB-B,SceneDetect,ISR"


@pytest.fixture
def running(tmp_path):
    """The words that name what runs on the six nodes of the small chain."""
    path = tmp_path / "running.csv"
    path.write_text(
        f"node,{APPS}\n0,2,1,0,0,0,0,0\n1,0,0,2,1,0,0,0\n"
        + "".join(f"{n},0,0,0,0,0,0,{int(n == 2)}\n" for n in range(2, 6))
    )
    return [f"existing={path}", "stages=[rebalance]"]


def test_it_writes_the_frontier_and_the_plan_proposed(memo_of, small, do, running):
    simulator = memo_of().obtain("simulator")
    record = do(STAGE, settings_of(*small, *running, "moves=[0,2]"), {"simulator": simulator})
    document = json.loads((record.folder / "rebalance.json").read_text())
    assert [point["limit"] for point in document["frontier"]] == [0, 2]
    assert not {"seconds", "cpu_seconds"} & set(document["frontier"][0])
    with np.load(record.folder / "placement.npz") as stored:
        assert stored["placement"].sum() == 7
    section = frontier_section(document)
    assert "Proposed:" in section.html
    assert "<svg" in section.figure_svg


def test_it_belongs_to_a_run_only_where_it_is_asked_for(small, running):
    asked = {step.name: step for step in all_steps(settings_of(*small, *running))}
    assert "rebalance" in asked["report"].inputs
    assert "rebalance" not in {step.name for step in all_steps(settings_of(*small))}


def test_the_default_group_does_not_arrive_and_need_not_fit(small, running):
    check_problems(settings_of(*small, *running, "group.counts=null", "group.size=200"))
    with pytest.raises(InputError, match="do not fit"):
        check_problems(settings_of(*small, *running, "group.counts=[200,0,0,0,0,0,0]"))


def test_a_group_that_only_moves_make_room_for_is_not_refused(small, running):
    """Six nodes, of which two are full: one of Redis on each needs a container of theirs to move."""
    words = [*small, *running, "group.counts=[5,0,0,0,0,0,0]", "rules.at_most={Redis:1}"]
    check_problems(settings_of(*words, "moves=2"))
    with pytest.raises(InputError, match="5 containers on 6 nodes of 3 slots beside the 7 containers that"):
        check_problem(settings_of(*words))


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (["existing=null"], "existing: give what runs"),
        (["moves=[]"], r"moves \[\]: give a number"),
        (["why=node-1", "why_not=Redis-1"], "why and why_not: give one of them"),
        (["cluster.nodes=1"], "existing"),
    ],
)
def test_what_cannot_be_rebalanced_is_refused_before_anything_is_made(small, running, given, refused):
    with pytest.raises(InputError, match=refused):
        check_rebalancing(settings_of(*small, *running, *given), arrives=False)
    with pytest.raises(InputError, match=refused):
        check_problems(settings_of(*small, *running, *given))
