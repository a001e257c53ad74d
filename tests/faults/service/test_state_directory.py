"""A state directory that is full, read-only or without inodes, a store that is moved away, logs that are deleted."""

import io
import json
import shutil
import time
from pathlib import Path

import psutil
import pytest
from deployment import Deployment
from users_and_disks import fill, mounted, needs_root
from waiting import until

from contimg.common.errors import Transient
from contimg.common.files.filesystems import write_fault
from contimg.settings import load
from contimg.settings.changes import change
from contimg.simulation import SimulateOptions, simulate
from contimg.store import State, Store
from contimg.store.engine import StoreUnavailable
from workers.doctor import Level
from workers.doctor.storage import check_directories
from workers.execution.processes import ProcessName
from workers.service import StreamingServiceManager
from workers.service.child import ChildPlan, _ChildLog, _copy_lines
from workers.service.records import ServiceRecord, read_record, write_record
from workers.service.supervisor import Supervisor

pytestmark = needs_root
OPTIONS = SimulateOptions(groups=2, antennas=6, channels=16, integrations=4, clock_spread=0, threads=1)


@pytest.fixture
def disk(tmp_path):
    """The state directory, a disk of its own."""
    with mounted(tmp_path / "state", "size=24m") as directory:
        yield directory


def add_events(store: Store, number: int) -> None:
    for _ in range(number):
        store.events.add("x" * 100)


@pytest.mark.parametrize(
    ("options", "is_filled", "word"),
    [
        ("size=4m", False, None),
        ("size=4m", True, "space"),
        ("size=4m,nr_inodes=3", True, "inodes"),
        ("ro", False, "read-only"),
    ],
)
def test_reason_why_nothing_can_be_written(tmp_path, options, is_filled, word):
    with mounted(tmp_path / "disk", options) as directory:
        if "inodes" in options:  # the directory and two files
            (directory / "first").touch()
            (directory / "second").touch()
        elif is_filled:
            fill(directory)
        fault = write_fault(directory / "not/yet/there")
        assert (fault is None) == (word is None)
        if word:
            assert isinstance(fault, Transient)
            assert word in str(fault)
            assert str(directory) in str(fault)


def test_store_on_a_full_disk_is_transient_and_continues(disk):
    store = Store.open(disk / "store.sqlite3")
    store.events.add("before")
    filler = fill(disk)
    with pytest.raises(StoreUnavailable, match=r"store\.sqlite3\b.*no space") as caught:
        add_events(store, 1000)
    assert isinstance(caught.value, Transient)
    assert "\n" not in str(caught.value)
    assert store.events.last(1)
    Store.open(disk / "store.sqlite3").close()
    filler.unlink()
    store.events.add("after")
    assert store.events.last(1)[0].text == "after"
    store.close()


def test_store_that_is_moved_away_is_waited_for(tmp_path):
    path, elsewhere = tmp_path / "store.sqlite3", tmp_path / "elsewhere.sqlite3"
    store = Store.open(path)
    store.events.add("before")
    path.rename(elsewhere)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"store\.sqlite3\b"):
            store.events.add("lost")
        assert not path.exists(), "no empty store takes its place"
    elsewhere.rename(path)
    store.events.add("after")
    assert [event.text for event in store.events.last(5)] == ["after", "before"]
    store.close()


def test_every_entry_names_the_full_disk(disk, tmp_path):
    deployment = Deployment(tmp_path)
    deployment.config.input_dir.mkdir()
    Store.open(deployment.config.queue_db).close()
    fill(disk)
    outcome = StreamingServiceManager(deployment.settings).execute("start")
    assert not outcome.success
    assert "no space" in outcome.message
    with pytest.raises(Transient, match="no space"):
        Supervisor(deployment.settings, environ=deployment.environ).start()
    with pytest.raises(Exception, match="space") as caught:
        change(deployment.settings, {"poll_interval": 2}, "a test")
    assert "\n" not in str(caught.value)
    assert load(deployment.settings).poll_interval == 5.0
    findings = {row.about: row for row in check_directories(deployment.settings, load(deployment.settings))}
    assert findings["state_dir"].level is Level.ERROR
    assert "no space" in findings["state_dir"].text


def test_record_reports_the_full_disk(disk):
    record = ServiceRecord(process=str(ProcessName.of()), stream="running", since=time.time())
    write_record(disk, record)
    fill(disk)
    with pytest.raises(OSError, match="space"):
        write_record(disk, ServiceRecord(record.process, "running", record.since, error="the disk is full"))
    assert read_record(disk).error == "the disk is full"


def test_log_drops_lines_and_continues(disk):
    path = disk / "logs/image.log"
    log = _ChildLog(path)
    log.write_line("first")
    filler = fill(disk)
    for number in range(500):
        log.write_line(f"{number} {'x' * 100}")
    filler.unlink()
    log.write_line("last")
    *_, dropped, last = path.read_text().splitlines()
    assert last == "last"
    assert "were not written" in dropped
    shutil.rmtree(path.parent)
    log.write_line("after the removal")
    assert path.read_text() == "after the removal\n"
    log.close()


def test_output_is_read_although_nothing_can_be_written(tmp_path):
    (tmp_path / "logs").write_text("a file in place of the directory")
    pipe = io.BytesIO(b"one\ntwo\n")
    _copy_lines(pipe, tmp_path / "logs/image.log")
    assert pipe.closed


@pytest.mark.long
@pytest.mark.timeout(900)
def test_stream_pauses_on_a_full_state_directory_and_continues(disk, stream, tmp_path):
    first, second = (sorted(tile.files.values()) for tile in simulate(OPTIONS, tmp_path / "telescope"))
    stream.await_group(stream.deliver(*first), State.COMPLETED)
    children = read_record(disk).children
    filler = fill(disk)
    group = stream.deliver(*second)
    manager = StreamingServiceManager(stream.deployment.settings)
    until(lambda: "no space" in (manager.status().error or ""), 20, "the status names the disk")
    time.sleep(15)
    assert stream.process.poll() is None
    assert stream.store.files.group(group) is None, "nothing is registered on a full disk"
    filler.unlink()
    stream.await_group(group, State.COMPLETED)
    assert stream.process.poll() is None
    assert read_record(disk).children["producer"] == children["producer"]
    until(lambda: manager.status().error is None, 20, "the status is in order again")
    texts = [event.text for event in stream.store.events.last(100)]
    assert any("can be written again" in text for text in texts)
    assert "Traceback" not in (tmp_path / "run.log").read_text()
    assert json.loads((disk / "service.json").read_text())["error"] is None


def test_children_are_killed_when_a_later_one_cannot_be_started(tmp_path, monkeypatch):
    deployment = Deployment(tmp_path)
    deployment.config.input_dir.mkdir()
    plans = [ChildPlan("first", ("sleep", "60"), {}), ChildPlan("second", (str(tmp_path / "missing"),), {})]
    monkeypatch.setattr("workers.service.supervisor.stream_plans", lambda *_: plans)
    before = set(psutil.Process().children())
    with pytest.raises(Transient, match="second"):
        Supervisor(deployment.settings, environ=deployment.environ).start()
    assert set(psutil.Process().children()) <= before


def test_events_of_a_store_that_is_away_are_tried_again_once_a_minute(tmp_path):
    deployment = Deployment(tmp_path)
    supervisor = Supervisor(deployment.settings, environ=deployment.environ)
    store = supervisor._store = Store.open(tmp_path / "store.sqlite3")
    (tmp_path / "store.sqlite3").rename(tmp_path / "elsewhere.sqlite3")
    supervisor.record_event("first")
    (tmp_path / "elsewhere.sqlite3").rename(tmp_path / "store.sqlite3")
    supervisor.record_event("second")
    assert store.events.last(5) == ()
    supervisor._events_due_s = 0.0
    supervisor.record_event("third")
    assert [event.text for event in store.events.last(5)] == ["third", "second", "first"]
    store.close()


def test_limit_of_free_space(tmp_path: Path) -> None:
    assert write_fault(tmp_path) is None
    assert isinstance(write_fault(tmp_path, min_free_bytes=1 << 60), Transient)
