"""The output of a step: which files it has, their digest, and what is wrong with it where it was damaged."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from flows.engine.keys import folder_digest
from flows.engine.work import TIMINGS
from metis.files import file_digest

TAG_LENGTH = 5000  # characters that every store of MLflow keeps of a tag
NAMED = 3  # files named of those that are damaged


def described(folder: Path) -> dict[str, str]:
    """Return the tags that describe an output: its files, the digest of each, and that of all."""
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    sums = json.dumps({name: file_digest(folder / name) for name in files})
    tags = {"metis.files": json.dumps(files), "metis.digest": output_digest(folder, files)}
    return tags | ({"metis.sums": sums} if len(sums) <= TAG_LENGTH else {})


def output_digest(folder: Path, files: Sequence[str]) -> str:
    """Return the digest of an output: of its files but the timings, which differ each time."""
    return folder_digest(folder, [name for name in files if name != TIMINGS])


def files_of(tags: Mapping[str, str]) -> list[str]:
    """Return the names of the files of an output that `tags` describe."""
    files: list[str] = json.loads(tags.get("metis.files", "[]"))
    return files


def flaw(tags: Mapping[str, str], folder: Path) -> str:
    """Return in what an output differs from what its `tags` describe; empty where it is as it was written."""
    files = files_of(tags)
    if output_digest(folder, files) == tags.get("metis.digest"):
        return ""
    gone = [name for name in files if not (folder / name).is_file()]
    if gone:
        return f"{_listed(gone)} gone"
    sums = json.loads(tags.get("metis.sums", "{}"))
    changed = [name for name in files if sums.get(name) not in (None, file_digest(folder / name))]
    return f"{_listed(changed or files)} changed since"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
