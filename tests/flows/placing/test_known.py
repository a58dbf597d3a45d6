"""What verbs that place know of the profile under the simulator that they place with."""

import numpy as np

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
