"""What needs attention: equal reasons are one item; retry, discard and acknowledge with the name of the operator."""

import re

import pytest

from contimg.common.errors import BadInput, Incomplete
from contimg.store import FileState, Stage, State


@pytest.fixture
def failed(store, telescope, clock):
    """Three groups that failed for one reason, of which only the numbers differ, and two quarantined files."""
    groups = []
    for tile in range(3):
        group = telescope.whole_group(tile)
        lease = store.leases.claim(group, Stage.CONVERT, "a")
        error = f"declination differs between subbands: {33 + tile}.16° and 16.27°"
        store.leases.fail(lease, error, permanent=True, error_class="BadInput")
        groups.append(group)
        clock.advance(309)
    for number in range(2):
        store.files.quarantine(telescope.path(9, number), f"truncated: {number} of 144 973 bytes", size=7, mtime=5.0)
    return groups


def item_of(store, kind):
    (item,) = (item for item in store.attention.items() if item.kind == kind)
    return item


def test_equal_reasons_are_one_item(store, failed, clock):
    item = item_of(store, "group")
    assert (item.count, item.members) == (3, tuple(failed[::-1]))
    assert item.last_at - item.began_at == pytest.approx(618)
    assert item.section.endswith("#reason-phase-centre")
    assert item.what_to_do
    files = item_of(store, "file")
    assert (files.count, files.section) == (2, "troubleshoot.md#reason-truncated-file")


def test_acknowledgement_ends_with_next_failure(store, failed, telescope):
    key = item_of(store, "group").key
    acknowledged = store.attention.acknowledge(key, "Vera")
    assert acknowledged.acknowledged_by == "Vera"
    assert store.attention.items()[-1].key == key
    assert re.search(r"acknowledged by Vera.*3 groups", store.events.last(1)[0].text)
    lease = store.leases.claim(telescope.whole_group(5), Stage.CONVERT, "a")
    store.leases.fail(lease, "declination differs between subbands: 1.0° and 2.0°", permanent=True)
    again = item_of(store, "group")
    assert (again.key, again.count, again.acknowledged_by) == (key, 4, None)


def test_retry_and_discard_of_reason_record_name(store, failed):
    assert "3" in store.attention.retry(item_of(store, "group").key, by="Vera")
    assert {group.state for group in store.files.groups()} == {State.PENDING}
    for group in failed:
        assert any("by Vera" in event.text for event in store.events.last(5, group=group))
    with pytest.raises(BadInput, match="0123456789ab"):
        store.attention.discard("0123456789ab", by="Vera")


def test_discard_of_failed_groups(store, failed):
    store.attention.discard(item_of(store, "group").key, by="Cecilia")
    assert {group.state for group in store.files.groups()} == {State.DISCARDED}
    assert {group.error for group in store.files.groups()} == {"discarded by Cecilia"}
    assert [item.kind for item in store.attention.items()] == ["file"]


def test_retry_below_minimum_needs_force(store, telescope, clock):
    group = telescope.arrive(0, 0).file.group
    clock.advance(601)
    store.files.check_timeouts()
    item = item_of(store, "group")
    assert item.section.endswith("#reason-incomplete")
    with pytest.raises(Incomplete, match=re.escape(group)):
        store.attention.retry(item.key, by="Vera")
    store.attention.retry(item.key, by="Vera", force=True)
    assert store.jobs.job(group).state == State.PENDING


def test_quarantined_files_are_examined_again_or_discarded(store, failed, telescope):
    key = item_of(store, "file").key
    store.attention.retry(key, by="Vera")
    assert store.files.missing() == {telescope.path(9, 0), telescope.path(9, 1)}
    store.attention.discard(key, by="Vera")
    assert "file" not in {item.kind for item in store.attention.items()}
    assert len(store.files.latest(FileState.QUARANTINED)) == 2
    store.files.quarantine(telescope.path(9, 0), "duplicate: group 0 has its subband 0", size=8, mtime=6.0)
    assert item_of(store, "file").count == 1
