"""Alembic's entry: migrate over the connection, and within the transaction, that contimg.store.schema hands in."""

from alembic import context

from contimg.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite changes a column by making the table anew
    transactional_ddl=True,  # both databases roll a table back
)
context.run_migrations()
