"""`contimg db upgrade|current`."""

import click

from contimg.settings import Settings, load, queue_rules
from contimg.store import database
from contimg.store.database import make_engine, url_of


@click.group()
def db() -> None:
    """The store's database and the version of its tables."""


@db.command()
def current() -> None:
    """Say which revision the database stands at and which this version needs."""
    engine = make_engine(url_of(load(Settings.from_environment()).queue_db))
    revision = database.current_revision(engine)
    state = "up to date" if revision == database.HEAD else f"{database.HEAD} is needed; run `contimg db upgrade`"
    click.echo(f"{engine.url.render_as_string()}  revision {revision or 'none'}  ({state})")


@db.command()
def upgrade() -> None:
    """Bring the database to the form that this version needs; make it if there is none."""
    config = load(Settings.from_environment())
    queue_rules(config)  # what would keep every part from starting is said here, before anything is replaced
    engine = make_engine(url_of(config.queue_db))
    click.echo(f"{engine.url.render_as_string()}  revision {database.upgrade(engine)}")
