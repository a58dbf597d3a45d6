"""Every scheduler, learners after a short training, places and is worth what it did when frozen."""

import numpy as np
import pytest

from tests.golden import subjects
from tests.golden.frozen import check

NODES, SIZES = 12, (20, 40, 70)
SHORT = [
    "value.steps=3",
    "value.episodes=24",
    "value.updates=8",
    "value.minibatch=128",
    "value.max_nodes=4",
    "value.hidden=[16,16]",
    "dealer.steps=3",
    "medea.draws=1",
    "dealer.episodes=8",
    "paper.nodes=3",
    "paper.ranges=1",
    "paper.steps=2",
    "paper.learn.episodes=8",
    *(
        f"{section}.{key}"
        for section in ("highlevel", "vanilla_rl", "divide_conquer")
        for key in ("steps=3", "seconds=null", "learn.episodes=5", "learn.hidden=16")
    ),
    "highlevel.learn.demonstrations=5",
]
NAMES = [*subjects.ENTRIES, "greedy+local_search"]
EXACT = ("optimum", "greedy+local_search")
CASES = {
    "existing": {"existing": True},
    "never_together": {"rules": subjects.Rules(never_together=[("Redis", "Checksum"), ("ISR", "ISR")])},
    "at_most": {"rules": subjects.Rules(at_most={"MMS": 1, "YCSB-A": 2})},
    "only_beside": {"rules": subjects.Rules(only_beside={"SceneDetect": ["MMS", "Checksum"]})},
    "slo": {"objective": subjects.SloShare(0.95)},
    "free_nodes": {"objective": subjects.FreeNodes(1.0)},
    "latency": {"objective": subjects.Latency()},
    "all_at_once": {
        "existing": True,
        "rules": subjects.Rules([("Redis", "Checksum")], {"MMS": 4}, {"ISR": ["Redis", "MMS"]}),
    },
}


@pytest.fixture(scope="module")
def settings():
    return subjects.validated(subjects.compose_plain(SHORT))


@pytest.fixture(scope="module")
def tables():
    return subjects.load_embedded(slots=8, noise=0.0).truth(("rps", "speed"))


@pytest.fixture(scope="module")
def groups(tables):
    rng = np.random.default_rng(7)
    return [subjects.draw_groups(1, size, len(tables.space.apps), rng)[0] for size in SIZES]


@pytest.fixture(scope="module")
def weights(settings, tables, tmp_path_factory):
    """Trained weights by learner, each trained once."""
    made = {}

    def trained(learner):
        if learner not in made:
            folder = tmp_path_factory.mktemp(learner)
            made[learner] = subjects.train_weights(settings, learner, tables, folder, subjects.no_progress)
        return made[learner][0]

    trained.curve = lambda learner: (trained(learner), made[learner][1])[1]
    return trained


@pytest.fixture(scope="module")
def placed(settings, tables, weights):
    """Placement and value of a scheduler for a group: JSON-able."""

    def place(name, group, existing=False, rules=None, objective=None):
        held = np.random.default_rng(11).multinomial(2, np.full(7, 1 / 7), NODES) if existing else None
        allowed = (rules or subjects.Rules()).mask(tables.space)
        cluster = subjects.Cluster(tables.space, NODES, existing=held, allowed=allowed)
        worth = (objective or subjects.MeanRps()).bind(group, cluster, tables)
        scheduler = subjects.scheduler_for(settings, name, tables, weights)
        placement = scheduler.place(group, cluster, worth).placement
        value = float(worth[tables.space.index(placement + cluster.existing)].sum())
        return {"value": value, "placement": placement}

    return place


def is_learned(name):
    return name in subjects.ENTRIES and subjects.ENTRIES[name].learns


def test_the_names_are_the_same():
    check("schedulers/names", {name: vars_of(entry) for name, entry in subjects.ENTRIES.items()})


def vars_of(entry):
    return {"sections": entry.sections, "learner": entry.learner, "learns": entry.learns}


@pytest.mark.parametrize("name", NAMES)
def test_three_groups(name, placed, groups):
    found = {f"{group.sum()}": placed(name, group) for group in groups}
    check(f"schedulers/{name}", found, learned=is_learned(name))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", EXACT)
def test_cases(name, case, placed, groups):
    check(f"schedulers/{name} {case}", placed(name, groups[1], **CASES[case]))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in EXACT])
def test_beside_existing_containers_and_under_rules(name, placed, groups):
    check(
        f"schedulers/{name} all_at_once",
        placed(name, groups[1], **CASES["all_at_once"]),
        learned=is_learned(name),
    )


@pytest.mark.parametrize("learner", ["value", "paper"])
def test_learning_curves(learner, weights):
    rows = [{key: one for key, one in row.items() if "seconds" not in key} for row in weights.curve(learner)]
    check(f"schedulers/curve of {learner}", [rows[0], rows[-2]], learned=True)
