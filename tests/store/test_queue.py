"""What the operator and the reconciler do: on both databases."""

import itertools
import re
from functools import partial

import pytest
from sqlalchemy import insert
from store_steps import enqueue

from contimg.common.errors import BadInput, Incomplete
from contimg.store import TILE, Outcome, Refusal, Stage, State, Store, tables


def complete(store, group):
    for stage in TILE.stages:
        store.leases.commit(store.leases.claim(group, stage, "a"))


def test_waiting_jobs(store, telescope, clock):
    later, earlier = telescope.whole_group(1), telescope.whole_group(0)
    assert [work.key for work in store.jobs.waiting(300)] == [earlier, later]
    assert [work.key for work in store.jobs.waiting(300, limit=1)] == [earlier]
    enqueue(store, [earlier, later])
    assert store.jobs.waiting(300) == ()
    clock.advance(301)
    lease = store.leases.claim(earlier, Stage.CONVERT, "a")
    assert [work.key for work in store.jobs.waiting(300)] == [later]
    store.leases.commit(lease)
    assert [work.key for work in store.jobs.waiting(300)] == [later], "the chain's next message is on its way"
    clock.advance(301)
    assert [(work.key, work.stage) for work in store.jobs.waiting(300)] == [
        (earlier, Stage.CALIBRATE),
        (later, Stage.CONVERT),
    ]


def test_pause_and_resume(store, telescope):
    first, second = telescope.whole_group(0), telescope.whole_group(1)
    under_way = store.leases.claim(first, Stage.CONVERT, "a")
    enqueue(store, [second])
    store.jobs.pause("ops")
    assert store.jobs.paused
    assert store.overview.snapshot().paused
    refused = store.leases.claim(second, Stage.CONVERT, "a")
    assert (refused.reason, "ops" in refused.detail) == (Refusal.PAUSED, True)
    assert store.jobs.waiting(0) == ()
    store.leases.commit(under_way)
    store.jobs.resume("ops")
    assert {work.key for work in store.jobs.waiting(300)} == {first, second}
    assert store.leases.claim(second, Stage.CONVERT, "a").stage is Stage.CONVERT


def test_retry_continues_at_failed_stage(store, telescope):
    group = telescope.whole_group()
    store.leases.commit(store.leases.claim(group, Stage.CONVERT, "a"))
    with pytest.raises(BadInput, match="pending"):
        store.jobs.retry(group)
    store.leases.fail(store.leases.claim(group, Stage.CALIBRATE, "a"), "no", permanent=True)
    with pytest.raises(BadInput, match=r"calibrate\b.*\bimage"):
        store.jobs.retry(group, stage=Stage.IMAGE)
    record = store.jobs.retry(group)
    assert (record.state, record.stage, record.attempts, record.error) == (State.PENDING, Stage.CALIBRATE, 0, None)
    assert [work.key for work in store.jobs.waiting(300)] == [group]


def test_retry_of_completed_group(store, telescope):
    group = telescope.whole_group()
    complete(store, group)
    assert store.jobs.retry(group, stage=Stage.IMAGE).stage == Stage.IMAGE
    assert [run.outcome for run in store.jobs.runs(group)] == [
        Outcome.COMMITTED,
        Outcome.COMMITTED,
        Outcome.SUPERSEDED,
    ]
    store.leases.commit(store.leases.claim(group, Stage.IMAGE, "a"))
    assert store.files.group(group).state == State.COMPLETED
    assert store.jobs.retry(group).stage == Stage.CONVERT
    complete(store, group)


def test_discard_and_retry(store, telescope):
    group = telescope.whole_group()
    lease = store.leases.claim(group, Stage.CONVERT, "a")
    with pytest.raises(BadInput, match="in_progress"):
        store.jobs.discard(group)
    store.leases.release(lease)
    assert store.jobs.discard(group).state == State.DISCARDED
    assert store.leases.claim(group, Stage.CONVERT, "a").reason is Refusal.ENDED
    assert store.jobs.waiting(0) == ()
    assert store.jobs.retry(group).state == State.PENDING


def test_retry_of_incomplete_group(store, telescope, clock):
    group, none = telescope.arrive(0, 0).file.group, telescope.arrive(1, 0).file.group
    store.files.quarantine(telescope.path(1, 0), "not HDF5")
    clock.advance(601)
    store.files.check_timeouts()
    with pytest.raises(Incomplete, match=r"\b1 subband.*=\d+"):
        store.jobs.retry(group)
    assert store.jobs.job(group).state == State.FAILED
    store.jobs.retry(group, force=True, by="Vera")
    assert store.events.last(1)[0].text.endswith("by Vera")
    lease = store.leases.claim(group, Stage.CONVERT, "a")
    assert (sorted(lease.files), lease.partial) == ([0], True)
    with pytest.raises(BadInput, match=re.escape(none)):
        store.jobs.retry(none)


def test_unknown_group_is_named(store):
    assert store.files.group("nowhere") is None
    with pytest.raises(BadInput, match="nowhere"):
        store.jobs.retry("nowhere")


def test_beat_keeps_time_of_last_success(store, clock):
    assert store.activity.last_beat("producer.scan") is None
    store.activity.beat("producer.scan")
    clock.advance(60)
    assert clock.now - store.activity.last_beat("producer.scan") == 60


def test_snapshot_counts(store, telescope, clock):
    done, running, waiting = (telescope.whole_group(number) for number in range(3))
    telescope.arrive(3, 0)
    telescope.arrive(4, 0)
    store.files.quarantine(telescope.path(4, 0), "NaN")
    clock.advance(30)
    complete(store, done)
    clock.advance(10)
    lease = store.leases.claim(running, Stage.CONVERT, "host:9")
    status = store.overview.snapshot()
    assert {state: number for state, number in status.states.items() if number} == {
        State.COLLECTING: 2,
        State.PENDING: 1,
        State.IN_PROGRESS: 1,
        State.COMPLETED: 1,
    }
    assert status.waiting == dict.fromkeys(Stage, 0) | {Stage.CONVERT: 1}
    assert [(run.group, run.owner, run.expires_at) for run in status.running] == [(running, "host:9", lease.expires_at)]
    assert status.oldest_pending_s == 40
    assert (status.rates.groups_per_hour, status.rates.latency_s) == (1, 30)
    assert (status.set_aside_count, status.set_aside[0].reason) == (1, "NaN")
    clock.advance(3601)
    assert store.overview.snapshot().rates.groups_per_hour == 0
    assert waiting in {work.key for work in store.jobs.waiting(0)}


def _tick(count):
    next(count)  # what is not 0 would end the statement


def test_cost_of_round_is_independent_of_backlog(tmp_path):
    """In steps of SQLite's own machine, hundreds at a time."""
    steps = {}
    for waiting in (500, 5000):
        store = Store.open(tmp_path / f"{waiting}.sqlite3")
        with store.database.write() as session:
            common = {"kind": "tile", "processing": "live", "priority": 6, "state": State.PENDING,
                      "stage": Stage.CONVERT, "created_at": 0.0, "updated_at": 0.0}  # fmt: skip
            rows = [{"key": f"{at}", "reference_s": at, **common} for at in range(waiting)]
            session.execute(insert(tables.Job), rows)
        count = itertools.count()
        with store.database.read() as session:  # the pool hands this connection out again
            session.connection().connection.driver_connection.set_progress_handler(partial(_tick, count), 100)
        sent = store.jobs.take_unsent(3, lambda jobs: jobs, look_ahead=100)
        assert [job.reference_s for job in sent] == [waiting - 1, waiting - 2, waiting - 3]
        assert store.jobs.take_unsent(3, lambda jobs: jobs) == ()
        assert store.jobs.waiting(0.0, sent_only=True)
        store.jobs.mark_unsent([])
        store.leases.expire()
        store.close()
        steps[waiting] = next(count)
    assert 10 < steps[5000] < 1.2 * steps[500], steps
