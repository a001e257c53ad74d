"""Claim, heartbeat, and the ways in which a lease ends: on both databases."""

import pytest
from store_steps import metric_values

from contimg.common.errors import LeaseLost
from contimg.store import Lease, Outcome, Refusal, RunFigures, Stage, State


@pytest.fixture
def group(telescope):
    return telescope.whole_group()


def outcomes(store, group):
    return [(run.stage, run.attempt, run.outcome) for run in store.jobs.runs(group)]


def test_group_passes_through_stages(store, group, clock):
    for stage, following in (
        (Stage.CONVERT, Stage.CALIBRATE),
        (Stage.CALIBRATE, Stage.IMAGE),
        (Stage.IMAGE, None),
    ):
        lease = store.leases.claim(group, stage, "host:1", task_id="t")
        assert store.files.group(group).state == State.IN_PROGRESS
        clock.advance(7)
        assert store.leases.commit(lease, (), RunFigures(peak_rss_bytes=3_000_000_000)) is following
    record = store.files.group(group)
    assert (record.state, record.completed_at, record.lease_owner) == (State.COMPLETED, clock.now, None)
    runs = store.jobs.runs(group)
    assert [(run.outcome, run.seconds, run.peak_rss_bytes) for run in runs] == [("committed", 7, 3_000_000_000)] * 3
    assert metric_values(store, "stage.image.seconds") == [7]


def test_claims_out_of_order_are_refused(store, group, telescope):
    claim = store.leases.claim
    assert claim("2020-01-01T00:00:00", Stage.CONVERT, "a").reason is Refusal.UNKNOWN
    assert claim(group, Stage.IMAGE, "a").reason is Refusal.NOT_READY
    lease = claim(group, Stage.CONVERT, "a")
    refused = claim(group, Stage.CONVERT, "b")
    assert refused.reason is Refusal.LEASED
    store.leases.commit(lease)
    assert claim(group, Stage.CONVERT, "b").reason is Refusal.DONE
    collecting = telescope.arrive(5, 0).file.group
    assert claim(collecting, Stage.CONVERT, "a").reason is Refusal.NOT_READY


def test_heartbeats_extend_lease(store, group, clock):
    lease = store.leases.claim(group, Stage.CONVERT, "a")
    for _ in range(10):
        clock.advance(100)
        lease = store.leases.heartbeat(lease)
        assert store.leases.expire() == ()
    clock.advance(121)
    assert store.leases.expire() == (group,)
    with pytest.raises(LeaseLost):
        store.leases.heartbeat(lease)
    record = store.files.group(group)
    assert (record.state, record.attempts) == (State.PENDING, 1)
    assert record.error


def test_lease_holds_until_expiry(store, group, clock):
    store.leases.claim(group, Stage.CONVERT, "a")
    clock.advance(119.5)
    assert store.leases.claim(group, Stage.CONVERT, "b").reason is Refusal.LEASED
    assert store.leases.expire() == ()
    clock.advance(0.5)
    assert store.leases.claim(group, Stage.CONVERT, "b").attempt == 2


def test_commit_after_takeover_is_refused(store, group, clock):
    frozen = store.leases.claim(group, Stage.CONVERT, "frozen")
    clock.advance(121)
    second = store.leases.claim(group, Stage.CONVERT, "second")
    assert isinstance(second, Lease)
    assert second.fence == frozen.fence + 1
    for end in (
        lambda: store.leases.commit(frozen, [], RunFigures()),
        lambda: store.leases.fail(frozen, "no", permanent=True),
        lambda: store.leases.release(frozen),
    ):
        with pytest.raises(LeaseLost):
            end()
    store.leases.commit(second)
    with pytest.raises(LeaseLost):
        store.leases.commit(second)
    assert outcomes(store, group) == [("convert", 1, Outcome.EXPIRED), ("convert", 2, Outcome.COMMITTED)]


def test_overdue_lease_may_commit(store, group, clock):
    lease = store.leases.claim(group, Stage.CONVERT, "slow")
    clock.advance(500)
    assert store.leases.commit(lease) is Stage.CALIBRATE


def test_transient_errors_back_off_then_fail(store, group, clock):
    waits = []
    for _ in range(2):
        assert (
            store.leases.fail(store.leases.claim(group, Stage.CONVERT, "a"), "disk full", permanent=False) == "pending"
        )
        refused = store.leases.claim(group, Stage.CONVERT, "a")
        assert refused.reason is Refusal.WAITING
        waits.append(store.files.group(group).not_before - clock.now)
        assert store.jobs.waiting(0) == ()
        clock.advance(waits[-1])
        assert [work.key for work in store.jobs.waiting(0)] == [group]
    assert waits == [30, 60]
    assert store.leases.fail(store.leases.claim(group, Stage.CONVERT, "a"), "disk full", permanent=False) == "failed"
    assert store.files.group(group).error == "disk full"
    assert store.events.last(1, level="error")[0].group == group


def test_permanent_error_fails_at_once(store, group):
    lease = store.leases.claim(group, Stage.CONVERT, "a")
    assert store.leases.fail(lease, "no such axis", permanent=True) == State.FAILED
    assert store.leases.claim(group, Stage.CONVERT, "a").reason is Refusal.ENDED


def test_job_that_kills_workers_fails(store, group, clock):
    for _ in range(3):
        assert isinstance(store.leases.claim(group, Stage.CONVERT, "victim"), Lease)
        clock.advance(121)
        store.leases.expire()
        clock.advance(900)
    assert store.files.group(group).state == State.FAILED


def test_job_that_kills_workers_fails_without_reconciler(store, group, clock):
    for _ in range(3):
        assert isinstance(store.leases.claim(group, Stage.CONVERT, "victim"), Lease)
        clock.advance(121)
    assert store.leases.claim(group, Stage.CONVERT, "victim").reason is Refusal.ENDED


def test_release_uses_no_attempt(store, group):
    for _ in range(10):
        store.leases.release(store.leases.claim(group, Stage.CONVERT, "a"))
    assert [work.attempts for work in store.jobs.waiting(600)] == [0]


def test_attempts_are_counted_per_stage(store, group, clock):
    store.leases.fail(store.leases.claim(group, Stage.CONVERT, "a"), "once", permanent=False)
    clock.advance(30)
    store.leases.commit(store.leases.claim(group, Stage.CONVERT, "a"))
    assert store.leases.claim(group, Stage.CALIBRATE, "a").attempt == 1


def test_redo_is_limited(store, telescope):
    group, outcomes = telescope.whole_group(), []
    for _ in range(3):
        lease = store.leases.claim(group, Stage.CONVERT, "worker")
        store.leases.commit(lease, [])
        lease = store.leases.claim(group, Stage.CALIBRATE, "worker")
        outcomes.append(store.leases.redo(lease, Stage.CONVERT, "its table is unreadable"))
    assert outcomes == [State.PENDING, State.PENDING, State.FAILED]
    record = store.files.group(group)
    assert (record.stage, record.error) == (Stage.CALIBRATE, "its table is unreadable")
    with pytest.raises(LeaseLost):
        store.leases.redo(lease, Stage.CONVERT, "too late")
