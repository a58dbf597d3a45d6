"""Write a starter for a case of your own: applications, nodes, rules, groups and measurements, with comments.

metis init                  here: an example that places as it is
metis init mine             in the folder mine
metis init mine apps.names=[Shop,Search] cluster.nodes=5 cluster.slots=4     with your names, to be filled in
metis init problem=FOLDER    node types, resources and rules as tables: see "Node types, resources and rules"

Nothing is overwritten. See "Bring your own measurements" in docs/.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path

from flows.command.request import Request, Verb
from flows.command.result import Line, Result, View
from flows.configuration.starter import MEASUREMENTS, PROBLEM, starter
from metis.errors import InputError
from metis.files import written_whole
from metis.inputs.names import check_names, twice_in


def run(request: Request) -> Result:
    """See the module's text."""
    settings = request.settings
    if settings.problem is not None:
        return _problem(request, Path(settings.problem))
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
    written = _write(folder, texts)
    return Result({"written": written}, _views(folder, written, own=names is not None))


def _problem(request: Request, folder: Path) -> Result:
    """Write a problem folder with comments.

    Raises:
        InputError: another folder or setting, which would have no effect on it; or a file that is there.
    """
    others = [word for word in (*request.words, *request.overrides) if not word.startswith("problem=")]
    if others:
        raise InputError(f"{others[0]}: has no effect with problem=, whose tables are written as they are")
    written = _write(folder, PROBLEM)
    named = shlex.quote(folder.as_posix())
    views: list[View] = [Line(f"written: {path}") for path in written]
    views.append(Line(f"change them, then: metis place problem={named} profile=file profile.path=FILE"))
    views.append(Line(f"or, without rules of nodes, by load alone: metis place problem={named}"))
    return Result({"written": written}, views)


def _write(folder: Path, texts: Mapping[str, str]) -> list[str]:
    """Write texts by name into a folder; return the paths.

    Raises:
        InputError: one of them is there already.
    """
    present = [str(folder / name) for name in texts if (folder / name).exists()]
    if present:
        raise InputError(f"{present[0]}: is there already; name another folder, or move it away")
    for name, text in texts.items():
        with written_whole(folder / name) as file:
            file.write(text.encode())
    return [str(folder / name) for name in texts]


def _views(folder: Path, written: list[str], own: bool) -> list[View]:
    chosen = f"--config-dir {shlex.quote(folder.as_posix())} experiment=mine"
    place = f"metis place {chosen} out=plan.json"
    views: list[View] = [Line(f"written: {path}") for path in written]
    if own:
        views.append(Line(f"fill in {folder / MEASUREMENTS}, then: {place}"))
    else:
        views.append(Line(f"the numbers are invented; they place as they are: {place}"))
    return views


VERB = Verb(run, settings=("apps.names", "cluster.nodes", "cluster.slots", "problem"), words=1)
