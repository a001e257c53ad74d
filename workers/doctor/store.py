"""The store: reached, of this version, whole."""

from pathlib import Path

from contimg.errors import ContimgError
from contimg.settings import StreamingConfig
from contimg.store.database import HEAD, current_revision, make_engine, refuse_newer, url_of
from workers.doctor.finding import Finding, error, ok, warning


def database(config: StreamingConfig) -> Finding:
    """The database answers, stands at this version's revision, and SQLite finds no damage in its file."""
    about = "store"
    if "://" not in config.queue_db and not Path(config.queue_db).exists():
        return ok(about, f"{config.queue_db}: made at the first start")
    try:
        engine = make_engine(url_of(config.queue_db))
        place, revision = engine.url.render_as_string(), current_revision(engine)
        refuse_newer(engine, revision)
    except ContimgError as wrong:
        text, _, remedy = str(wrong).partition("; ")
        return error(about, text, remedy or "start the database, or correct queue_db")
    if revision is None:
        return ok(about, f"{place}: empty, filled at the first start")
    if revision != HEAD:
        return warning(about, f"{place}: revision {revision}, {HEAD} is needed", "run `contimg db upgrade`")
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if verdict != "ok":
            return error(about, f"{place}: damaged ({verdict})", "stop the stream and `contimg restore` a backup")
    engine.dispose()
    return ok(about, f"{place}: revision {revision}")
