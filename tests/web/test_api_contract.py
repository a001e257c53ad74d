"""The eight endpoints that clients of the telescope's earlier API use, by the names and types that these rely on."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from observing_night import Night
from running_service import RunningService

from contimg.settings import Settings, load
from contimg.settings.file import save
from contimg.store import Store

OPTIONAL_NUMBER = (int, float, type(None))
STATES = {"collecting", "pending", "in_progress", "completed", "failed"}
FULL_CONFIGURATION: dict[str, Any] = {
    "queue_db": None, "registry_db": "/data/cal_registry.sqlite3", "expected_subbands": 16, "chunk_duration": 5.0,
    "log_level": "critical", "use_subprocess": True, "monitoring": True, "monitor_interval": 60.0,
    "poll_interval": 5.0, "worker_poll_interval": 5.0, "max_workers": 4, "stage_to_tmpfs": False,
    "tmpfs_path": "/dev/shm", "scratch_dir": None,
}  # fmt: skip


@pytest.fixture
def post(client: FlaskClient, operator: dict[str, str]) -> Callable[..., Any]:
    return lambda path, body=None: client.post(f"/api/streaming/{path}", json=body, headers=operator)


def test_fields_of_reads(client: FlaskClient, full_night: Night) -> None:
    status = client.get("/api/streaming/status").get_json()
    assert isinstance(status["running"], bool)
    assert isinstance(status["config"], dict)
    for name in ("pid", "uptime_seconds", "cpu_percent", "memory_mb"):
        assert isinstance(status[name], OPTIONAL_NUMBER), name
    health = client.get("/api/streaming/health").get_json()
    assert (health["healthy"], health["running"]) == (True, True)
    metrics = client.get("/api/streaming/metrics").get_json()
    assert metrics["service_running"] is True
    assert metrics["uptime_seconds"] == pytest.approx(45_000.0)
    assert set(metrics["queue_stats"]) >= STATES
    assert metrics["processing_rate_per_hour"] == metrics["groups_per_hour"] > 0
    assert client.get("/api/health").get_json() == {"status": "ok"}


def test_overall_status(client: FlaskClient, store: Store, full_night: Night) -> None:
    status = client.get("/api/status?limit=7").get_json()
    counts = {state: sum(group.state == state for group in store.files.groups(limit=500)) for state in STATES}
    assert status["queue"] == {**counts, "total": sum(counts.values())}
    assert len(status["recent_groups"]) == 7
    for row, group in zip(status["recent_groups"], store.files.groups(limit=7), strict=True):
        assert (row["group_id"], row["state"]) == (group.id, group.state)
        assert datetime.fromisoformat(row["received_at"]).timestamp() == pytest.approx(group.created_at, abs=1e-3)
        assert datetime.fromisoformat(row["last_update"]).timestamp() == pytest.approx(group.updated_at, abs=1e-3)
        assert (row["subbands_present"], row["expected_subbands"]) == (len(group.subbands), 16)
        assert isinstance(row["has_calibrator"], bool)
    (caltable_set,) = status["calibration_sets"]
    registered = store.registry.sets()[0]
    assert caltable_set["set_name"] == registered.name
    assert caltable_set["tables"] == [str(table.path) for table in registered.tables]
    assert caltable_set["active"] == caltable_set["total"] == len(registered.tables)
    assert len(client.get("/api/status?limit=2").get_json()["recent_groups"]) == 2
    assert client.get("/api/status?limit=0").status_code == 400


@pytest.mark.parametrize("command", ["start", "restart"])
def test_configuration_in_body_is_saved_and_used(
    post: Callable[..., Any], settings: Settings, service: RunningService, store: Store, command: str
) -> None:
    service.running = command == "restart"
    answer = post(command, FULL_CONFIGURATION)
    assert answer.status_code == 200
    assert answer.get_json()["success"] is True
    assert service.commands == [command]
    config = load(settings)
    assert (config.max_workers, config.log_level, config.monitor_interval) == (4, "CRITICAL", 60.0)
    assert config.registry_db == config.queue_db  # one store, which the message states
    assert "registry_db" in answer.get_json()["message"]
    assert any("max_workers" in event.text for event in store.events.last(3))


@pytest.mark.parametrize("command", ["start", "restart", "stop", "pause", "resume"])
def test_body_that_is_not_honoured_is_refused(
    post: Callable[..., Any], settings: Settings, service: RunningService, store: Store, command: str
) -> None:
    service.running = command != "start"
    answer = post(command, {"bogus": 1})
    assert answer.status_code == 400
    assert answer.get_json()["detail"] == answer.get_json()["error"]
    assert service.commands == []
    assert not store.jobs.paused
    assert not settings.config_path.exists()


@pytest.mark.parametrize(("command", "is_running"), [("start", True), ("stop", False)])
@pytest.mark.parametrize("body", [None, {}])
def test_command_without_effect_is_no_success(
    post: Callable[..., Any], service: RunningService, command: str, is_running: bool, body: dict[str, Any] | None
) -> None:
    service.running = is_running
    answer = post(command, body)
    assert answer.status_code == 200
    assert (answer.get_json()["success"], answer.get_json()["pid"]) == (False, 4711)
    assert answer.get_json()["message"]
    assert service.commands == []


def test_configuration_of_running_stream_is_not_changed_by_start(
    post: Callable[..., Any], settings: Settings, service: RunningService
) -> None:
    assert post("start", {"max_workers": 4}).status_code == 409
    assert not settings.config_path.exists()
    assert service.commands == []


@pytest.mark.parametrize("level", ["debug", "Info", "CRITICAL"])
def test_log_level_in_any_case(post: Callable[..., Any], settings: Settings, level: str) -> None:
    assert post("config", {"log_level": level}).status_code == 200
    assert load(settings).log_level == level.upper()


def test_configuration_as_read_changes_nothing(
    client: FlaskClient, post: Callable[..., Any], settings: Settings, service: RunningService
) -> None:
    save(settings, {"queue_db": "postgresql+psycopg://user:secret@db.example/contimg"})
    config = client.get("/api/streaming/config").get_json()
    assert "secret" not in str(config)
    answer = post("config", {"queue_db": config["queue_db"], "registry_db": config["registry_db"]})
    assert (answer.status_code, answer.get_json()["success"]) == (200, True)
    assert service.commands == []
    assert "secret" in load(settings).queue_db
