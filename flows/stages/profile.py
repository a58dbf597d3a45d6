"""Stage profile: measure co-locations on the testbed, read a file, or take what exploring measured."""

from flows.build import measure_profile
from flows.work import Work
from metis.profile import describe_profile, load_profile


def run(work: Work) -> None:
    """Write `profile.npz` and `profile.json`."""
    explored = work.inputs.get("explore")
    profile = load_profile(explored / "profile.npz") if explored else measure_profile(work.settings)
    profile.save(work.folder / "profile.npz")
    described = describe_profile(profile)
    work.write_json("profile.json", described)
    work.recording.metrics({"colocations": len(profile), "coverage": described["coverage"]})
