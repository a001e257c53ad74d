"""The database's form: Alembic's migrations, run on opening where that is safe."""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from contimg.errors import Misconfigured, Transient

HEAD = "0001"
_MIGRATION_LOCK = 0x636F6E75


def current(engine: Engine) -> str | None:
    """The revision that a database stands at; None when it is empty. Transient when it cannot be reached."""
    try:
        with engine.connect() as connection:
            return _revision(connection)
    except DBAPIError as error:
        raise _unreachable(engine, error) from None


def upgrade(engine: Engine) -> str:
    """Bring a database to this version's form, one process at a time; returns the revision."""
    try:
        with engine.execution_options(begin="IMMEDIATE").begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            revision = _revision(connection)
            refuse_newer(engine, revision)
            if revision != HEAD:
                _run_migrations(connection)
    except DBAPIError as error:
        raise _unreachable(engine, error) from None
    return HEAD


def prepare(engine: Engine) -> None:
    """Make an empty database, and bring an older SQLite file up to date; Misconfigured for anything else.

    An older PostgreSQL database is left alone: other hosts may still run the version that it belongs to.
    """
    revision = current(engine)
    if revision == HEAD:
        return
    refuse_newer(engine, revision)
    if revision is not None and engine.dialect.name == "postgresql":
        raise Misconfigured(f"{_place(engine)}: revision {revision}, {HEAD} is needed; run `contimg db upgrade`")
    upgrade(engine)


def refuse_newer(engine: Engine, revision: str | None) -> None:
    """Raises Misconfigured when a database was made by a newer version than this one."""
    if revision is not None and revision > HEAD:
        raise Misconfigured(
            f"{_place(engine)}: made by a newer contimg (revision {revision}, this one knows {HEAD}); "
            "install that version again, or restore a backup from before it"
        )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if revision is None else str(revision)


def _run_migrations(connection: Connection) -> None:
    # Alembic takes a fifth of a second to import, and nearly every opening finds the database up to date.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _place(engine: Engine) -> str:
    return engine.url.render_as_string()  # the password hidden


def _unreachable(engine: Engine, error: DBAPIError) -> Misconfigured | Transient:
    first_line = str(error.orig).strip().splitlines()[0]
    if engine.dialect.name == "sqlite":
        return Misconfigured(f"queue_db={engine.url.database}: {first_line}")
    return Transient(f"queue_db={_place(engine)}: {first_line}")
