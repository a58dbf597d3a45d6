"""Prefect's SQLite database: made whole by one process at a time, and brought to the installed version."""

import asyncio
import sys
import warnings
from pathlib import Path

from filelock import FileLock

from flows.engine.database import made_beside
from flows.prefect.home import DATABASE, set_aside

# pragmas for a file that no other process reads yet, and that is deleted where its creation is cut short
UNSHARED = ("foreign_keys=OFF", "journal_mode=MEMORY", "synchronous=OFF")


def create_database(home: Path) -> None:
    """Have Prefect's database whole in its folder, and of this version, one process at a time.

    One that cannot be brought to this version, because its creation was cut short, is set aside: it holds
    nothing but the history that Prefect's UI shows.
    """
    path = home / DATABASE
    with FileLock(home / ".opening.lock"):
        if path.is_file():
            try:
                upgrade(path)
                return
            except Exception as error:
                print(f"{path}: {type(error).__name__}: {error}", file=sys.stderr)
                set_aside(path)
        with made_beside(path) as beside:
            migrate(beside)
            upgrade(beside)


def upgrade(path: Path) -> None:
    """Bring a database to the version of Prefect that is installed, by Prefect's own way."""
    from prefect.server.database.configurations import AioSqliteConfiguration
    from prefect.server.database.dependencies import provide_database_interface, temporary_database_config

    with temporary_database_config(AioSqliteConfiguration(connection_url=f"sqlite+aiosqlite:///{path}")):
        asyncio.run(provide_database_interface().create_db())


def migrate(path: Path) -> None:
    """Run Prefect's migrations on a new file; where that fails, leave no file, so that `upgrade` begins anew.

    Prefect's own way hands each of some 34,000 statements to the thread of an asynchronous connection, which
    takes twice the time. The settings are those of `prefect/server/database/_migrations/env.py`.
    """
    import sqlalchemy
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from prefect.server.database.alembic_commands import alembic_config
    from prefect.server.database.dependencies import provide_database_interface

    interface, config = provide_database_interface(), alembic_config()
    scripts = ScriptDirectory.from_config(config)
    scripts.version_locations = [str(interface.orm.versions_dir)]
    environment = EnvironmentContext(config, scripts, fn=lambda at, _: scripts._upgrade_revs("head", at))
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    try:
        with environment, engine.connect() as connection, warnings.catch_warnings():
            warnings.simplefilter("ignore", sqlalchemy.exc.SAWarning)
            environment.configure(
                connection,
                target_metadata=interface.Base.metadata,
                include_schemas=True,
                render_as_batch=True,
                transaction_per_migration=True,
                template_args={"dialect": "sqlite"},
            )
            for setting in UNSHARED:
                connection.exec_driver_sql(f"PRAGMA {setting}")
            with environment.begin_transaction():
                environment.run_migrations()
    except Exception as error:  # a migration of a Prefect to come may need Prefect's own engine
        print(f"{path}: {type(error).__name__}: {error}", file=sys.stderr)
        path.unlink(missing_ok=True)
    finally:
        engine.dispose()
