"""Stage profile: measure co-locations on the testbed, read a file, or take what exploring measured."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flows.configuration.objects import measure_profile
from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.declaration import Stage
from flows.engine.work import Work
from flows.stages.shared import (
    LIVE,
    MEASURED,
    TESTBED,
    asks_for,
    check_files,
    hosts_ready,
    is_profiled,
    measures_live,
    packaged_coefficients,
    workload_digests,
)

if TYPE_CHECKING:
    from metis.measure.profile import Profile


NOISY, NOISY_ONCE = 0.1, 0.5  # spread of repeated runs, in the median and at most, that goes without a word


def run(work: Work) -> None:
    """Write `profile.npz` and `profile.json`; of a live cluster also `runs.csv`."""
    from metis.measure.profile import describe_profile

    profile = _profile(work)
    profile.save(work.folder / "profile.npz")
    described = describe_profile(profile)
    work.write_json("profile.json", described)
    if noisy := noise_line(described):
        say(f"  {noisy}")
    if _by_hosts(work.settings) and (wide := precision_line(described, work.settings.load.precision)):
        say(f"  {wide}")
    work.recording.metrics({"colocations": len(profile), "coverage": described["coverage"]})


def noise_line(described: Mapping[str, Any]) -> str:
    """Return a warning where repeated runs of a profile differ much; empty where they do not.

    Args:
        described: see `metis.measure.profile.describe_profile`.
    """
    typical, most = described.get("spread", 0.0), described.get("spread_most", 0.0)
    if typical <= NOISY and most <= NOISY_ONCE:
        return ""
    return (
        f"noisy: repeated runs differ by {typical:.0%} of their RPS in the median, by {most:.0%} in "
        f"{described['spread_most_in']}; longer load.duration, more profile.repeats or quiet machines help"
    )


def precision_line(described: Mapping[str, Any], wanted: float) -> str:
    """Return a line where RPS are not known as well as asked for; empty where they are, or nothing is known.

    Args:
        described: see `metis.measure.profile.describe_profile`.
        wanted: half width of their 95 % intervals, as a share.
    """
    middle, worst = described.get("circumstances", {}).get("width", (0.0, 0.0))
    if worst <= wanted:
        return ""
    return (
        f"RPS are known to ±{middle:.1%} in the median, ±{worst:.1%} at worst (load.precision asks for "
        f"±{wanted:.0%}); longer load.duration or quiet machines help"
    )


def _profile(work: Work) -> "Profile":
    explored = work.inputs.get("explore")
    if explored:
        from metis.measure.profile_files import load_profile

        return load_profile(explored / "profile.npz")
    if _by_hosts(work.settings):
        from flows.live.profile import profile_live

        return profile_live(work)
    return measure_profile(work.settings)


def _by_hosts(settings: Settings) -> bool:
    """Whether hosts are measured for it; a file and what exploring measured are only taken over."""
    return measures_live(settings) and not settings.profile.path and not settings.profile.explored


def _declared(settings: Settings, part: str) -> tuple[str, ...]:
    del part
    # hours of machines: measured again when what is measured changes, not when a line of ours does
    return ("profile", *TESTBED, *(MEASURED if measures_live(settings) else ()))


def _inputs(settings: Settings, part: str) -> tuple[str, ...]:
    del part
    explored = ("explore",) if settings.profile.explored else ()
    return (*(() if settings.cluster.live else ("setup",)), *explored)


STAGE = Stage(
    name="profile",
    about="Measure co-locations on the testbed.",
    run=run,
    settings=_declared,
    unkeyed=lambda settings, part: LIVE if measures_live(settings) else (),
    derived={"coefficients": packaged_coefficients, "workloads": workload_digests},
    inputs=_inputs,
    after=lambda settings: hosts_ready(settings) if _by_hosts(settings) else (),
    modules=lambda settings, part: (
        ("metis.measure.profile_files",)
        if measures_live(settings)
        else ("metis.measure.testbed", "metis.simulate.replay", "metis.measure.profile_files")
    ),
    costly=_by_hosts,
    check=check_files,
    present=lambda settings: is_profiled(settings) or asks_for(settings, "profile"),
    doing="measured",
)
