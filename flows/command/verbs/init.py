"""Write a starter for a case of your own: applications, nodes, rules, groups and measurements, with comments.

metis init                  here: an example that places as it is
metis init mine             in the folder mine
metis init mine apps.names=[Shop,Search] cluster.nodes=5 cluster.slots=4     with your names, to be filled in

Nothing is overwritten. See "Bring your own measurements" in docs/.
"""

import shlex
from pathlib import Path

from flows.command.request import Request, Verb
from flows.command.result import Line, Result, View
from flows.configuration.starter import MEASUREMENTS, starter
from metis.errors import InputError
from metis.files import written_whole
from metis.inputs.names import check_names, twice_in


def run(request: Request) -> Result:
    """See the module's text."""
    settings = request.settings
    folder = Path(request.words[0] if request.words else ".")
    if not str(folder).isprintable() or "${" in str(folder):
        raise InputError(f"{str(folder)!a}: name a folder without line breaks and ${{")
    names = settings.apps.names
    if names is not None:
        check_names(names, "apps.names: application")
        if not names or twice_in(names) is not None:
            raise InputError(f"apps.names {list(names)}: give at least one, each name once")
    given = {word.partition("=")[0] for word in request.overrides}
    nodes = settings.cluster.nodes if "cluster.nodes" in given else None
    texts = starter(folder, names, nodes, settings.cluster.slots)
    present = [str(folder / name) for name in texts if (folder / name).exists()]
    if present:
        raise InputError(f"{present[0]}: is there already; name another folder, or move it away")
    for name, text in texts.items():
        with written_whole(folder / name) as file:
            file.write(text.encode())
    written = [str(folder / name) for name in texts]
    return Result({"written": written}, _views(folder, written, own=names is not None))


def _views(folder: Path, written: list[str], own: bool) -> list[View]:
    chosen = f"--config-dir {shlex.quote(folder.as_posix())} experiment=mine"
    place = f"metis place {chosen} out=plan.json"
    views: list[View] = [Line(f"written: {path}") for path in written]
    if own:
        views.append(Line(f"fill in {folder / MEASUREMENTS}, then: {place}"))
    else:
        views.append(Line(f"the numbers are invented; they place as they are: {place}"))
    return views


VERB = Verb(run, settings=("apps.names", "cluster.nodes", "cluster.slots"), words=1)
