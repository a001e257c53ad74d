"""Acknowledge and silence alerts, and plan maintenance windows, through the API."""

import pytest
from flask.testing import FlaskClient
from observing_night import Night
from signing_in import csrf_of, sign_in

from contimg.store import DiskPause, Store

ROUTES = ("/api/alerts/1/acknowledge", "/api/alerts/1/silence", "/api/maintenance", "/api/maintenance/1/end")
BODY = {"until": "8h", "reason": "power cut"}


@pytest.fixture
def alert_id(night: Night) -> int:
    night.store.alerts.update("no data", "no data: no file for 20 min", level="error")
    return night.store.alerts.active()[0].id


@pytest.mark.parametrize("route", ROUTES)
def test_alert_commands_need_token(client: FlaskClient, store: Store, route: str, alert_id: int) -> None:
    assert client.post(route, json=BODY).status_code == 401
    assert store.silences.last() == ()
    assert store.alerts.active()[0].acknowledged_at is None


def test_acknowledge_names_sender(client: FlaskClient, store: Store, operator: dict[str, str], alert_id: int) -> None:
    answer = client.post(f"/api/alerts/{alert_id}/acknowledge", json={"note": "cable"}, headers=operator)
    assert answer.status_code == 200
    assert answer.get_json()["acknowledged_note"] == "cable"
    assert "127.0.0.1" in answer.get_json()["acknowledged_by"]
    assert client.get("/api/alerts").get_json()["on"] == [answer.get_json()]
    assert client.post(f"/api/alerts/{alert_id}/acknowledge", headers=operator).status_code == 409
    assert client.post(f"/api/alerts/{alert_id + 1}/acknowledge", headers=operator).status_code == 404
    store.alerts.update("no data", None)
    assert client.post(f"/api/alerts/{alert_id}/acknowledge", headers=operator).status_code == 409


def test_silence_lasts_until_time(client: FlaskClient, store: Store, operator: dict[str, str], alert_id: int) -> None:
    answer = client.post(f"/api/alerts/{alert_id}/silence", json=BODY, headers=operator)
    assert answer.status_code == 200
    assert answer.get_json()["rule"] == "no data"
    (silence,) = store.silences.in_force()
    assert silence.ends_at - silence.begins_at == pytest.approx(8 * 3600)
    assert store.alerts.active()[0].silenced_until == silence.ends_at
    ended = client.post(f"/api/maintenance/{silence.id}/end", headers=operator)
    assert ended.status_code == 200
    assert store.silences.in_force() == ()
    assert client.post(f"/api/maintenance/{silence.id}/end", headers=operator).status_code == 409
    assert client.post(f"/api/alerts/{alert_id + 1}/silence", json=BODY, headers=operator).status_code == 404


@pytest.mark.parametrize("wrong", [
    {"until": "soon"}, {"until": "1970-01-01T00:00"}, {"reason": ""}, {"until": "8 weeks"}, {"until": None},
    {"reason": "two\nlines"}, {"since": "9h", "until": "2026-01-01"}, {"until": "9e9d"},
])  # fmt: skip
def test_wrong_windows_are_refused(
    client: FlaskClient, store: Store, operator: dict[str, str], wrong: dict[str, object]
) -> None:
    answer = client.post("/api/maintenance", json={**BODY, **wrong}, headers=operator)
    assert answer.status_code == 400
    assert store.silences.last() == ()


def test_maintenance_is_listed(client: FlaskClient, store: Store, operator: dict[str, str]) -> None:
    now = client.post("/api/maintenance", json=BODY, headers=operator).get_json()
    planned = client.post("/api/maintenance", json={**BODY, "since": "2h"}, headers=operator).get_json()
    listed = client.get("/api/maintenance").get_json()
    assert listed["current"] == [now, planned]
    assert listed["silences"] == [planned, now]
    windows = store.silences.current_and_planned()
    assert [window.rule for window in windows] == [None, None]
    assert windows[1].ends_at - windows[1].begins_at == pytest.approx(8 * 3600)


def test_resume_answers_409_while_disk_is_full(
    client: FlaskClient, store: Store, night: Night, operator: dict[str, str]
) -> None:
    full = DiskPause("/no/products", 96.5, 95.0, 90.0, 4 * 10**9, 10**9, store.database.clock())
    store.activity.record_full_disk(full)
    assert client.get("/api/status").get_json()["disk_pause"] is None
    store.jobs.pause("the disk watch")
    answer = client.post("/api/streaming/resume", headers=operator)
    assert answer.status_code == 409
    assert all(part in answer.get_json()["message"] for part in ("/no/products", "95 %", "4.0 GB", "1.0 GB"))
    assert store.jobs.paused
    status = client.get("/api/status").get_json()
    assert status["disk_pause"]["limit_percent"] == 95.0
    assert status["condition"]["reason"] == full.reason
    store.activity.record_full_disk(None)
    assert client.post("/api/streaming/resume", headers=operator).status_code == 200


def test_page_silences_and_plans_maintenance(client: FlaskClient, store: Store, alert_id: int) -> None:
    assert "disabled" in client.get("/alerts").text
    sign_in(client)
    form = {"csrf": csrf_of(client), **BODY}
    assert client.post(f"/alerts/{alert_id}/silence", data={**form, "until": "soon"}).status_code == 400
    assert client.post(f"/alerts/{alert_id}/silence", data=BODY).status_code == 403
    assert client.post(f"/alerts/{alert_id}/silence", data=form).status_code == 303
    assert client.post("/alerts/maintenance", data={**form, "since": "1h"}).status_code == 303
    silence, window = store.silences.current_and_planned()
    assert (silence.rule, window.rule) == ("no data", None)
    assert silence.created_by.startswith("Vera")
    html = client.get("/alerts").text
    assert html.count("power cut") == 2
    assert "silenced until" in html
    assert client.post(f"/alerts/maintenance/{silence.id}/end", data=form).status_code == 303
    assert store.silences.current_and_planned() == (window,)
