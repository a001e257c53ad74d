"""A session that holds locks of the PostgreSQL store for long: Transient at the limit, and work again after it."""

import time

import pytest
import sqlalchemy as sa

from contimg.common.errors import Transient
from contimg.store import Store, engine

pytestmark = pytest.mark.judge("postgresql")


@pytest.mark.parametrize(
    ("table", "use"),
    [("events", lambda store: store.events.add("an event")), ("jobs", lambda store: store.jobs.waiting(60))],
)
def test_waiting_for_a_session_has_a_limit(table, use, postgres, monkeypatch):
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 1.0)
    url = postgres.new_database()
    store = Store.open(url)
    with sa.create_engine(engine.url_of(url)).connect() as session:
        session.execute(sa.text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        start = time.monotonic()
        with pytest.raises(Transient, match="lock timeout"):
            use(store)
        assert time.monotonic() - start < 10
        session.rollback()
    store.events.add("an event")
    assert [event.text for event in store.events.last(1)] == ["an event"]
    store.close()


def test_connection_that_ends_before_its_transaction_is_transient(postgres):
    store = Store.open(postgres.new_database())
    server = store.database.engine
    with server.connect() as connection:
        pid = connection.connection.driver_connection.info.backend_pid
        with server.begin() as another:
            another.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        with pytest.raises(engine.StoreUnavailable, match="queue_db="):
            connection.execute(sa.text("SELECT 1"))
    store.events.add("an event")
    store.close()


@pytest.mark.parametrize(("query", "limit_s"), [("", "5"), ("&connect_timeout=9", "9")])
def test_limit_of_connecting(postgres, query, limit_s):
    store = Store.open(f"{postgres.new_database()}{query}")
    with store.database.engine.connect() as connection:
        parameters = connection.connection.driver_connection.info.get_parameters()
    assert parameters["connect_timeout"] == limit_s
    store.close()
