"""The training loop, on a learner that counts."""

import numpy as np
import pytest

from metis.errors import InputError, SurroundingsError
from metis.learn.loop import Budget, train


class Counter:
    """Learns to count: its loss is 1 / steps. `break_at` makes a loss NaN, `stop_at` interrupts."""

    def __init__(self, break_at=None, stop_at=None):
        self.value = np.zeros(2)
        self.calls = 0
        self.break_at, self.stop_at = break_at, stop_at

    def step(self):
        self.calls += 1
        if self.stop_at is not None and self.value[0] + 1 == self.stop_at:
            self.stop_at = None
            raise KeyboardInterrupt
        self.value += 1
        loss = np.nan if self.value[0] == self.break_at else 1 / self.value[0]
        return {"loss": float(loss), "episodes": 5.0}

    def state(self):
        return {"value": self.value.copy()}

    def restore(self, state):
        self.value = np.array(state["value"])


class Clocks:
    """A wall clock that moves on by `step` whenever it is read, and a processor clock twice as fast."""

    step = 1.0

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        self.now += self.step
        return self.now

    def process_time(self):
        return 2 * self.now


@pytest.fixture
def clocks(monkeypatch):
    made = Clocks()
    monkeypatch.setattr("metis.learn.loop.time", made)
    return made


def test_a_curve_of_every_step():
    seen = []
    curve = train(Counter(), Budget(4), progress=seen.append)
    assert [row["loss"] for row in curve] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    assert [row["episodes"] for row in curve] == [5, 10, 15, 20]
    assert [(row["step"], row["steps"]) for row in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_wall_and_processor_time_stand_in_every_row_and_add_up_over_sittings(tmp_path, clocks):
    path = tmp_path / "c.npz"
    first = train(Counter(), Budget(2), key="k", checkpoint=path)
    assert all(row["seconds"] > 0 and row["cpu_seconds"] == 2 * row["seconds"] for row in first)
    curve = train(Counter(), Budget(4), key="k", checkpoint=path)
    assert curve[:2] == first
    assert curve[2]["seconds"] > first[-1]["seconds"]
    assert curve[3]["cpu_seconds"] == 2 * curve[3]["seconds"]


def test_the_judge_is_called_at_intervals_and_at_the_end():
    curve = train(Counter(), Budget(5), judge=lambda: {"rps": 1.0}, judge_every=2)
    assert [i for i, row in enumerate(curve, start=1) if "rps" in row] == [2, 4, 5]
    curve = train(Counter(), Budget(3), judge=lambda: {"rps": 1.0})
    assert [i for i, row in enumerate(curve, start=1) if "rps" in row] == [3]


def test_seconds_end_it_early(clocks):
    curve = train(Counter(), Budget(10**9, seconds=30))
    assert curve[-2]["seconds"] < 30 <= curve[-1]["seconds"] + clocks.step


def test_seconds_count_over_all_sittings(tmp_path, clocks):
    path = tmp_path / "c.npz"
    whole = train(Counter(), Budget(10**9, seconds=30), key="k", checkpoint=path)
    again = train(Counter(), Budget(10**9, seconds=30), key="k", checkpoint=path)
    assert len(again) <= len(whole) + 1  # the last row is written a step before the limit is reached


def test_cpu_seconds_end_it_early_and_the_share_of_the_budget_is_reported(clocks):
    rows = []
    curve = train(Counter(), Budget(cpu_seconds=30), progress=rows.append)
    assert curve[-2]["cpu_seconds"] < 30 <= curve[-1]["cpu_seconds"] + 2 * clocks.step
    assert rows[0]["share"] == pytest.approx(rows[0]["cpu_seconds"] / 30)
    assert [row["share"] for row in rows] == sorted(row["share"] for row in rows)


@pytest.mark.parametrize(("steps", "seconds"), [(0, None), (-1, None), (5, 0), (5, -1.0), (None, None)])
def test_refuses_budgets_of_nothing(steps, seconds):
    with pytest.raises(InputError, match="must be positive"):
        Budget(steps, seconds)


def test_a_loss_that_is_no_number_stops_at_once_and_keeps_the_last_good_state(tmp_path):
    path = tmp_path / "c.npz"
    train(Counter(), Budget(2), key="k", checkpoint=path)
    learner = Counter(break_at=4)
    with pytest.raises(SurroundingsError, match=r"training step 4: loss nan; the last good .*c\.npz"):
        train(learner, Budget(9), key="k", checkpoint=path, checkpoint_every=1000)
    assert learner.calls == 2
    fresh = Counter()
    curve = train(fresh, Budget(3), key="k", checkpoint=path)
    assert (fresh.calls, len(curve)) == (1, 3)


def test_training_goes_on_from_its_checkpoint(tmp_path):
    path = tmp_path / "c.npz"
    first = train(Counter(), Budget(3), key="k", checkpoint=path)
    learner = Counter()
    curve = train(learner, Budget(5), key="k", checkpoint=path)
    assert learner.calls == 2
    assert learner.value.tolist() == [5, 5]
    assert curve[:3] == first
    assert [row["episodes"] for row in curve] == [5, 10, 15, 20, 25]
    done = Counter()
    assert train(done, Budget(5), key="k", checkpoint=path) == curve
    assert done.calls == 0


def test_an_interruption_loses_nothing(tmp_path):
    path = tmp_path / "c.npz"
    with pytest.raises(KeyboardInterrupt):
        train(Counter(stop_at=4), Budget(6), key="k", checkpoint=path, checkpoint_every=1000)
    learner = Counter()
    assert len(train(learner, Budget(6), key="k", checkpoint=path)) == 6
    assert learner.calls == 3


@pytest.mark.parametrize("spoil", ["another key", "damage", "emptiness"])
def test_a_checkpoint_that_is_not_ours_costs_the_training_only(tmp_path, spoil):
    path = tmp_path / "c.npz"
    train(Counter(), Budget(3), key="k", checkpoint=path)
    if spoil == "damage":
        path.write_bytes(path.read_bytes()[:-50])
    if spoil == "emptiness":
        path.write_bytes(b"")
    learner = Counter()
    curve = train(learner, Budget(2), key="other" if spoil == "another key" else "k", checkpoint=path)
    assert (learner.calls, len(curve)) == (2, 2)
