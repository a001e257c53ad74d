"""What an operator types: status, pause, resume; on a store with something in it, and on none."""

import json
import re
import socket
import subprocess
import sys
import time

import pytest
from store_steps import register_file
from waiting import until

from contimg.formats.uvh5.grouping import subband_file_name
from contimg.store import Stage
from workers.execution.processes import ProcessName
from workers.service import StreamingServiceManager
from workers.service.records import ServiceRecord, write_record


def test_status_before_the_first_start(deployment, store):
    outcome = deployment.contimg("status")
    assert outcome.returncode == 0
    first_line = outcome.stdout.splitlines()[0]
    assert "stopped" in first_line
    assert "contimg run" in first_line
    status = json.loads(deployment.contimg("status", "--json").stdout)
    assert set(status["states"].values()) == {0}
    assert status["service"]["running"] is False
    assert status["health"]["healthy"] is False
    assert status["health"]["error"]


def test_status_lists_waiting_running_and_quarantined(deployment, store):
    for number in range(16):
        name = subband_file_name(1_771_802_000.0, number)
        register_file(store, f"{deployment.incoming}/{name}", 1, 1.0)
        register_file(store, f"{deployment.incoming}/{subband_file_name(1_771_802_309.0, number)}", 1, 1.0)
    store.files.quarantine(deployment.incoming / "notes.txt", "its name is wrong", size=1, mtime=1.0)
    running, waiting = "2026-02-22T23:13:20", "2026-02-22T23:18:29"
    store.leases.claim(running, Stage.CONVERT, "host:1:1:1")
    text = deployment.contimg("status").stdout
    assert re.search(rf"{running}\b.*\bconvert\b.*\b1\b", text)
    assert re.search(rf"{re.escape(str(deployment.incoming))}/notes\.txt\b.*its name is wrong", text)
    status = json.loads(deployment.contimg("status", "--json").stdout)
    assert status["states"] == status["states"] | {"pending": 1, "in_progress": 1}
    assert status["waiting"]["convert"] == 1
    assert status["running"][0]["group"] == running
    assert waiting not in [stage_run["group"] for stage_run in status["running"]]


def test_status_lists_alerts_and_backlog(deployment, store):
    store.alerts.update("worker", "worker: no worker takes from image", level="error")
    text = deployment.contimg("status").stdout
    assert re.search(r"\b\d+ (s|min)\b.*worker: no worker takes from image", text)
    status = json.loads(deployment.contimg("status", "--json").stdout)
    assert [alert["rule"] for alert in status["alerts"]] == ["worker"]
    assert (status["pulse"]["waiting"], status["pulse"]["catch_up_s"]) == (0, None)


def test_pause_and_resume(deployment, store):
    assert deployment.contimg("pause", "--by", "a test").returncode == 0
    assert store.jobs.paused
    assert deployment.contimg("resume").returncode == 0
    assert not store.jobs.paused
    words = [re.match("resume|pause", event.text.lower()) for event in store.events.last(2)]
    assert [word and word[0] for word in words] == ["resume", "pause"]


def test_stream_of_another_manager_is_running_and_not_controlled(deployment, store, monkeypatch):
    """systemd or containers run a producer on the same store: its scans tell."""
    store.activity.beat("producer.scan")
    for name, value in deployment.environ.items():
        monkeypatch.setenv(name, value)
    manager = StreamingServiceManager(deployment.settings)
    status = manager.status()
    assert (status.running, status.pid) == (True, None)
    assert manager.health().healthy
    for outcome in (manager.execute("start"), manager.execute("stop")):
        assert not outcome.success
        assert outcome.message


def test_health_depends_on_scan_age(deployment, store, monkeypatch):
    for name, value in deployment.environ.items():
        monkeypatch.setenv(name, value)
    store.activity.beat("producer.scan")
    record = ServiceRecord(process=str(ProcessName.of()), stream="running", since=time.time() - 3600)
    write_record(deployment.root / "state", record)
    manager = StreamingServiceManager(deployment.settings)
    assert manager.health().healthy
    later = store.activity.last_beat("producer.scan") + 40
    monkeypatch.setattr("workers.service.manager.time.time", lambda: later)
    health = manager.health()
    assert (health.healthy, health.running) == (False, True), "processes live, but nothing is scanned"
    assert re.search(r"\b40 s\b", health.error)


@pytest.mark.parametrize(("name", "value"), [("CONTIMG_WEB_PORT", "many"), ("CONTIMG_BROKER_URL", "amqp://host")])
def test_worker_with_a_wrong_setting_prints_one_line(deployment, name, value):
    deployment.more[name] = value
    command = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-Q", "convert"]
    worker = subprocess.run(command, env=deployment.environ, capture_output=True, text=True, timeout=120)
    assert worker.returncode == 2
    assert re.match(rf"contimg: {name}='?{value}'?\W", worker.stderr)
    assert len(worker.stderr.splitlines()) == 1


def test_unsupported_value_in_the_file_is_a_warning(deployment, store):
    (deployment.root / "state/streaming_config.json").write_text(json.dumps({"use_subprocess": False}))
    assert deployment.contimg("config", "set", "use_subprocess=false").returncode == 2
    producer = deployment.start_process(*deployment.command("producer"), log="producer.log")
    try:
        until(lambda: store.activity.last_beat("producer.scan"), 30, "the first scan")
    finally:
        producer.terminate()
        producer.wait(60)
    (event,) = store.events.last(level="warning")
    assert re.search(r"use_subprocess=false.*streaming_config\.json", event.text)


def test_producer_runs_without_a_broker_until_sigterm(deployment, store):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        deployment.more["CONTIMG_BROKER_URL"] = f"redis://127.0.0.1:{closed.getsockname()[1]}/0"
        producer = deployment.start_process(*deployment.command("producer"), log="producer.log")
        deadline = time.monotonic() + 60
        while store.activity.last_beat("producer.scan") is None:
            assert time.monotonic() < deadline, "it scans although no broker answers"
            time.sleep(0.05)
        producer.terminate()
        assert producer.wait(60) == 0
    assert "Traceback" not in (deployment.root / "producer.log").read_text()


@pytest.mark.long
def test_start_restart_stop_commands(deployment, store):
    try:
        started = deployment.contimg("start", "--by", "Vera")
        assert started.returncode == 0, started.stderr
        first = deployment.contimg("status", "--json")
        assert json.loads(first.stdout)["service"]["running"]
        assert deployment.contimg("restart", "--by", "Vera").returncode == 0
        assert deployment.contimg("config", "set", "max_workers=3", "--by", "Vera", "--restart").returncode == 0
    finally:
        stopped = deployment.contimg("stop", "--by", "Vera")
    assert stopped.returncode == 0, stopped.stderr
    texts = [event.text for event in reversed(store.events.last(50)) if "Vera" in event.text]
    patterns = (r"\bstart", r"\brestart", r"\bmax_workers\b.*\b3\b", r"\brestart", r"\bstop")
    assert len(texts) == len(patterns)
    assert all(re.search(pattern, text) for pattern, text in zip(patterns, texts, strict=True)), texts


def test_failed_start_command_reports_the_reason(deployment):
    deployment.incoming.rmdir()
    refused = deployment.contimg("start")
    assert refused.returncode == 1
    assert str(deployment.incoming) in refused.stderr
    assert refused.stderr.count("\n") == 1
