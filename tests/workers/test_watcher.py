"""Events are hints: whatever becomes of them, the scan takes in every file, and a new observer brings them back."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from waiting import until
from watchdog.events import FileSystemEvent

from contimg.formats.uvh5.grouping import stamp_of
from contimg.settings import QueueRules
from contimg.store import FileState, State, Store
from workers.producer import SCAN_BEAT
from workers.producer.producer import Producer
from workers.producer.scanner import IncomingScanner
from workers.producer.watcher import IncomingWatcher
from workers.scheduling.dispatcher import Dispatcher

T0, CADENCE_S = 1_771_802_271, 309
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


def arrive(deployment, number: int, subbands=range(16)) -> str:
    """A group comes as the correlator writes it; its name."""
    stamp = stamp_of(T0 + CADENCE_S * number)
    for subband in subbands:
        unfinished = deployment.incoming / f"{stamp}_sb{subband:02d}_incomplete.hdf5"
        unfinished.write_bytes(b"visibilities")
        unfinished.rename(deployment.incoming / f"{stamp}_sb{subband:02d}.hdf5")
    return stamp


def is_complete(store: Store, group: str) -> bool:
    record = store.files.group(group)
    return record is not None and record.state is State.PENDING and len(record.subbands) == 16


@pytest.fixture
def little_queue() -> Iterator[None]:
    """The kernel keeps four events for whoever begins to watch meanwhile, and drops the rest."""
    if os.geteuid() != 0 or not QUEUE.exists():
        pytest.skip("only root may make the kernel's queue of events smaller")
    before = QUEUE.read_text()
    QUEUE.write_text("4")
    yield
    QUEUE.write_text(before)


def test_event_overflow_loses_no_file(deployment, store, little_queue):
    """A producer process that cannot read its events for a while, and a kernel that drops them."""
    deployment.more |= {"CONTIMG_POLL_INTERVAL": "3", "CONTIMG_BROKER_URL": "redis://127.0.0.1:9/0"}
    producer = deployment.start_process(*deployment.command("producer"), log="producer.log")
    try:
        until(lambda: store.activity.last_beat(SCAN_BEAT), 30, "the first scan")
        process = psutil.Process(producer.pid)
        process.send_signal(signal.SIGSTOP)
        groups = [arrive(deployment, number) for number in range(5)]
        process.send_signal(signal.SIGCONT)
        until(lambda: all(is_complete(store, group) for group in groups), 15, "every group is complete")
        assert store.files.latest(FileState.QUARANTINED) == ()
        assert producer.poll() is None
    finally:
        producer.kill()
        producer.wait()


@pytest.fixture
def producing(store, deployment) -> Iterator[Producer]:
    """A producer that scans every second."""
    producer = Producer(store, IncomingScanner(deployment.incoming), Dispatcher(store, lambda *_: None), 1.0)
    stop = threading.Event()
    loop = threading.Thread(target=producer.run, args=(stop,))
    loop.start()
    until(lambda: store.activity.last_beat(SCAN_BEAT), 5, "the first scan")
    yield producer
    stop.set()
    producer.wake()
    loop.join(10)
    assert not loop.is_alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_observer_is_replaced_after_handler_error(producing, store, deployment, monkeypatch):
    real, raised = IncomingWatcher.on_any_event, []

    def fail_once(watcher: IncomingWatcher, event: FileSystemEvent) -> None:
        if not raised:
            raised.append(event)
            raise ValueError("a mistake of ours")
        real(watcher, event)

    monkeypatch.setattr(IncomingWatcher, "on_any_event", fail_once)
    first = arrive(deployment, 0)
    until(lambda: is_complete(store, first), 8, "the scan finds it without events")
    assert raised
    since = time.time()
    until(lambda: store.activity.last_beat(SCAN_BEAT) > since, 5, "a scan, which starts a new observer")
    monkeypatch.setattr("workers.producer.scanner.SETTLED_AFTER_S", 3600.0)  # no scan takes files so young
    second = arrive(deployment, 1)
    until(lambda: is_complete(store, second), 5, "the next one is found by events")


def test_watcher_recovers_from_missing_inotify_instances(deployment, store, monkeypatch, caplog):
    from workers.producer import watcher as watcher_module

    def none_left(*_: object, **__: object) -> None:
        raise OSError(24, "inotify instance limit reached")

    producer = Producer(store, IncomingScanner(deployment.incoming), Dispatcher(store, lambda *_: None), 3600.0)
    with monkeypatch.context() as poor:
        poor.setattr(watcher_module.Observer, "start", none_left)
        for _ in range(3):
            producer.scan()
    warnings = [record for record in caplog.records if "inotify instance limit reached" in record.getMessage()]
    assert len(warnings) == 1, "logged once, tried at every scan"
    producer.scan()
    group = arrive(deployment, 0)

    def is_followed() -> bool:
        producer.process_events()
        return is_complete(store, group)

    until(is_followed, 3, "by events alone")
    producer.watcher.stop()


class Clock:
    now = float(T0)

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("step_s", [-86400.0, 86400.0])
def test_clock_step_during_arrival_loses_no_group(deployment, step_s):
    clock, sent = Clock(), []
    store = Store.open(deployment.config.queue_db, QueueRules(collection_timeout_s=600), clock=clock)
    producer = Producer(
        store,
        IncomingScanner(deployment.incoming),
        Dispatcher(store, lambda job: sent.append(job.key)),
        3600,
        "polling",
    )
    group = arrive(deployment, 0, range(8))
    time.sleep(2.1)  # a scan takes what stands still
    producer.scan()
    clock.now += step_s
    producer.scan()
    state = store.files.group(group).state
    assert state is (State.FAILED if step_s > 0 else State.COLLECTING)
    arrive(deployment, 0, range(8, 16))
    time.sleep(2.1)
    producer.scan()
    assert sent == [group]
    assert not store.files.group(group).partial
    store.close()
