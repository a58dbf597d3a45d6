"""The folder `prefect/` of a tracking folder: Prefect's database, logs, and notes of the servers that run."""

import json
import os
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from flows.engine.database import damage
from flows.engine.processes import began_at
from metis.files import written_whole

DATABASE = "prefect.db"
DATABASE_URL = "PREFECT_API_DATABASE_CONNECTION_URL"
CHECK_SECONDS = 0.5
SERVED = "server.json"  # the note of the server of `metis serve`


def home(root: Path) -> Path:
    """Return the folder of Prefect's database for the tracking folder `root`."""
    return root.absolute() / "prefect"


@dataclass(frozen=True)
class Note:
    """A server that was started: where it is, and which process it and its command are.

    Attributes:
        url: of its API.
        pid: of the server.
        began: when its process began, as `began_at` returns it.
        parent: process of the command that started it.
        parent_began: when that began.
    """

    url: str
    pid: int
    began: str
    parent: int
    parent_began: str

    def save(self, path: Path) -> None:
        """Write the note."""
        with written_whole(path) as file:
            file.write(json.dumps(asdict(self)).encode())

    @property
    def lives(self) -> bool:
        """Whether the server is there still, and is not another process that was given its number."""
        return bool(self.began) and began_at(self.pid) == self.began

    @property
    def orphaned(self) -> bool:
        """Whether the server is there still and the command that started it is not."""
        return self.lives and began_at(self.parent) != self.parent_began


def read_note(path: Path) -> Note | None:
    """Return a note; None where there is none that can be read."""
    try:
        return Note(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def end_stale(folder: Path) -> int:
    """End servers of ours whose commands are gone; return how many there were.

    A note is of a server of ours where number and start of the process are those that it holds.
    """
    ended = 0
    for path in folder.glob("server*.json"):
        note = read_note(path)
        if note is None or not note.lives or note.orphaned:
            if note is not None and note.orphaned:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(note.pid, signal.SIGKILL)
                    ended += 1
            path.unlink(missing_ok=True)
    return ended


def mended(folder: Path) -> str:
    """Set a damaged database of Prefect's aside; return what was wrong with it, empty where nothing was."""
    found = damage(folder / DATABASE, CHECK_SECONDS)
    if found:
        set_aside(folder / DATABASE)
    return found


def set_aside(path: Path) -> None:
    """Rename a database and what SQLite keeps beside it, so that a new one can take its place."""
    for part in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))):
        with suppress(FileNotFoundError):
            part.replace(part.with_name(f"{part.name}.damaged"))
