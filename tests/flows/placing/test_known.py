"""What verbs that place know of the profile under the simulator that they place with."""

from dataclasses import replace

import numpy as np
import pytest

from flows.command import placed
from flows.placing.known import unmeasured_apps, unmeasured_line
from metis.measure.profile import make_profile


def test_applications_that_the_profile_never_measured_are_named(memo_of, tmp_path):
    counts = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]])
    rps = np.where(counts > 0, 1.0, np.nan)
    make_profile(("A", "B", "C"), 3, counts, {"rps": rps}, {}).save(tmp_path / "part.npz")
    memo = memo_of(f"profile.path={tmp_path / 'part.npz'}")
    memo.obtain("profile")
    assert unmeasured_apps(memo) == ("C",)
    assert unmeasured_line(["C"]).startswith("never measured: C: ")


def test_of_a_complete_profile_none_is(memo_of):
    memo = memo_of()
    memo.obtain("profile")
    assert unmeasured_apps(memo) == ()


@pytest.mark.parametrize(
    ("live", "chosen", "by"),
    [(True, False, "optimum"), (True, True, "metis"), (False, False, "metis")],
)
def test_a_small_group_of_a_live_cluster_is_placed_by_the_optimum(memo_of, live, chosen, by, monkeypatch):
    """Four containers on two nodes trained a learner first, for 244 s."""
    asked = []

    def decided(memo, settings, *given):
        asked.append(settings.scheduler)
        raise LookupError

    monkeypatch.setattr(placed, "_decision", decided)
    memo = memo_of("scheduler=metis", "group.size=4", "value.hidden=[5]")  # trained by no other test
    if live:
        cluster = replace(memo.settings.cluster, kind="lab", name="never-up")
        memo = replace(memo, settings=replace(memo.settings, cluster=cluster))
    with pytest.raises(LookupError):
        placed.place(memo, chosen=chosen)
    assert asked == [by]
