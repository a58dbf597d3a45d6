"""A simulated week: by hand on three nodes, by seed, and what no policy of ours may do."""

from dataclasses import replace

import numpy as np
import pytest

from baselines.greedy import place_greedy
from baselines.spread import place_spread
from metis.errors import InputError
from metis.measure.testbed import load_embedded
from metis.operate.life import Life, draw_life
from metis.operate.policies import Arriving, Descheduled, Foresighted, Hour, Rebalanced, expected
from metis.operate.settings import RebalanceSettings, WeekSettings
from metis.operate.week import simulate_week
from metis.problem.cluster import Cluster
from metis.problem.objectives import Latency, MeanRps
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

SPACE = ColocationSpace(("a", "b"), 2)
RPS = {(1, 0): (1, 0), (0, 1): (0, 1), (2, 0): (0.5, 0), (0, 2): (0, 0.8), (1, 1): (1.2, 1.2)}
TABLES = Tables(
    SPACE, {"rps": np.array([RPS.get(tuple(row), (0, 0)) for row in SPACE.counts.tolist()], float)}
)
ADMITTED = np.ones(SPACE.size, dtype=bool)
PLANS = RebalanceSettings()


def life(*containers, hours=4, down=()):
    """Containers as (application, hour of arrival, hour of leaving) on three nodes, no drift."""
    app, born, gone = np.array(containers).T
    up = np.ones((hours, 3), dtype=bool)
    for hour, node in down:
        up[hour:, node] = False
    return Life(app, born, gone, up, np.ones((hours, 2)), np.full(2, 0.01), np.full(2, 0.1))


def lived(life, allowed=ADMITTED, settings=None, **policies):
    return simulate_week(life, policies, TABLES, MeanRps(), allowed, settings or WeekSettings(slo=1.1))


def test_five_events_by_hand():
    # a and b arrive and go together; another a, alone; b leaves; node 1 fails and its a goes to node 2
    events = life((0, 0, 9), (1, 0, 2), (0, 1, 9), down=[(3, 1)])
    week = lived(events, greedy=Arriving(place_greedy))
    kept = week.kept["greedy"]
    assert kept.value == pytest.approx([1.2, 3.4 / 3, 1.0, 1.0])
    assert week.bound == pytest.approx([1.2, 3.4 / 3, 1.0, 1.0])
    assert week.share(kept) == pytest.approx([1, 1, 1, 1])
    assert kept.above == pytest.approx([1, 2 / 3, 0, 0])
    assert kept.node.tolist() == [0, -1, 2]
    assert (sum(kept.moves), kept.loops, sum(kept.waiting)) == (0, 0, 0)
    assert week.containers.tolist() == [2, 3, 2, 2]
    assert week.nodes.tolist() == [3, 3, 3, 2]


def test_one_move_mends_what_spreading_parted():
    # spread: a | a | b, then b beside the first a
    events = life((0, 0, 9), (0, 0, 9), (1, 0, 9), (1, 0, 9), hours=2)
    settings = WeekSettings(lag=0)
    week = lived(
        events,
        settings=settings,
        spread=Arriving(place_spread),
        moved=Rebalanced(place_spread, 1, PLANS),
        dear=Foresighted(place_spread, 5, 0.0, 100.0, PLANS),
    )
    assert week.kept["spread"].value == pytest.approx([1.1, 1.1])
    assert week.kept["moved"].value == pytest.approx([1.2, 1.2])
    assert week.kept["moved"].moves == [1, 0]
    assert sum(week.kept["dear"].moves) == 0  # 0.4 of an RPS does not pay for 100 hours of it


def test_what_has_no_place_waits_and_is_worth_nothing():
    together = ADMITTED.copy()
    together[SPACE.index([1, 1])] = False
    events = life((0, 0, 2), (0, 0, 2), (0, 0, 2), (1, 0, 9), hours=3)
    week = lived(events, allowed=together & (SPACE.totals < 2), greedy=Arriving(place_greedy))
    assert week.kept["greedy"].waiting == [1, 1, 0]
    assert week.kept["greedy"].value == pytest.approx([0.75, 0.75, 1.0])


class Swinging(Arriving):
    """Moves the container on node 0 to node 1, and back in the next hour."""

    def move(self, hour):
        return hour.cluster.existing[[1, 0, 2]]


def test_a_container_moved_back_within_a_day_is_a_loop():
    week = lived(life((0, 0, 9)), swinging=Swinging(place_greedy))
    kept = week.kept["swinging"]
    assert kept.moves == [1, 1, 1, 1]
    assert (kept.loops, kept.swings) == (3, 3)


def test_an_alike_container_moves_in_the_place_of_one_that_would_come_back():
    events = life((0, 0, 9), (0, 1, 9), hours=3)

    class Scripted(Arriving):
        def place(self, group, hour):
            new = np.zeros_like(hour.cluster.existing)
            new[int(hour.cluster.existing.any()), 0] = group[0]
            return new

        def move(self, hour):
            held = hour.cluster.existing.copy()
            if held[0, 0] == 1 and held[1, 0] == 1:
                held[0, 0], held[1, 0] = 0, 2
            elif held[1, 0] == 2:
                held[0, 0], held[1, 0] = 1, 1
            return held

    kept = lived(events, scripted=Scripted(place_greedy)).kept["scripted"]
    assert kept.moves == [0, 1, 1]
    assert (kept.loops, kept.swings) == (0, 1)  # the other one went, though the node swings


def test_what_is_expected_is_whole_and_fits():
    assert expected(np.array([1.4, 0.7, 0.0]), 9).tolist() == [1, 1, 0]
    assert expected(np.array([1.4, 0.7, 0.0]), 1).tolist() == [1, 0, 0]
    assert expected(np.array([1.4, 0.7, 0.0]), -1).tolist() == [0, 0, 0]


def test_room_is_kept_for_what_is_still_to_come():
    # one slot beside b, in which a is worth 1.4 more; c would lose less than elsewhere, but a is to come
    space = ColocationSpace(("a", "b", "c"), 2)
    worth = {(1, 0, 0): 1, (0, 1, 0): 1, (0, 0, 1): 1, (1, 1, 0): 2.4, (0, 1, 1): 2.1, (1, 0, 1): 0.5}
    table = np.array([worth.get(tuple(row), 0.0) for row in space.counts.tolist()])
    cluster = Cluster(space, 2, existing=np.array([[0, 1, 0], [0, 0, 0]]))
    none = np.zeros(3)
    hour = Hour(cluster, table, 1.0, none, np.array([0.5, 0, 0]), np.zeros((2, 3), dtype=bool))
    group = np.array([0, 0, 1])
    at_once, ahead = (Foresighted(place_greedy, 5, hours, 1.0, PLANS).place(group, hour) for hours in (0, 2))
    assert at_once.tolist() == [[0, 0, 1], [0, 0, 0]]
    assert ahead.tolist() == [[0, 0, 0], [0, 0, 1]]


def test_a_life_is_drawn_by_its_seed_and_always_fits():
    settings = WeekSettings(hours=60, load=0.85, node_life=40.0, repair=10.0)
    first, again, other = (draw_life(settings, 4, 3, 7, seed) for seed in (1, 1, 2))
    for name in ("app", "born", "gone", "up", "strength"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.strength, other.strength)
    assert not first.up.all()
    for hour in range(60):
        assert first.running(hour).sum() <= 3 * first.up[hour].sum()
    quiet = draw_life(replace(settings, node_life=None, drift=0.0), 4, 3, 7, 1)
    assert quiet.up.all()
    assert (quiet.strength == 1).all()


@pytest.mark.parametrize("seed", range(3))
def test_ours_never_swings_and_no_policy_loses_a_container(seed):
    testbed = load_embedded(slots=3)
    settings = WeekSettings(hours=30, drift=0.6, drift_hours=4.0, lag=0, node_life=100.0, move_cost=0.05)
    events = draw_life(settings, 5, 3, 7, seed)
    policies = {
        "metis": Foresighted(place_greedy, 5, 3.0, settings.move_cost, PLANS),
        "descheduler": Descheduled(place_greedy, 2),
    }
    allowed = np.ones(testbed.space.size, dtype=bool)
    week = simulate_week(events, policies, testbed.truth(), MeanRps(), allowed, settings)
    ours = week.kept["metis"]
    assert sum(ours.moves) > 0
    assert (ours.loops, ours.swings) == (0, 0)
    for kept in week.kept.values():
        assert (week.share(kept) <= 1 + 1e-9).all()
        assert sum(kept.waiting) == 0
        there = (events.born <= 29) & (events.gone > 29)
        assert ((kept.node >= 0) == there).all()


def test_an_objective_of_latency_is_refused():
    with pytest.raises(InputError, match="a week models RPS"):
        simulate_week(life((0, 0, 9)), {}, TABLES, Latency(), ADMITTED, WeekSettings())
