"""A pooler between store and PostgreSQL that gives each transaction another connection, such as PgBouncer."""

from postgres_server import PostgresServer

from contimg.store import Store


def test_nothing_is_prepared_in_the_server(postgres: PostgresServer) -> None:
    """A statement that is prepared on one connection of the server is unknown on the next."""
    store = Store.open(postgres.new_database())
    for number in range(12):  # psycopg prepares what it has executed five times
        store.events.add(str(number))
        store.jobs.waiting(0.0)
        store.activity.read()
        with store.database.engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar() == 0
    assert len(store.events.after(0)) == 12
    store.close()
