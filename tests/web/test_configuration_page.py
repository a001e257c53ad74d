"""Editing the sixteen keys: what the form shows, refuses, compares, saves and takes back."""

import re
import stat

from flask.testing import FlaskClient
from running_service import RunningService
from signing_in import sign_in

from contimg.settings import Settings, StreamingConfig, load
from contimg.settings.changes import HISTORY
from contimg.store import Store
from web.configuration.fields import SUBJECTS, list_fields


def form_of(html: str) -> dict[str, str]:
    """What a browser would send of the form that a page shows."""
    sent = {}
    for tag in re.findall(r"<input[^>]*>", html):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        if "name" not in attributes or " disabled" in tag:
            continue
        if attributes.get("type") == "checkbox":
            if " checked" in tag:
                sent[attributes["name"]] = "on"
        else:
            sent[attributes["name"]] = attributes.get("value", "")
    for name, options in re.findall(r'<select[^>]*name="(\w+)".*?>(.*?)</select>', html, re.DOTALL):
        chosen = re.search(r"<option selected>(\w+)", options)
        sent[name] = chosen[1] if chosen else ""
    return sent


def test_form_shows_keys_with_limits(client: FlaskClient, settings: Settings) -> None:
    listed = [key for keys in SUBJECTS.values() for key in keys]
    assert sorted(listed) == sorted(StreamingConfig.model_fields)
    assert len(listed) == 16
    known = list_fields(settings)
    assert known["max_workers"].kind == "integer"
    assert re.findall(r"\d+", str(known["max_workers"].limits)) == ["1", "256"]
    assert known["poll_interval"].kind == "number"
    assert re.findall(r"\d+", str(known["poll_interval"].limits)) == ["0"]
    assert known["log_level"].choices == ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    assert known["monitoring"].kind == "switch"
    html = client.get("/configuration").text
    assert all(f'id="{key}"' in html for key in listed)


def test_keys_set_by_environment_are_disabled(settings: Settings) -> None:
    field = list_fields(settings, {"CONTIMG_MAX_WORKERS": "5"})["max_workers"]
    assert field.fixed
    assert field.value == 5
    assert "CONTIMG_MAX_WORKERS" in field.source


def test_change_is_reviewed_saved_and_undone(
    client: FlaskClient, settings: Settings, store: Store, service: RunningService
) -> None:
    sign_in(client)
    sent = form_of(client.get("/configuration").text)
    assert sent["csrf"]
    sent |= {"max_workers": "6", "log_level": "DEBUG"}
    del sent["monitoring"]
    review = client.post("/configuration", data=sent).text
    shown = re.findall(r"<code>(\w+)</code>\s*<del>.*?</span>(.*?)</del>\s*<ins>.*?</span>(.*?)</ins>", review)
    assert sorted(shown) == [("log_level", "INFO", "DEBUG"), ("max_workers", "2", "6"), ("monitoring", "True", "False")]
    assert load(settings).max_workers == 2
    saved = client.post("/configuration", data=form_of(review))
    assert saved.status_code == 303
    now = load(settings)
    assert (now.max_workers, now.log_level, now.monitoring, now.poll_interval) == (6, "DEBUG", False, 5.0)
    assert service.commands == ["restart"]
    event = store.events.last(1)[0].text
    assert re.search(r"\bVera\b.*127\.0\.0\.1.*\bmax_workers 2\b.*\b6\b", event)
    page = client.get("/configuration").text
    assert re.search(r"\bVera\b.*127\.0\.0\.1", page)
    assert 'action="/configuration/undo"' in page
    client.post("/configuration/undo", data={"csrf": sent["csrf"]})
    now = load(settings)
    assert (now.max_workers, now.log_level, now.monitoring) == (2, "INFO", True)
    assert 'action="/configuration/undo"' not in client.get("/configuration").text
    assert client.post("/configuration/undo", data={"csrf": sent["csrf"]}).status_code == 409
    changes = client.get("/api/streaming/config/changes").get_json()["changes"]
    assert [change["undoes"] for change in changes] == [True, False]


def test_undo_keeps_changes_made_elsewhere(client: FlaskClient, settings: Settings, operator: dict[str, str]) -> None:
    client.post("/api/streaming/config", json={"max_workers": 4}, headers=operator)
    settings.config_path.write_text('{"max_workers": 9}')
    assert client.post("/api/streaming/config/undo", headers=operator).status_code == 409
    assert load(settings).max_workers == 9


def test_wrong_values_are_shown_with_reason(client: FlaskClient, settings: Settings) -> None:
    sign_in(client)
    sent = form_of(client.get("/configuration").text) | {"max_workers": "0", "poll_interval": "soon"}
    again = client.post("/configuration", data=sent).text
    assert 'value="soon"' in again
    assert re.search(r'id="max_workers-wrong"[^>]*>[^<]*\b1\b', again)
    assert re.search(r'id="poll_interval-wrong"[^>]*>[^<]*\w', again)
    assert not settings.config_path.exists()


def test_check_reports_errors_and_remarks(client: FlaskClient, settings: Settings) -> None:
    body = {"max_workers": 0, "log_level": "LOUD", "input_dir": "/nowhere", "chunk_duration": 5}
    checked = client.post("/api/streaming/config/check", json=body).get_json()
    assert set(checked["errors"]) == {"max_workers", "log_level"}
    assert set(checked["remarks"]) == {"input_dir"}
    assert "/nowhere" in checked["remarks"]["input_dir"]
    assert not settings.config_path.exists()


def test_database_password_is_hidden(client: FlaskClient, settings: Settings, operator: dict[str, str]) -> None:
    secret = "postgresql+psycopg://contimg:hunter2@db/contimg"
    client.post("/api/streaming/config", json={"queue_db": secret}, headers=operator)
    for path in ("/configuration", "/api/streaming/config/changes", "/api/streaming/config", "/"):
        assert "hunter2" not in client.get(path).text
    sign_in(client)
    sent = form_of(client.get("/configuration").text) | {"max_workers": "3"}
    review = client.post("/configuration", data=sent).text
    client.post("/configuration", data=form_of(review))
    assert load(settings).queue_db == secret
    assert load(settings).max_workers == 3
    assert stat.S_IMODE((settings.state_dir / HISTORY).stat().st_mode) == 0o600


def test_configuration_needs_operator(client: FlaskClient, settings: Settings) -> None:
    assert client.post("/configuration", data={"max_workers": "7"}).status_code == 401
    assert client.post("/configuration/undo").status_code == 401
    assert "disabled" in client.get("/configuration").text
    assert not settings.config_path.exists()
