"""SQLite files: made beside and renamed, checked, and MLflow's made anew where its creation was cut short."""

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

from flows.engine.console import say
from flows.engine.lookup import DATABASE, read_only
from metis.errors import SurroundingsError

BESIDE = ".new-"  # prefix of the folder in which a database is made
HALF_MADE = ".half-made"
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
EVERY = 1000  # instructions of SQLite between two looks at the clock


@contextmanager
def made_beside(path: Path) -> Iterator[Path]:
    """Yield a path at which to make a database; it appears at `path` once the block ends well.

    A process that is killed meanwhile leaves a folder, which the next one removes; the caller sees to it that
    only one makes it at a time.
    """
    for left in path.parent.glob(f"{BESIDE}{path.name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f"{BESIDE}{path.name}-"))
    try:
        made = folder / path.name
        yield made
        with closing(sqlite3.connect(made)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all of it is in the one file now
        with made.open("rb") as file:
            os.fsync(file.fileno())
        made.replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def damage(path: Path, within: float | None = None) -> str:
    """Return what is wrong with a database in a few words; empty where it is whole, or not there.

    Args:
        path: of the file.
        within: seconds after which it is taken to be whole; None: as long as it takes.
    """
    if not path.is_file():
        return ""
    try:
        with closing(read_only(path)) as connection:
            if within is not None:
                until = time.monotonic() + within
                connection.set_progress_handler(lambda: int(time.monotonic() > until), EVERY)
            found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
            return "" if found == "ok" else " ".join(found.split())[:120]
    except sqlite3.Error as error:
        code: int = getattr(error, "sqlite_errorcode", 0)
        return str(error) if code & 0xFF in DAMAGED else ""


def cure(path: Path) -> str:
    """Return what mends a damaged database of MLflow."""
    return f"mv '{path}' '{path}.damaged'; then the same command makes what was finished again"


def check(path: Path, within: float | None = None) -> None:
    """Refuse a damaged database.

    Raises:
        SurroundingsError: names the file, the damage and the cure.
    """
    found = damage(path, within)
    if found:
        raise SurroundingsError(f"{path}: damaged ({found}); {cure(path)}")


def ready(root: Path) -> None:
    """Have MLflow's database whole at its place in the tracking folder `root`; the caller holds its lock.

    One that is complete, or that another version of MLflow made, is left alone.
    """
    path = root / DATABASE
    if half_made(path):
        path.replace(path.with_name(DATABASE + HALF_MADE))
        say(f"{path}: its creation was interrupted before anything was recorded in it; made anew")
    elif path.exists():
        return
    else:
        say(f"new tracking store: {root}")
    with made_beside(path) as beside:
        create(beside, root / "artifacts")


def create(path: Path, artifacts: Path) -> None:
    """Create MLflow's tables in a new database, by MLflow's own migrations; takes seconds."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(_uri(path), artifacts.as_uri())
    store.engine.dispose()


def half_made(path: Path) -> bool:
    """Whether MLflow's database holds no run, and not all tables of the MLflow that is installed."""
    if not path.is_file():
        return False
    try:
        # writable, so that what a killed process began is rolled back first
        with closing(sqlite3.connect(path, timeout=60)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            if "runs" in tables and connection.execute("SELECT 1 FROM runs LIMIT 1").fetchone():
                return False
            if "alembic_version" not in tables:
                return not tables or "experiments" in tables
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return False  # damaged or no database: reported where it is checked
    return found is None or _older(str(found[0]))


@cache
def _older(revision: str) -> bool:
    """Whether a revision of MLflow's tables comes before that of the MLflow that is installed."""
    import mlflow
    from alembic.script import ScriptDirectory

    revisions = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    known = {one.revision for one in revisions.walk_revisions()}
    return revision in known and revision != revisions.get_current_head()


def sqlite_uri(root: Path) -> str:
    """Return the SQLite tracking URI of the tracking folder `root`."""
    return _uri(root / DATABASE)


def _uri(path: Path) -> str:
    """Return the URI of a database; SQLAlchemy would cut a path at a question mark: SQLite gets a URI.

    MLflow takes what follows `sqlite:///` for a path and makes its folders, so the driver is named there.
    """
    if "?" not in str(path):
        return f"sqlite:///{path}"
    return f"sqlite+pysqlite:///{path.as_uri().replace('file:///', 'file:/')}?uri=true"
