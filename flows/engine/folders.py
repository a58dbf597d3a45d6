"""Folders of a store on this machine: of stages being done, of fetched outputs; and errors of the store."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from flows.engine.secrets import masked
from metis.errors import InputError, MetisError, SurroundingsError

READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


def file_in_the_way(root: Path) -> Path | None:
    """Return the file that stands where a folder is to be, or where one above it is; None without any."""
    there = next((place for place in (root, *root.parents) if place.exists()), root)
    return there if there.exists() and not there.is_dir() else None


def check_folder(root: Path) -> None:
    """Refuse a tracking folder that is none.

    Raises:
        InputError: it, or one above it, is a file.
    """
    if file := file_in_the_way(root):
        raise InputError(f"tracking.path: {file} is a file; give a folder")


@contextmanager
def stage_folder(root: Path) -> Iterator[Path]:
    """Yield a folder for the files of a stage while it is done; its lock shows that its process lives."""
    with alone(root):
        _sweep_up(root)
        folder = Path(tempfile.mkdtemp(dir=root, prefix=".stage-"))
        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _sweep_up(root: Path) -> None:
    """Remove the stage folders of processes that were killed."""
    for left in root.glob(".stage-*"):
        held = os.open(left, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            pass  # its process is at work in it
        finally:
            os.close(held)


@contextmanager
def alone(root: Path, name: str = ".opening") -> Iterator[None]:
    """Let one process in at a time: two that create the tables of a fresh store at once would break it.

    Where nothing can be written there is no lock: what reads is let in, what writes fails by itself.
    """
    try:
        lock: AbstractContextManager[Any] = (root / name).open("wb")
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        lock = nullcontext()
    with lock as file:
        if file is not None:
            fcntl.flock(file, fcntl.LOCK_EX)  # let go by closing, and by the kernel when a process dies
        yield


class Fetched:
    """Copies of outputs that lie on a server, kept on this machine by run id."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, run_id: str) -> Path:
        """Return the folder where the output of a run is, or would be."""
        return self._root / "downloads" / run_id

    def keep(self, run_id: str, output: Path) -> None:
        """Keep the output of a run that was made here, so that it need not be fetched."""
        with self._alone():
            self._put(run_id, output)

    def fetch(self, run_id: str, whole: Callable[[Path], bool], fetch: Callable[[Path], None]) -> Path:
        """Return the folder of an output: as it is here where `whole` accepts it, else fetched by `fetch`."""
        kept = self.folder(run_id)
        if whole(kept):
            return kept
        with self._alone():
            if not whole(kept):  # another process may have fetched it meanwhile
                with stage_folder(self._root) as folder:
                    (folder / "output").mkdir()
                    fetch(folder / "output")
                    self._put(run_id, folder / "output")
        return kept

    @contextmanager
    def _alone(self) -> Iterator[None]:
        (self._root / "downloads").mkdir(exist_ok=True)
        with alone(self._root, ".fetching"):
            yield

    def _put(self, run_id: str, output: Path) -> None:
        shutil.rmtree(self.folder(run_id), ignore_errors=True)
        output.rename(self.folder(run_id))


def is_local(artifact_uri: str) -> bool:
    """Whether artifacts lie in a folder of this machine."""
    return artifact_uri.startswith("file:")


def file_path(uri: str) -> Path:
    """Return the path that a `file:` URI names."""
    return Path(unquote(urlparse(uri).path))


@contextmanager
def surroundings(where: str) -> Iterator[None]:
    """Raise errors of a store or disk within the block as one clear line.

    Args:
        where: the store's URI, or a file; passwords are left out.
    """
    where = masked(where)
    try:
        yield
    except MetisError:
        raise
    except OSError as error:
        raise SurroundingsError(f"{where}: {error.strerror or error}") from None
    except ModuleNotFoundError as error:
        raise SurroundingsError(
            f"{where}: needs the Python package {error.name}; pip install 'metis[server]'"
        ) from None
    except Exception as error:
        kind = f"{type(error).__module__}.{type(error).__name__}"
        if not kind.startswith(("mlflow", "sqlalchemy", "alembic", "sqlite3")):
            raise
        raise SurroundingsError(f"{where}: {_plainly(str(error))}") from None


# what SQLite says, in words that say what to do
SQLITE = {
    "disk is full": "the disk is full; make room, or name another folder with tracking.path=",
    "disk I/O error": "the disk cannot be written: it is full, over a quota, or failing",
    "readonly database": "the database cannot be written; tracking.path=FOLDER names another folder",
    "unable to open database": "the database cannot be opened; tracking.path=FOLDER names another folder",
    "image is malformed": "the database is damaged; `metis doctor` says what mends it",
    "file is not a database": "the database is damaged; `metis doctor` says what mends it",
}


def _plainly(said: str) -> str:
    text = masked(" ".join(said.split()))
    for part, plain in SQLITE.items():
        if part in text:
            return plain
    if "out-of-date database schema" in text or "Can't locate revision" in text:
        return "the database is of another version of MLflow; upgrade metis, or move the file away"
    if "Max retries exceeded" in text or "NewConnectionError" in text:
        return (
            "no MLflow server responds; is it running, and is tracking.uri (METIS_TRACKING_URI) its address?"
        )
    return text[:300]
