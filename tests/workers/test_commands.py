"""What an operator types: status, pause, resume; on a store with something in it, and on none."""

import json
import socket
import subprocess
import sys
import time

import pytest
from store_steps import register_file

from contimg.formats.uvh5.grouping import SubbandName
from contimg.store import Stage
from workers.execution.processes import ProcessName
from workers.service import StreamingServiceManager
from workers.service.records import ServiceRecord, write_record


def test_status_of_a_place_where_nothing_ever_ran(place):
    told = place.contimg("status")
    assert told.returncode == 0
    assert told.stdout.splitlines()[0] == "stopped; `contimg run` starts it"
    said = json.loads(place.contimg("status", "--json").stdout)
    assert set(said["states"].values()) == {0}
    assert said["service"]["running"] is False
    assert said["health"] == said["health"] | {"healthy": False, "error": "the stream is not running"}


def test_status_names_what_waits_what_runs_and_what_is_wrong(place, store):
    for number in range(16):
        name = SubbandName(1_771_802_000.0, number)
        register_file(store, f"{place.incoming}/{name}", 1, 1.0, name)
        register_file(store, f"{place.incoming}/{SubbandName(name.time_s + 309, number)}", 1, 1.0,
                                     SubbandName(name.time_s + 309, number))  # fmt: skip
    store.arrivals.set_aside(place.incoming / "notes.txt", "its name is wrong", size=1, mtime=1.0)
    running, waiting = "2026-02-22T23:13:20", "2026-02-22T23:18:29"
    store.leases.claim(running, Stage.CONVERT, "host:1:1:1")
    told = place.contimg("status").stdout
    assert f"{running}  convert, attempt 1, for " in told
    assert "waiting: 1 for convert; the oldest for " in told
    assert f"{place.incoming}/notes.txt: its name is wrong" in told
    said = json.loads(place.contimg("status", "--json").stdout)
    assert said["states"] == said["states"] | {"pending": 1, "in_progress": 1}
    assert said["running"][0]["group"] == running
    assert waiting not in [one["group"] for one in said["running"]]


def test_status_names_alerts_and_the_backlog(place, store):
    store.alerts.judge("worker", "worker: no worker takes from image", level="error")
    told = place.contimg("status").stdout
    assert "alert for 0 s: worker: no worker takes from image" in told or "alert for 1 s: worker" in told
    said = json.loads(place.contimg("status", "--json").stdout)
    assert [one["rule"] for one in said["alerts"]] == ["worker"]
    assert (said["pulse"]["waiting"], said["pulse"]["catch_up_s"]) == (0, None)


def test_pause_and_resume(place, store):
    assert place.contimg("pause", "--by", "a test").returncode == 0
    assert store.queue.paused
    assert place.contimg("resume").returncode == 0
    assert not store.queue.paused
    assert [event.text.split(" by ")[0] for event in store.events.last(2)] == ["resumed", "paused"]


def test_a_stream_run_by_something_else_counts_as_running_and_is_not_ours_to_stop(place, store, monkeypatch):
    """systemd or containers run a producer on the same store: its scans tell."""
    store.queue.beat("producer.scan")
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    manager = StreamingServiceManager(place.settings)
    status = manager.status()
    assert (status.running, status.pid) == (True, None)
    assert manager.health().healthy
    for outcome in (manager.start(), manager.stop()):
        assert not outcome.success
        assert "systemd" in outcome.message


def test_health_is_the_age_of_the_last_scan(place, store, monkeypatch):
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    store.queue.beat("producer.scan")
    record = ServiceRecord(process=str(ProcessName.of()), stream="running", since=time.time() - 3600)
    write_record(place.root / "state", record)
    manager = StreamingServiceManager(place.settings)
    assert manager.health().healthy
    later = time.time() + 40
    monkeypatch.setattr("workers.service.manager.time.time", lambda: later)
    health = manager.health()
    assert (health.healthy, health.running) == (False, True), "processes live, but nothing is scanned"
    assert "was last scanned 40 s ago" in health.error


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CONTIMG_WEB_PORT", "many", "contimg: CONTIMG_WEB_PORT='many': expected int"),
        ("CONTIMG_BROKER_URL", "amqp://host", "contimg: CONTIMG_BROKER_URL=amqp://host: not the URL of a Redis"),
    ],
)
def test_a_worker_with_a_wrong_setting_is_one_line(place, name, value, said):
    place.more[name] = value
    command = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-Q", "convert"]
    worker = subprocess.run(command, env=place.environ, capture_output=True, text=True, timeout=30)
    assert worker.returncode == 2
    assert worker.stderr.startswith(said)
    assert len(worker.stderr.splitlines()) == 1


def test_a_producer_alone_runs_until_it_is_told_to_end(place, store):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        place.more["CONTIMG_BROKER_URL"] = f"redis://127.0.0.1:{closed.getsockname()[1]}/0"
        producer = place.start(*place.command("producer"), log="producer.log")
        deadline = time.monotonic() + 20
        while store.queue.last_beat("producer.scan") is None:
            assert time.monotonic() < deadline, "it scans although no broker answers"
            time.sleep(0.05)
        producer.terminate()
        assert producer.wait(10) == 0
    assert (place.root / "producer.log").read_text().splitlines()[-1].endswith("ended")


def test_the_stream_is_started_restarted_and_stopped_by_commands(place, store):
    try:
        started = place.contimg("start", "--by", "Vera")
        assert (started.returncode, started.stdout) == (0, "the stream was started\n"), started.stderr
        first = place.contimg("status", "--json")
        assert json.loads(first.stdout)["service"]["running"]
        assert place.contimg("restart", "--by", "Vera").stdout == "the stream was restarted\n"
        assert place.contimg("config", "set", "max_workers=3", "--by", "Vera", "--restart").returncode == 0
    finally:
        stopped = place.contimg("stop", "--by", "Vera")
    assert (stopped.returncode, stopped.stdout) == (0, "the stream was stopped\n"), stopped.stderr
    told = [one.text for one in reversed(store.events.last(50))]
    orders = [one for one in told if " by Vera" in one]
    assert [one.split(" by ")[0] for one in orders] == ["start", "restart", "configuration changed", "restart", "stop"]


def test_an_order_that_cannot_be_carried_out_says_why(place):
    place.incoming.rmdir()
    refused = place.contimg("start")
    assert refused.returncode == 1
    assert "no such directory" in refused.stderr
    assert refused.stderr.count("\n") == 1
