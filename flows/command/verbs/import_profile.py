"""Read measurements, check them and write them in our own format.

metis import-profile data.csv                 a column of counts per application, rps_<app>, p99_<app>
metis import-profile runs.csv out=OUT.npz     long: run, app, count, rps; or results of Locust, k6 or hey
metis import-profile FILE.npz apps.names=[web,db,cache] cluster.slots=4     ours, or a published one

RPS of a table are divided by the rows in which one container is alone on a node; repeats are merged. A column
`type` names the type of the node that was measured.
See "Bring your own measurements" in docs/.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.command.request import Request, Verb
from flows.command.result import Facts, Result
from flows.configuration.objects import app_names
from metis.errors import InputError

if TYPE_CHECKING:
    from metis.measure.profile import Profile


def run(request: Request) -> Result:
    """See the module's text."""
    from metis.measure.profile import describe_profile
    from metis.measure.profile_files import load_profile, refuse_raw

    if not request.words:
        raise InputError("import-profile: name the file, as in `metis import-profile FILE`")
    source, settings = Path(request.words[0]), request.settings
    target = Path(settings.out or f"{source.stem}.profile.npz")
    if target.suffix != ".npz":
        raise InputError(f"out {str(target)!r}: a profile is read again by its ending; give a name in .npz")
    profile = load_profile(source, app_names(settings), settings.cluster.slots, results=True)
    refuse_raw(source, profile)
    if target.exists() and source.exists() and target.samefile(source):
        raise InputError(f"{target}: would overwrite its source; name another out=")
    profile.save(target)
    described = describe_profile(profile)
    facts = Facts(f"{source.name} → {target}", _facts(described) | _latencies(profile))
    return Result({**described, "path": str(target)}, [facts])


def _latencies(profile: "Profile") -> dict[str, str]:
    """Return the latencies of stand-alone runs in words: milliseconds taken for seconds are seen there."""
    found: dict[str, str] = {}
    for name in ("p50", "p99"):
        alone = zip(profile.apps, profile.alone(name), strict=True)
        known = [f"{app} {seconds:g} s" for app, seconds in alone if seconds == seconds]
        found |= {f"{name} alone": ", ".join(known)} if known else {}
    return found


def _facts(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a profile as names and values for the table."""
    facts = dict(described)
    covered, space = facts.pop("colocations"), facts.pop("space")
    share = facts.pop("coverage")
    apps = facts.pop("apps")
    if types := facts.pop("types", None):
        facts["rows by node type"] = ", ".join(f"{name} {rows}" for name, rows in types.items())
    spread, most, where = (facts.pop(name, None) for name in ("spread", "spread_most", "spread_most_in"))
    if spread is not None:
        facts["spread of repeats"] = f"{spread:.1%} in the median, at most {most:.1%}: {where}"
    return {
        "applications": ", ".join(apps) if isinstance(apps, list) else apps,
        "slots": facts.pop("slots"),
        "co-locations": f"{covered:,} of {space:,} ({share:.1%})",
        **{name.replace("_", " "): value for name, value in facts.items()},
    }


VERB = Verb(run, settings=("out", "apps.names", "cluster.slots"), words=1)
