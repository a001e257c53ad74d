"""The clock is set back by a day: nothing waits for it to catch up, and no live worker loses its group."""

from store_play import RULES
from store_steps import enqueue

from contimg.store import Lease, Stage, State

BACK_S = -86400.0


def test_live_worker_keeps_lease_and_dead_one_loses_it(store, telescope, clock):
    group = telescope.whole_group()
    lease = store.leases.claim(group, Stage.CONVERT, "elsewhere:1:1:1")
    clock.advance(BACK_S)
    assert store.leases.expire() == ()
    assert store.files.group(group).lease_expires_at == clock.now + RULES.lease_s
    clock.advance(RULES.lease_s / 2)
    store.leases.heartbeat(lease)
    clock.advance(RULES.lease_s - 1)
    assert store.leases.expire() == ()
    clock.advance(2)
    assert store.leases.expire() == (group,)


def test_delay_after_error_is_limited(store, telescope, clock):
    group = telescope.whole_group()
    store.leases.fail(store.leases.claim(group, Stage.CONVERT, "a"), "disk full", permanent=False)
    clock.advance(BACK_S)
    store.leases.expire()
    assert store.jobs.waiting(0) == ()
    clock.advance(RULES.retry_delay_max_s)
    assert [job.key for job in store.jobs.waiting(0)] == [group]
    assert isinstance(store.leases.claim(group, Stage.CONVERT, "b"), Lease)


def test_lost_messages_and_collections_are_found(store, telescope, clock):
    lost, waiting = telescope.whole_group(0), telescope.arrive(1, 0).file.group
    enqueue(store, [lost])
    clock.advance(BACK_S)
    store.leases.expire()
    assert store.jobs.waiting(30, sent_only=True) == ()
    clock.advance(31)
    assert [job.key for job in store.jobs.waiting(30, sent_only=True)] == [lost]
    clock.advance(RULES.collection_timeout_s - 30)
    assert store.files.check_timeouts() == ((), (waiting,))
    assert store.files.group(waiting).state is State.FAILED


def test_even_clock_changes_nothing(store, telescope, clock):
    groups = [telescope.whole_group(number) for number in range(3)]
    store.leases.claim(groups[0], Stage.CONVERT, "a")
    store.leases.fail(store.leases.claim(groups[1], Stage.CONVERT, "a"), "disk full", permanent=False)
    enqueue(store, groups[2:])
    before = store.files.groups()
    clock.advance(1)
    store.leases.expire()
    assert store.files.groups() == before
