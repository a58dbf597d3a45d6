"""Stage profile: measure co-locations on the testbed, or read a file of measurements."""

from flows.build import measure_profile
from flows.work import Work
from metis.profile import describe_profile


def run(work: Work) -> None:
    """Write `profile.npz` and `profile.json`."""
    profile = measure_profile(work.settings)
    profile.save(work.folder / "profile.npz")
    described = describe_profile(profile)
    work.write_json("profile.json", described)
    work.recording.metrics({"colocations": len(profile), "coverage": described["coverage"]})
