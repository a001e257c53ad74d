"""What the API answers about a night that the store really holds."""

import time
from datetime import datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from observing_night import Night
from prometheus_client.parser import text_string_to_metric_families
from running_service import RunningService

from contimg.settings import Settings
from contimg.store import Stage, State, Store
from web import create_app
from web.http.errors import Problem

pytestmark = pytest.mark.usefixtures("full_night")


def test_status_agrees_with_store(client: FlaskClient, store: Store) -> None:
    answer = client.get("/api/status").get_json()
    snapshot = store.overview.snapshot()
    assert answer["states"] == {str(state): number for state, number in snapshot.states.items()}
    assert answer["states"] == {
        "collecting": 1, "pending": 1, "in_progress": 2, "completed": 12, "failed": 1, "discarded": 0
    }  # fmt: skip
    assert answer["condition"]["state"] == "running"
    assert {run["stage"] for run in answer["running"]} == {"image", "calibrate"}
    assert answer["set_aside_count"] == 2
    assert "truncated" in answer["set_aside"][0]["reason"] + answer["set_aside"][1]["reason"]
    assert answer["failed"][0]["error"].startswith("declination differs")
    at = datetime.fromisoformat(answer["at"])
    assert at.utcoffset() is not None
    assert abs(at.timestamp() - time.time()) < 30


def test_real_time_factor(client: FlaskClient) -> None:
    rates = client.get("/api/status").get_json()["rates"]
    assert rates["stage_seconds"] == {"convert": 6.4, "calibrate": 31.0, "image": 9.7}
    assert rates["real_time_factor"] == pytest.approx(309 / (6.4 + 31.0 + 9.7))


def test_streaming_reads(client: FlaskClient, service: RunningService) -> None:
    status = client.get("/api/streaming/status").get_json()
    assert set(status) == {
        "running", "pid", "started_at", "uptime_seconds", "cpu_percent", "memory_mb", "last_heartbeat", "config",
        "error", "paused", "backend", "container",
    }  # fmt: skip
    assert status["pid"] == service.pid
    assert (status["backend"], status["container"]) == ("docker", "contimg-stream-1")
    health = client.get("/api/streaming/health").get_json()
    assert health == {
        "healthy": True, "running": True, "uptime_seconds": 45_000.0, "cpu_percent": 61.0, "memory_mb": 2212.0,
        "error": None,
    }  # fmt: skip
    config = client.get("/api/streaming/config").get_json()
    assert len(config) == 16
    assert config["expected_subbands"] == 16
    metrics = client.get("/api/streaming/metrics").get_json()
    assert metrics["states"]["completed"] == 12
    assert metrics["scan_age_s"] < 30


def test_health_depends_on_scan_age(client: FlaskClient, full_night: Night) -> None:
    full_night.at = time.time() - 3600
    full_night.store.activity.beat("producer.scan")
    health = client.get("/api/streaming/health").get_json()
    assert health["running"] is True
    assert health["healthy"] is False
    assert "60 min" in health["error"]


def test_read_only_panel_derives_running_from_scans(settings: Settings, store: Store, full_night: Night) -> None:
    client = create_app(settings, store, fresh_s=0.0).test_client()
    assert client.get("/api/status").get_json()["condition"]["state"] == "running"
    full_night.at = time.time() - 600
    full_night.store.activity.beat("producer.scan")
    condition = client.get("/api/status").get_json()["condition"]
    assert condition["state"] == "stopped"
    assert "10 min" in condition["reason"]


def test_invalid_configuration_is_reason_of_condition(client: FlaskClient, settings: Settings, store: Store) -> None:
    settings.config_path.write_text('{"max_workers": 0}', encoding="utf-8")
    for panel in (client, create_app(settings, store, fresh_s=0.0).test_client()):
        condition = panel.get("/api/status").get_json()["condition"]
        assert condition["state"] == "stalled"
        assert "max_workers" in condition["reason"]
        assert panel.get("/").status_code == 200
    answer = client.get("/api/streaming/config")
    assert answer.status_code == 500
    assert "max_workers" in answer.get_json()["error"]


def test_queue_by_state_and_limit(client: FlaskClient) -> None:
    everything = client.get("/api/queue").get_json()
    assert len(everything["groups"]) == 17
    ids = [group["id"] for group in everything["groups"]]
    assert ids == sorted(ids, reverse=True)
    failed = client.get("/api/queue?state=failed").get_json()["groups"]
    assert [group["state"] for group in failed] == ["failed"]
    assert len(client.get("/api/queue?limit=3").get_json()["groups"]) == 3
    collecting = client.get("/api/queue?state=collecting").get_json()["groups"][0]
    assert collecting["subbands"] == [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 14]


def test_group_detail(client: FlaskClient, store: Store) -> None:
    image = store.products.images(1)[0]
    group = client.get(f"/api/groups/{image.group}").get_json()
    assert group["state"] == "completed"
    assert [(run["stage"], run["outcome"]) for run in group["runs"]] == [
        ("convert", "committed"), ("calibrate", "committed"), ("image", "committed")
    ]  # fmt: skip
    assert group["runs"][0]["peak_rss_bytes"] == 1_600_000_000
    assert len(group["files"]) == 16
    assert group["measurement_set"]["channels"] == 768
    assert group["image"]["id"] == image.id
    assert any("completed" in event["text"].lower() for event in group["events"])


def test_images_are_paged_by_observation_time(client: FlaskClient, store: Store) -> None:
    ids, before = [], ""
    while True:
        page = client.get(f"/api/images?limit=5{before}").get_json()
        ids += [image["id"] for image in page["images"]]
        if page["next_before_mjd"] is None:
            break
        before = f"&before_mjd={page['next_before_mjd']!r}"
    assert ids == [image.id for image in store.products.images(100)]


def test_image_names_its_calibration(client: FlaskClient) -> None:
    images = client.get("/api/images").get_json()["images"]
    plain = [image for image in images if not image["calibrated"]]
    assert len(plain) == 2
    assert all(image["calibration_note"] == "no set is valid at this time" for image in plain)
    assert all(image["verdict"] == "suspect" and image["verdict_reasons"] for image in plain)
    image = images[0]
    assert image["calibration_set"] == "3C48_2026-02-22"
    assert image["observed_at"][:19] == image["group"]


def test_image_states_what_ended_its_cleaning(client: FlaskClient) -> None:
    images = client.get("/api/images").get_json()["images"]
    (plain, *_), (calibrated, *_) = ([image for image in images if image["calibrated"] is is_calibrated]
                                     for is_calibrated in (False, True))  # fmt: skip
    assert (calibrated["clean_stopped_by"], calibrated["uncleaned_jy"]) == ("noise", 0.0)
    assert (plain["clean_stopped_by"], plain["iterations"], plain["uncleaned_jy"]) == ("iterations", 4321, 0.25)
    assert plain["expected_rms_jy"] is None
    page = client.get(f"/images/{plain['id']}").get_data(as_text=True)
    assert "4321 iterations, ended by iterations" in page
    assert "cleaned to the noise" in page


def test_image_lists_what_was_subtracted(client: FlaskClient) -> None:
    images = client.get("/api/images").get_json()["images"]
    (plain, *_), (calibrated, *_) = ([image for image in images if image["calibrated"] is is_calibrated]
                                     for is_calibrated in (False, True))  # fmt: skip
    assert (calibrated["subtracted_count"], calibrated["subtracted_jy"]) == (38, 0.74)
    assert calibrated["subtracted_sources"][0]["distance_deg"] == 2.64
    table = client.get(calibrated["subtracted_url"])
    assert (table.status_code, table.mimetype) == (200, "text/csv")
    assert table.data.startswith(b"name,flux_jy\n")
    page = client.get(f"/images/{calibrated['id']}").get_data(as_text=True)
    assert "38 sources, 740 mJy" in page
    assert "2.64°" in page
    assert calibrated["subtracted_url"] in page
    assert (plain["subtracted_count"], plain["subtracted_url"], plain["subtracted_sources"]) == (None, None, [])
    assert client.get(f"/api/images/{plain['id']}/subtracted.csv").status_code == 404
    assert "subtracted-title" not in client.get(f"/images/{plain['id']}").get_data(as_text=True)


def test_calibrations(client: FlaskClient) -> None:
    (caltable_set,) = client.get("/api/calibrations").get_json()["calibrations"]
    assert (caltable_set["name"], caltable_set["calibrator"], caltable_set["reference_antenna"]) == (
        "3C48_2026-02-22",
        "3C48",
        "103",
    )
    assert [table["kind"] for table in caltable_set["tables"]] == ["bandpass", "gain"]


def test_metrics_parse_as_prometheus_text(client: FlaskClient) -> None:
    answer = client.get("/metrics")
    assert answer.content_type.startswith("text/plain")
    samples = {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["contimg_groups", (str(State.COMPLETED),)] == 12
    assert samples["contimg_groups_waiting", (str(Stage.CONVERT),)] == 1
    assert samples["contimg_stage_seconds_median", (str(Stage.CALIBRATE),)] == 31.0
    assert samples["contimg_files_set_aside", ()] == 2
    assert samples["contimg_memory_bytes", ()] == 2212.0 * 1024**2
    assert samples["contimg_healthy", ()] == 1


def test_healthz(client: FlaskClient) -> None:
    assert client.get("/healthz").text == "ok\n"


ERRORS = (
    ("/api/groups/2001-01-01T00:00:00", 404, "2001-01-01T00:00:00"),
    ("/api/images/999", 404, "999"),
    ("/api/images/99999999999999999999999", 404, "99999999999999999999999"),
    ("/api/nothing", 404, "/api/nothing"),
    ("/api/queue?limit=0", 400, "limit"),
    ("/api/queue?limit=9999", 400, "limit"),
    ("/api/queue?state=lost", 400, "state"),
    ("/api/queue?colour=red", 400, "colour"),
    ("/api/images?before_mjd=nan", 400, "before_mjd"),
    ("/api/events?after=-1", 400, "after"),
    ("/api/events?after=99999999999999999999", 400, "after"),
)


def test_errors_have_hints(client: FlaskClient) -> None:
    for path, status, words in ERRORS:
        answer = client.get(path)
        assert answer.status_code == status, path
        assert set(answer.get_json()) == set(Problem.model_fields)
        assert words in answer.get_json()["error"]
        assert answer.get_json()["hint"]


def test_method_not_allowed_lists_methods(client: FlaskClient) -> None:
    answer = client.post("/api/status")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]
    assert "error" in answer.get_json()


def test_unavailable_store_answers_503(app: Flask, store: Store) -> None:
    with store.database.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE events RENAME TO gone")
        connection.commit()
    client = app.test_client()
    answer = client.get("/api/status")
    assert answer.status_code == 503
    assert set(answer.get_json()) == set(Problem.model_fields)
    assert answer.headers["Retry-After"]
    page = client.get("/")
    assert page.status_code == 503
    assert answer.get_json()["error"] in page.text
