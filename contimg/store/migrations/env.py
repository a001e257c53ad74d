"""Alembic environment: migrate over the connection and within the transaction that contimg.store.database gives."""

from alembic import context

from contimg.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite changes a column by copying the table
    transactional_ddl=True,  # both databases roll a table back
)
context.run_migrations()
