"""Stage profile: measure co-locations on the testbed, read a file, or take what exploring measured."""

from flows.build import measure_profile
from flows.work import Work
from metis.measure.profile import Profile, describe_profile
from metis.measure.profile_files import load_profile


def run(work: Work) -> None:
    """Write `profile.npz` and `profile.json`; of a live cluster also `runs.csv`."""
    profile = _profile(work)
    profile.save(work.folder / "profile.npz")
    described = describe_profile(profile)
    work.write_json("profile.json", described)
    work.recording.metrics({"colocations": len(profile), "coverage": described["coverage"]})


def _profile(work: Work) -> Profile:
    explored = work.inputs.get("explore")
    if explored:
        return load_profile(explored / "profile.npz")
    if work.settings.testbed.kind == "swarm" and not work.settings.profile.path:
        from flows.swarmed import profile_swarm

        return profile_swarm(work)
    return measure_profile(work.settings)
