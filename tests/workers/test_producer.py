import os
import re
import shutil
import threading
import time
from collections.abc import Iterator

import pytest
from waiting import until

from contimg.common.errors import Transient
from contimg.settings import QueueRules
from contimg.store import FileState, JobRecord, Stage, State, Store
from workers.producer import SCAN_BEAT
from workers.producer.producer import Producer
from workers.producer.scanner import EMPTY, FOREIGN, IncomingScanner
from workers.scheduling.dispatcher import Dispatcher
from workers.scheduling.reconciler import Reconciler

STAMP = "2026-02-22T23:17:51"
NEVER_S = 3600.0


class Running:
    """A producer at work in a thread, and what it sent."""

    def __init__(self, store: Store, deployment, poll_interval_s: float) -> None:
        self.sent: list[tuple[str, Stage]] = []
        self.broker_away = False
        self.refused = 0
        self.dispatcher = Dispatcher(store, self.send)
        self.producer = Producer(store, IncomingScanner(deployment.incoming), self.dispatcher, poll_interval_s)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.producer.run, args=(self._stop,))
        self._thread.start()
        until(lambda: store.activity.last_beat(SCAN_BEAT), 5, "the first scan")

    def send(self, job: JobRecord) -> None:
        if self.broker_away:
            self.refused += 1
            raise Transient("broker: does not answer")
        self.sent.append((job.key, job.stage))

    def end(self) -> None:
        self._stop.set()
        self.producer.wake()
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def hinted(store, deployment) -> Iterator[Running]:
    """A producer that scans once and then lives on events alone."""
    running = Running(store, deployment, NEVER_S)
    yield running
    running.end()


@pytest.fixture
def scanning(store, deployment) -> Iterator[Running]:
    """A producer that scans five times a second."""
    running = Running(store, deployment, 0.2)
    yield running
    running.end()


def arrive(deployment, subbands=range(16), stamp=STAMP) -> None:
    """Files come as the correlator writes them: under another name first."""
    for subband in subbands:
        unfinished = deployment.incoming / f"{stamp}_sb{subband:02d}_incomplete.hdf5"
        unfinished.write_bytes(b"visibilities")
        unfinished.rename(deployment.incoming / f"{stamp}_sb{subband:02d}.hdf5")


def test_renamed_files_are_registered_by_events(hinted, store, deployment):
    arrive(deployment)
    until(lambda: hinted.sent, 3, "the group is sent")
    assert hinted.sent == [(STAMP, Stage.CONVERT)]
    group = store.files.group(STAMP)
    assert (group.state, len(group.subbands)) == (State.PENDING, 16)
    assert group.enqueued_at is not None


def test_files_renamed_from_elsewhere_are_registered(scanning, deployment, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    for subband in range(16):
        path = outside / f"{STAMP}_sb{subband:02d}.hdf5"
        path.write_bytes(b"visibilities")
        path.rename(deployment.incoming / path.name)
    until(lambda: scanning.sent == [(STAMP, Stage.CONVERT)], 6, "the group is sent")


def test_files_before_start_are_registered(store, deployment):
    arrive(deployment)
    time.sleep(2.1)  # files so young could still be written
    running = Running(store, deployment, NEVER_S)
    running.end()
    assert running.sent == [(STAMP, Stage.CONVERT)]


def test_second_start_sends_nothing_again(store, deployment):
    arrive(deployment)
    time.sleep(2.1)
    Running(store, deployment, NEVER_S).end()
    again = Running(store, deployment, NEVER_S)
    again.end()
    assert again.sent == []


def test_two_producers_send_group_once(store, deployment):
    both = [Running(store, deployment, 0.2) for _ in range(2)]
    arrive(deployment)
    until(lambda: store.files.group(STAMP) and store.files.group(STAMP).enqueued_at, 5, "the group is sent")
    time.sleep(0.5)
    for producer in both:
        producer.end()
    assert both[0].sent + both[1].sent == [(STAMP, Stage.CONVERT)]


def test_bad_files_are_quarantined_in_place(hinted, store, deployment):
    (deployment.incoming / f"{STAMP}_sb00.hdf5").touch()
    (deployment.incoming / "notes.txt").write_text("not from the correlator")
    until(lambda: len(store.files.latest(FileState.QUARANTINED)) == 2, 3, "both are quarantined")
    reasons = {file.path.name: file.reason for file in store.files.latest(FileState.QUARANTINED)}
    assert reasons == {f"{STAMP}_sb00.hdf5": EMPTY, "notes.txt": FOREIGN}
    assert (deployment.incoming / "notes.txt").exists()


def test_replaced_bad_file_joins_group(hinted, store, deployment):
    bad = deployment.incoming / f"{STAMP}_sb00.hdf5"
    bad.touch()
    until(lambda: store.files.latest(FileState.QUARANTINED), 3, "it is quarantined")
    arrive(deployment)
    until(lambda: hinted.sent, 3, "the group is complete and sent")
    assert store.files.latest(FileState.QUARANTINED) == ()


def test_group_is_sent_on_resume(hinted, store, deployment):
    store.jobs.pause("a test")
    arrive(deployment)
    until(lambda: (group := store.files.group(STAMP)) and group.state is State.PENDING, 3, "the group is complete")
    reconciler = Reconciler(store, hinted.dispatcher, lambda: dict.fromkeys(Stage, 0))
    assert reconciler.round() == ()
    assert hinted.sent == []
    store.jobs.resume("a test")
    assert reconciler.round() == (STAMP,)
    assert hinted.sent == [(STAMP, Stage.CONVERT)]


def test_group_is_sent_when_broker_returns(hinted, store, deployment):
    hinted.broker_away = True
    arrive(deployment)
    until(lambda: hinted.refused and not store.files.group(STAMP).enqueued_at, 3, "the group could not be sent")
    hinted.broker_away = False
    assert Reconciler(store, hinted.dispatcher, lambda: dict.fromkeys(Stage, 0)).round() == (STAMP,)


def test_incomplete_group_is_sent_or_fails_after_timeout(deployment):
    store = Store.open(deployment.config.queue_db, QueueRules(collection_timeout_s=0.5))
    running = Running(store, deployment, 0.2)
    arrive(deployment, range(13))
    arrive(deployment, range(5), stamp="2026-02-22T23:23:00")
    until(lambda: store.files.groups(State.FAILED), 5, "the lesser group fails")
    until(lambda: running.sent, 5, "the greater group is sent")
    running.end()
    assert running.sent == [(STAMP, Stage.CONVERT)]
    assert store.files.group(STAMP).partial
    assert re.search(r"\b5\b.*\b16\b", store.files.groups(State.FAILED)[0].error)
    store.close()


def test_recreated_directory_is_watched_again(store, deployment, monkeypatch):
    running = Running(store, deployment, 0.3)
    shutil.rmtree(deployment.incoming)
    time.sleep(0.8)
    stale = store.activity.last_beat(SCAN_BEAT)
    time.sleep(0.8)
    assert store.activity.last_beat(SCAN_BEAT) == stale, "a scan that failed is no success"
    deployment.incoming.mkdir()
    until(lambda: store.activity.last_beat(SCAN_BEAT) > stale, 3, "it scans again")
    monkeypatch.setattr("workers.producer.scanner.SETTLED_AFTER_S", 3600.0)  # no scan takes files so young
    arrive(deployment)
    until(lambda: running.sent, 3, "the group is sent by events")
    running.end()


def test_producer_survives_store_errors(scanning, store, deployment, monkeypatch):
    from sqlalchemy.exc import OperationalError

    def away(*_args, **_more):
        raise OperationalError("select", {}, Exception("database is locked"))

    with monkeypatch.context() as broken:
        broken.setattr(type(store.files), "register", away)
        arrive(deployment)
        time.sleep(0.6)
        assert scanning.sent == []
    until(lambda: scanning.sent, 6, "the group is sent after all")


def test_scan_registers_files_without_events(store, deployment):
    """As on NFS, where another machine's renames raise none."""
    sent = []
    dispatcher = Dispatcher(store, lambda job: sent.append((job.key, job.stage)))
    producer = Producer(store, IncomingScanner(deployment.incoming), dispatcher, 0.3, "polling")
    stop = threading.Event()
    thread = threading.Thread(target=producer.run, args=(stop,))
    thread.start()
    until(lambda: store.activity.last_beat(SCAN_BEAT), 5, "the first scan")
    began = time.monotonic()
    arrive(deployment)
    until(lambda: sent, 6, "the group is sent")
    assert time.monotonic() - began > 1.5, "only when the files have stood still"
    stop.set()
    producer.wake()
    thread.join(5)


def test_links_are_registered_as_files(hinted, store, deployment, tmp_path):
    for subband in range(16):
        real = tmp_path / f"real{subband}"
        real.write_bytes(b"visibilities")
        (deployment.incoming / f"{STAMP}_sb{subband:02d}.hdf5").symlink_to(real)
    (deployment.incoming / "2026-02-22T23:23:00_sb00.hdf5").symlink_to(tmp_path / "nowhere")
    time.sleep(2.1)
    hinted.producer.scan()
    assert hinted.sent == [(STAMP, Stage.CONVERT)]
    assert len(store.files.latest()) == 16, "a link to nothing is none"


def test_file_from_the_future_is_registered(scanning, deployment):
    """Files from a machine whose clock is an hour ahead count as whole when they stand still under our eyes."""
    arrive(deployment, range(15))
    last = deployment.incoming / f"{STAMP}_sb15.hdf5"
    last.write_bytes(b"visibilities")
    os.utime(last, (time.time() + 3600, time.time() + 3600))
    until(lambda: scanning.sent, 8, "the group is sent")
