"""Read a profile, ours or a published one, check it and write it in our own format.

metis import-profile FILE
metis import-profile FILE out=OUT.npz apps.names=[web,db,cache] cluster.slots=4
"""

from collections.abc import Sequence
from pathlib import Path

from flows.build import app_names
from flows.compose import compose_plain
from flows.console import facts_table, stdout
from flows.output import only_json
from flows.settings import validated
from metis.errors import InputError
from metis.measure.profile import describe_profile
from metis.measure.profile_files import load_profile


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    if not arguments or arguments[0].startswith("-"):
        raise InputError("import-profile: name the file, as in `metis import-profile FILE`")
    source = Path(arguments[0])
    settings = validated(compose_plain(arguments[1:]))
    with only_json(settings.output == "json") as answer:
        profile = load_profile(source, app_names(settings), settings.cluster.slots)
        target = Path(settings.out or f"{source.stem}.profile.npz")
        if target.exists() and source.exists() and target.samefile(source):
            raise InputError(f"{target}: would overwrite its source; name another out=")
        profile.save(target)
        described = describe_profile(profile)
        if settings.output == "json":
            answer({**described, "path": str(target)})
        else:
            stdout.print(facts_table(f"{source.name} → {target}", _facts(described)))
    return 0


def _facts(described: dict[str, object]) -> dict[str, object]:
    """The same in words."""
    facts = dict(described)
    covered, space = facts.pop("colocations"), facts.pop("space")
    share = facts.pop("coverage")
    apps = facts.pop("apps")
    return {
        "applications": ", ".join(apps) if isinstance(apps, list) else apps,
        "slots": facts.pop("slots"),
        "co-locations": f"{covered:,} of {space:,} ({share:.1%})",
        **{name.replace("_", " "): value for name, value in facts.items()},
    }
