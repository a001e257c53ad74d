"""Who may change the stream, and what happens when somebody does."""

import json
import re

import pytest
from flask.testing import FlaskClient
from observing_night import Night
from running_service import TOKEN, RunningService

from contimg.settings import Settings, load
from contimg.store import State, Store
from web import create_app
from web.http.errors import Problem

COMMANDS = ["pause", "resume", "start", "stop", "restart", "config"]


WRONG = [
    None, "Bearer wrong", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN,
    f"Digest {TOKEN}", "Bearer пароль",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_need_token(
    client: FlaskClient, service: RunningService, store: Store, settings: Settings, command: str
) -> None:
    for header in WRONG:
        headers = {} if header is None else {"Authorization": header}
        answer = client.post(f"/api/streaming/{command}", json={"max_workers": 7}, headers=headers)
        assert answer.status_code == 401, header
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert set(answer.get_json()) == set(Problem.model_fields)
    assert service.commands == []
    assert not store.jobs.paused
    assert not settings.config_path.exists()


def test_commands_refused_without_configured_token(settings: Settings, store: Store) -> None:
    client = create_app(settings.replace(token=""), store).test_client()
    for header in ("", "Bearer ", "Bearer anything"):
        answer = client.post("/api/streaming/pause", headers={"Authorization": header})
        assert answer.status_code == 403
        assert "CONTIMG_TOKEN" in answer.get_json()["hint"]
    assert not store.jobs.paused


def test_pause_and_resume_change_store(client: FlaskClient, store: Store, operator: dict[str, str]) -> None:
    assert client.post("/api/streaming/pause", headers=operator).get_json()["success"] is True
    assert store.jobs.paused
    assert client.get("/api/streaming/status").get_json()["paused"] is True
    client.post("/api/streaming/resume", headers=operator)
    assert not store.jobs.paused
    words = [re.match("resume|pause", event.text.lower()) for event in store.events.last(2)]
    assert [word and word[0] for word in words] == ["resume", "pause"]


def test_service_commands_are_recorded_as_events(
    client: FlaskClient, store: Store, service: RunningService, operator: dict[str, str]
) -> None:
    service.running = False
    for command in ("start", "stop", "restart"):
        answer = client.post(f"/api/streaming/{command}", headers=operator)
        assert answer.get_json() == {"success": True, "message": f"{command} done", "pid": 4711}
        assert re.search(rf"\b{command}\b.*127\.0\.0\.1", store.events.last(1)[0].text)
    assert service.commands == ["start", "stop", "restart"]


def test_failed_command_answers_409(settings: Settings, store: Store, operator: dict[str, str]) -> None:
    answer = create_app(settings, store).test_client().post("/api/streaming/start", headers=operator)
    assert answer.status_code == 409
    assert answer.get_json()["success"] is False
    assert answer.get_json()["message"]


def test_changed_configuration_restarts_service(
    client: FlaskClient, settings: Settings, service: RunningService, operator: dict[str, str]
) -> None:
    answer = client.post("/api/streaming/config", json={"max_workers": 4}, headers=operator).get_json()
    assert (answer["success"], answer["pid"]) == (True, 4711)
    assert "restart done" in answer["message"]
    assert load(settings).max_workers == 4
    assert service.commands == ["restart"]


def test_wrong_configuration_is_refused(
    client: FlaskClient, settings: Settings, service: RunningService, operator: dict[str, str]
) -> None:
    wrong = (
        ({"max_workers": 0}, "max_workers"),
        ({"colour": "red"}, "colour"),
        ([], "body"),
        ({}, "body"),
        (3, "body"),
    )
    for body, words in wrong:
        answer = client.post("/api/streaming/config", json=body, headers=operator)
        assert answer.status_code == 400
        assert words in answer.get_json()["error"]
    assert not settings.config_path.exists()
    assert service.commands == []


def test_body_must_be_json(client: FlaskClient, operator: dict[str, str]) -> None:
    answer = client.post("/api/streaming/config", data="{", headers={**operator, "Content-Type": "application/json"})
    assert answer.status_code == 400
    answer = client.post("/api/streaming/config", data=json.dumps({"max_workers": 3}), headers=operator)
    assert answer.status_code == 415
    answer = client.post("/api/streaming/config", json={"input_dir": "x" * 100_000}, headers=operator)
    assert answer.status_code == 413


def test_failed_group_is_retried(
    client: FlaskClient, full_night: Night, store: Store, operator: dict[str, str]
) -> None:
    (failed,) = store.files.groups(State.FAILED)
    path = f"/api/groups/{failed.id}/retry"
    assert client.post(path).status_code == 401
    assert client.post(path, json={"stage": "image"}, headers=operator).status_code == 409
    assert client.post(path, json={"stage": "bake"}, headers=operator).status_code == 400
    answer = client.post(path, headers=operator)
    assert answer.get_json()["state"] == "pending"
    again = client.post(path, headers=operator)
    assert again.status_code == 409
    assert all(word in again.get_json()["error"] for word in (failed.id, "pending"))
    unknown = client.post("/api/groups/2001-01-01T00:00:00/retry", headers=operator)
    assert unknown.status_code == 404
