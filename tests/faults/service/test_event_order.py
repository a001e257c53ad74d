"""Events are read "after the last id": ids are in the order of the commits, and none is given twice."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from contimg.settings import RetentionRules
from contimg.settings.alerts import ERROR
from contimg.store import Store, tables
from contimg.store.activity.events import record_event


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = str(tmp_path / "store.sqlite3")
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
    opened = Store.open(url)
    yield opened
    opened.close()


def test_event_of_a_long_transaction_is_read(store: Store) -> None:
    """A reader that has seen the later event sees the one that was recorded before it and committed after it."""
    recorded, proceed = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with store.database.write() as session:
            record_event(session, 1.0, ERROR, None, "slow")
            session.flush()
            recorded.set()
            proceed.wait(60)

    def write_fast() -> None:
        store.events.add("fast")

    slow, fast = threading.Thread(target=write_slowly), threading.Thread(target=write_fast)
    slow.start()
    assert recorded.wait(60)
    fast.start()
    if store.database.engine.dialect.name == "postgresql":  # SQLite has one writer at a time
        fast.join(60)
        assert not fast.is_alive(), "a transaction that goes on keeps no other from recording events"
    events = store.events.after(0)
    read, last_id = [event.text for event in events], max((event.id for event in events), default=0)
    proceed.set()
    slow.join(60)
    fast.join(60)
    read += [event.text for event in store.events.after(last_id)]
    assert sorted(read) == ["fast", "slow"]


def test_reader_misses_no_event_of_concurrent_writers(store: Store) -> None:
    """Twelve writers; the reader asks for what is after its last id, as the notifier and the panel do."""
    per_writer, writers = 10, 12

    def write(number: int) -> None:
        for count in range(per_writer):
            with store.database.write() as session:
                record_event(session, 1.0, ERROR, None, f"{number}-{count} a")
                record_event(session, 1.0, ERROR, None, f"{number}-{count} b")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    read: list[str] = []
    last_id = 0
    while any(thread.is_alive() for thread in threads):
        for event in store.events.after(last_id):
            read.append(event.text)
            last_id = event.id
    read += [event.text for event in store.events.after(last_id)]
    assert len(read) == len(set(read)) == 2 * per_writer * writers


def test_rolled_back_transaction_leaves_no_event(store: Store) -> None:
    def fail() -> None:
        with store.database.write() as session:
            record_event(session, 1.0, ERROR, None, "undone")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.events.after(0) == ()


def test_ids_go_on_after_all_events_were_deleted(store: Store) -> None:
    """A reader whose last id is of a deleted event still gets the next one."""
    store.events.add("old")
    (old,) = store.events.after(0)
    with store.database.write() as session:
        session.query(tables.Event).update({"at": 1.0, "group_id": "2026-02-22T03:04:05"})
    store.pruning.prune(RetentionRules())
    store.events.add("new")
    assert [event.text for event in store.events.after(old.id)] == ["new"]
