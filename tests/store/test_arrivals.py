"""Files into groups, groups to pending: on both databases."""

import os
import re
from pathlib import Path

import pytest
from store_steps import register_file

from contimg.common.errors import LeaseLost
from contimg.store import FileState, Lease, Refusal, Stage, State


def test_complete_group_becomes_pending(store, telescope):
    arrivals = [telescope.arrive(0, subband, shift_s=20 * subband) for subband in (2, 0, 3)]
    assert not any(arrival.became_pending for arrival in arrivals)
    assert store.files.group("2026-02-22T23:18:31").state == State.COLLECTING
    assert telescope.arrive(0, 1).became_pending
    (group,) = store.files.groups()
    assert (group.id, group.state, group.stage, group.partial) == (
        "2026-02-22T23:18:31",
        State.PENDING,
        Stage.CONVERT,
        False,
    )
    assert group.subbands == (0, 1, 2, 3)


def test_registering_known_file_changes_nothing(store, telescope):
    first = telescope.arrive(0, 0)
    again = telescope.arrive(0, 0)
    assert (first.known, again.known) == (False, True)
    assert again.file == first.file
    assert len(store.files.latest()) == 1
    assert [(file.path, file.size, file.mtime) for file in store.files.latest()] == [(telescope.path(0, 0), 100, 1.0)]


def test_neighbouring_groups_do_not_mix(store, telescope):
    for subband in range(4):
        telescope.arrive(1, subband, shift_s=-82 if subband % 2 else 0)
        telescope.arrive(0, subband, shift_s=82 if subband % 2 else 0)
    assert {group.subbands for group in store.files.groups()} == {(0, 1, 2, 3)}
    assert len(store.files.groups(State.PENDING)) == 2


def test_timeout_makes_group_partial_or_failed(store, telescope, clock):
    for subband in range(3):
        telescope.arrive(0, subband)
    for subband in range(2):
        telescope.arrive(1, subband)
    clock.advance(599)
    assert store.files.check_timeouts() == ((), ())
    clock.advance(2)
    partial, failed = store.files.check_timeouts()
    assert [store.files.group(group).partial for group in partial] == [True]
    (group,) = failed
    assert re.search(r"\b2\b.*\b4\b", store.files.group(group).error)
    lease = store.leases.claim(partial[0], Stage.CONVERT, "here")
    assert lease.partial
    assert sorted(lease.files) == [0, 1, 2]


def test_duplicate_forms_failed_group_with_reason(store, telescope, clock):
    telescope.arrive(0, 0)
    duplicate = telescope.arrive(0, 0, shift_s=1)
    for subband in (1, 2, 3):
        telescope.arrive(0, subband, shift_s=1)  # as near to the duplicate as can be
    assert store.files.group("2026-02-22T23:17:51").state == State.PENDING
    clock.advance(601)
    store.files.check_timeouts()
    echo = store.files.group(duplicate.file.group)
    assert echo.state == State.FAILED
    assert re.search(r"\b1\b.*\b4\b", echo.error)
    assert "duplicate" in echo.error


def test_same_name_in_other_directory_is_quarantined(store, telescope, tmp_path):
    name = telescope.path(0, 0).name
    paths = [tmp_path / directory / name for directory in ("incoming", "again")]
    for path in paths:
        path.parent.mkdir()
        path.touch()
        arrival = register_file(store, path, 100, 1.0)
    assert arrival.file.state == FileState.QUARANTINED
    assert "duplicate" in arrival.file.reason
    assert len(store.files.groups()) == 1


def test_subband_beyond_band_is_quarantined(store, telescope):
    arrival = telescope.arrive(0, 16)
    assert arrival.file.state == FileState.QUARANTINED
    assert re.search(r"\b0\b.*\b15\b", arrival.file.reason)
    assert store.files.groups() == ()


def test_replacement_of_quarantined_file_joins_group(store, telescope, clock):
    group = telescope.whole_group()
    store.files.quarantine(telescope.path(0, 2), "truncated: 100 bytes")
    record = store.files.group(group)
    assert (record.state, record.subbands) == (State.COLLECTING, (0, 1, 3))
    assert telescope.arrive(0, 2).known, "unchanged, so it stays aside"
    assert store.files.group(group).state == State.COLLECTING
    replaced = telescope.arrive(0, 2, size=200)
    assert replaced.became_pending
    assert replaced.file.reason is None


def test_bad_file_ends_lease_without_using_attempt(store, telescope, clock):
    group = telescope.whole_group()
    lease = store.leases.claim(group, Stage.CONVERT, "here")
    store.files.quarantine(telescope.path(0, 1), "all zero", lease=lease)
    record = store.files.group(group)
    assert (record.state, record.attempts, record.lease_owner) == (State.COLLECTING, 0, None)
    assert [run.outcome for run in store.jobs.runs(group)] == ["bad_file"]
    clock.advance(601)
    assert store.files.check_timeouts() == ((group,), ())
    assert sorted(store.leases.claim(group, Stage.CONVERT, "here").files) == [0, 2, 3]


def test_quarantine_without_lease_is_refused(store, telescope, clock):
    group = telescope.whole_group()
    old = store.leases.claim(group, Stage.CONVERT, "frozen")
    clock.advance(121)
    new = store.leases.claim(group, Stage.CONVERT, "awake")
    with pytest.raises(LeaseLost, match=re.escape(str(telescope.path(0, 1)))):
        store.files.quarantine(telescope.path(0, 1), "all zero", lease=old)
    assert {file.state for file in store.files.of_group(group)} == {FileState.PRESENT}
    assert store.leases.heartbeat(new)


def test_foreign_file_is_quarantined_with_reason(store):
    path = Path("/incoming/notes.txt")
    store.files.quarantine(path, "not a subband file", size=5, mtime=2.0)
    store.files.quarantine(path, "not a subband file", size=5, mtime=2.0)
    (file,) = store.files.latest(FileState.QUARANTINED)
    assert (file.path, file.group, file.reason, file.size) == (path, None, "not a subband file", 5)
    assert len(store.events.after(0)) == 1, "the operator hears of it once"


def test_failed_incomplete_group_collects_again(store, telescope, clock):
    telescope.arrive(0, 0)
    clock.advance(601)
    (_, (group,)) = store.files.check_timeouts()
    telescope.arrive(0, 1)
    assert store.files.group(group).state == State.COLLECTING
    telescope.arrive(0, 2)
    assert telescope.arrive(0, 3).became_pending
    assert store.files.group(group).error is None


def test_late_file_completes_pending_partial_group(store, telescope, clock):
    for subband in range(3):
        telescope.arrive(0, subband)
    clock.advance(601)
    ((group,), _) = store.files.check_timeouts()
    assert not telescope.arrive(0, 3).became_pending
    assert store.files.group(group).partial is False


def test_file_after_conversion_is_late(store, telescope, clock):
    for subband in range(3):
        telescope.arrive(0, subband)
    clock.advance(601)
    ((group,), _) = store.files.check_timeouts()
    lease = store.leases.claim(group, Stage.CONVERT, "here")
    assert telescope.arrive(0, 3).file.state == FileState.LATE
    store.leases.commit(lease)
    assert f"contimg groups retry {group}" in store.events.last(10, level="warning")[0].text
    for stage in (Stage.CALIBRATE, Stage.IMAGE):
        store.leases.commit(store.leases.claim(group, stage, "here"))
    store.jobs.retry(group)
    again = store.leases.claim(group, Stage.CONVERT, "here")
    assert isinstance(again, Lease)
    assert (sorted(again.files), again.partial) == ([0, 1, 2, 3], False)


def test_empty_group_cannot_be_claimed_or_retried(store, telescope, clock):
    group = telescope.arrive(0, 0).file.group
    store.files.quarantine(telescope.path(0, 0), "not HDF5")
    clock.advance(601)
    store.files.check_timeouts()
    assert re.search(r"\b0\b.*\b4\b.*not HDF5", store.files.group(group).error)
    assert store.leases.claim(group, Stage.CONVERT, "here").reason is Refusal.ENDED


def test_failure_names_quarantined_files_of_group(store, telescope, clock):
    """Quarantined before it was sorted, for it was empty; and one of another time has nothing to do with it."""
    group = telescope.arrive(0, 0).file.group
    for number in (0, 5):
        store.files.quarantine(telescope.path(number, 1, shift_s=3), "it is empty")
    clock.advance(601)
    store.files.check_timeouts()
    name = telescope.path(0, 1, shift_s=3).name
    assert re.search(rf"\b1\b.*\b4\b.*\b1\b.*{re.escape(name)}.*it is empty", store.files.group(group).error)
    assert [file.path.name for file in store.files.of_group(group) if file.state is FileState.QUARANTINED] == [name]
    assert [file.group for file in store.files.latest(FileState.QUARANTINED)].count(None) == 1
    assert telescope.arrive(0, 1, shift_s=3, size=7).file.group == group, "written again, it joins after all"


def test_only_convert_quarantines_files(store, telescope):
    group = telescope.whole_group()
    store.leases.commit(store.leases.claim(group, Stage.CONVERT, "here"))
    lease = store.leases.claim(group, Stage.CALIBRATE, "here")
    with pytest.raises(ValueError, match="calibrate"):
        store.files.quarantine(telescope.path(0, 1), "NaN", lease=lease)


def test_file_replaced_during_conversion_is_converted_again(store, telescope, clock):
    """What the worker found wrong was in the file before; to set the new one aside would lose it for good."""
    group = telescope.whole_group()
    clock.advance(10)
    lease = store.leases.claim(group, Stage.CONVERT, "worker")
    clock.advance(10)
    telescope.arrive(0, 2, size=101, mtime=2.0)
    clock.advance(10)
    store.files.quarantine(lease.files[2], "truncated", lease=lease)
    assert store.files.latest(FileState.QUARANTINED) == ()
    record = store.files.group(group)
    assert (record.state, record.attempts, record.enqueued_at) == (State.PENDING, 0, None)
    again = store.leases.claim(group, Stage.CONVERT, "worker")
    store.files.quarantine(again.files[2], "truncated", lease=again)
    assert [file.path for file in store.files.latest(FileState.QUARANTINED)] == [again.files[2]]


def test_any_path_and_reason_are_stored(store):
    """As PostgreSQL takes them: no NUL, no byte that is not UTF-8, no path beyond the column."""
    path = Path("/incoming") / (os.fsdecode(b"\xff\n") + 2000 * "x")
    for _ in range(2):
        store.files.quarantine(path, "bytes \0 \x1b of a header", size=1, mtime=1.0)
    (file,) = store.files.latest()
    assert str(file.path).startswith(r"/incoming/\xff\nxxx")
    assert len(str(file.path)) == 1024
    assert file.reason == r"bytes \x00 \x1b of a header"
    (event,) = store.events.last()
    assert event.text.isprintable()
