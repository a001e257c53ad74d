"""Signing in, what it allows, and each way around it that was thought of."""

import re
import time

import pytest
from celery_words import everybody
from flask import Flask
from flask.testing import FlaskClient
from running_service import TOKEN, RunningService
from signing_in import cookie_name, csrf_of, sign_in

from contimg.settings import Settings
from contimg.store import Store
from web import create_app
from web.access.sessions import LIFETIME_S

VIEW = "only for looking"


@pytest.fixture
def private(settings: Settings, store: Store, service: RunningService) -> Flask:
    """A panel that asks for a token even to be read."""
    return create_app(settings.replace(view_token=VIEW), store, service, fresh_s=0.0)


def test_cookie_attributes(client: FlaskClient) -> None:
    answer = sign_in(client)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    secure = sign_in(client, base_url="https://localhost").headers["Set-Cookie"]
    assert "Secure" in secure


def test_signed_in_operator_sends_forms(client: FlaskClient, store: Store, service: RunningService) -> None:
    assert "disabled" in client.get("/").text
    sign_in(client)
    page = client.get("/").text
    assert "disabled" not in page
    assert "Vera" in page
    csrf = csrf_of(client)
    question = client.post("/streaming/stop", data={"csrf": csrf})
    assert 'name="confirmed" value="1"' in question.text
    assert service.commands == []
    done = client.post("/streaming/stop", data={"csrf": csrf, "confirmed": "1"})
    assert (done.status_code, done.headers["Location"]) == (303, "/")
    assert re.search(r'<p class="note info">[^<]*stop done</p>', client.get("/").text)
    assert '<p class="note' not in client.get("/").text, "shown once"
    assert service.commands == ["stop"]
    assert re.search(r"\bVera\b.*127\.0\.0\.1.*stop done", store.events.last(1)[0].text)
    answer = client.post(
        "/streaming/pause", data={"csrf": csrf, "confirmed": "1"}, headers={"Accept": "application/json"}
    )
    assert answer.get_json()["success"] is True
    assert store.jobs.paused


def test_form_needs_csrf_token_of_session(client: FlaskClient, app: Flask, store: Store) -> None:
    sign_in(client)
    thief = app.test_client()
    sign_in(thief)
    stolen = csrf_of(thief)
    good = csrf_of(client)
    for data, headers in (
        ({}, {}),
        ({"csrf": ""}, {}),
        ({"csrf": stolen}, {}),
        ({"csrf": good}, {"Origin": "http://evil.example"}),
        ({"csrf": good}, {"Origin": "null"}),
        ({"csrf": good}, {"Sec-Fetch-Site": "cross-site"}),
        ({"csrf": good}, {"Sec-Fetch-Site": "same-site"}),
    ):
        for path in ("/streaming/pause", "/api/streaming/pause", "/sign-out"):
            assert client.post(path, data={**data, "confirmed": "1"}, headers=headers).status_code == 403
    assert not store.jobs.paused
    headers = {"X-CSRF-Token": good, "Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/streaming/pause", headers=headers).status_code == 200
    assert store.jobs.paused


def test_sign_out_ends_session(client: FlaskClient, app: Flask) -> None:
    sign_in(client)
    kept = client.get_cookie(cookie_name(client))
    assert kept is not None
    client_page = client.get("/").text
    client.post("/sign-out", data={"csrf": csrf_of(client)})
    thief = app.test_client()
    thief.set_cookie(cookie_name(thief), kept.value)
    assert 'action="/sign-out"' in client_page
    assert 'action="/sign-out"' not in thief.get("/").text


def test_wrong_tokens_are_limited_and_recorded(client: FlaskClient, store: Store) -> None:
    for _ in range(5):
        assert sign_in(client, "wrong").status_code == 401
    refused = sign_in(client)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 300
    assert "Set-Cookie" not in refused.headers
    assert "127.0.0.1" in store.events.last(1)[0].text
    elsewhere = client.post("/sign-in", data={"token": TOKEN}, environ_base={"REMOTE_ADDR": "192.0.2.9"})
    assert elsewhere.status_code == 303


def test_bearer_tokens_are_limited(client: FlaskClient, operator: dict[str, str]) -> None:
    answers = {
        client.post("/api/streaming/pause", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(70)
    }
    assert answers == {401, 429}
    assert client.post("/api/streaming/pause", headers=operator).status_code == 429


@pytest.mark.parametrize(
    "following", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1", "/a\nb"]
)
def test_sign_in_redirects_within_panel(client: FlaskClient, following: str) -> None:
    answer = client.post("/sign-in", data={"token": TOKEN, "next": following})
    assert answer.headers["Location"] == "/"
    assert client.post("/sign-in", data={"token": TOKEN, "next": "/streaming"}).headers["Location"] == "/streaming"


def test_sign_in_from_another_site_is_refused(client: FlaskClient) -> None:
    assert sign_in(client, headers={"Origin": "http://evil.example"}).status_code == 403


def test_private_panel_needs_token(private: Flask) -> None:
    stranger = private.test_client()
    for rule in private.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.endpoint in (
            "static",
            "health.healthz",
            "panel_health.read_health",
            "sign_in.form",
        ):
            continue
        with private.test_request_context():
            values = {**dict.fromkeys(rule.arguments, 1), "plot": "phase"}
            path = rule.build({name: values[name] for name in rule.arguments}, append_unknown=False)
        assert path is not None
        answer = stranger.get(path[1].removeprefix("localhost"))
        assert answer.status_code in (302, 401), rule
        if answer.status_code == 302:
            assert answer.headers["Location"].startswith("/sign-in?next=")
    assert stranger.get("/healthz").status_code == 200


def test_reader_changes_nothing(private: Flask, store: Store) -> None:
    reader = private.test_client()
    assert sign_in(reader, VIEW).status_code == 303
    assert reader.get("/").status_code == 200
    assert reader.get("/api/status").status_code == 200
    csrf = csrf_of(reader)
    for path in ("/streaming/pause", "/api/streaming/pause"):
        answer = reader.post(path, data={"csrf": csrf, "confirmed": "1"})
        assert answer.status_code == 403
    bearer = {"Authorization": f"Bearer {VIEW}"}
    assert private.test_client().get("/api/status", headers=bearer).status_code == 200
    assert private.test_client().post("/api/streaming/pause", headers=bearer).status_code == 403
    assert not store.jobs.paused


@pytest.mark.parametrize(
    ("host", "ours"),
    [("localhost", True), ("127.0.0.1:8080", True), ("[::1]:8080", True), ("192.168.1.4", True), ("web:8080", True),
     ("panel.example.org", True), ("PANEL.example.org:443", True), ("evil.example", False),
     ("127.0.0.1.evil.example", False), ("localhost.evil.example", False), ("panel.example.org.evil.example", False)],
)  # fmt: skip
def test_host_header_is_checked(settings: Settings, store: Store, host: str, ours: bool) -> None:
    app = create_app(settings.replace(web_names="panel.example.org other.example.org"), store)
    answer = app.test_client().get("/api/status", headers={"Host": host})
    assert answer.status_code == (200 if ours else 421)


def test_session_ends_after_lifetime(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(client)
    cookie = client.get_cookie(cookie_name(client))
    assert cookie is not None
    begin_s = time.time()
    monkeypatch.setattr(time, "time", lambda: begin_s + LIFETIME_S - 60)
    assert "Sign out" in client.get("/").text
    monkeypatch.setattr(time, "time", lambda: begin_s + LIFETIME_S + 60)
    client.set_cookie(cookie_name(client), cookie.value)
    assert "Sign out" not in client.get("/").text


def test_limit_of_wrong_tokens_expires(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        sign_in(client, "wrong")
    assert sign_in(client).status_code == 429
    begin_s = time.time()
    monkeypatch.setattr(time, "time", lambda: begin_s + 301)
    assert sign_in(client).status_code == 303


def test_unknown_address_does_not_check_token(private: Flask) -> None:
    for method in ("get", "post"):
        answers = {
            getattr(private.test_client(), method)("/api/nothing", headers={"Authorization": f"Bearer {token}"}).text
            for token in ("wrong", TOKEN)
        }
        assert len(answers) == 1


def test_sessions_survive_restart(
    client: FlaskClient, settings: Settings, store: Store, service: RunningService
) -> None:
    sign_in(client)
    csrf, cookie = csrf_of(client), client.get_cookie(cookie_name(client))
    assert cookie is not None
    restarted = create_app(settings, store, service, fresh_s=0.0).test_client()
    restarted.set_cookie(cookie_name(restarted), cookie.value)
    assert "Vera" in restarted.get("/").text
    assert restarted.post("/streaming/pause", data={"csrf": csrf, "confirmed": "1"}).status_code == 303
    assert store.jobs.paused
    key = settings.state_dir / "session.key"
    assert (key.stat().st_mode & 0o777, key.stat().st_size) == (0o600, 32)
    assert list(settings.state_dir.glob(".session*")) == []
    changed = create_app(settings.replace(token="another"), store, service, fresh_s=0.0).test_client()
    changed.set_cookie(cookie_name(changed), cookie.value)
    assert "Sign out" not in changed.get("/").text


def test_changed_cookie_is_refused(client: FlaskClient, app: Flask) -> None:
    sign_in(client)
    cookie = client.get_cookie(cookie_name(client))
    assert cookie is not None
    thief = app.test_client()
    for value in (cookie.value[:-2], "x" + cookie.value, "", "e30.x.y"):
        thief.set_cookie(cookie_name(thief), value)
        assert "Sign out" not in thief.get("/").text


def test_flashed_message_is_shown_once(client: FlaskClient) -> None:
    sign_in(client)
    client.post("/streaming/resume", data={"csrf": csrf_of(client)})
    assert re.search(r'<p class="note info">(?i:resume)[^<]*</p>', client.get("/").text)
    assert '<p class="note' not in client.get("/").text


def test_visitors_share_rendering(settings: Settings, store: Store, service: RunningService) -> None:
    """One rendering serves all who look at a time; buttons, secrets and notes are each visitor's own."""
    app = create_app(settings, store, service, inspect=everybody, fresh_s=60.0)
    strangers, vera, henrietta = (app.test_client() for _ in range(3))
    plain = strangers.get("/").text
    for client, name in ((vera, "Vera"), (henrietta, "Henrietta")):
        sign_in(client, name=name)
    pages = {name: client.get("/").text for client, name in ((vera, "Vera"), (henrietta, "Henrietta"))}
    shared = [text.split('id="queue"')[1].split("</main>")[0] for text in (plain, *pages.values())]
    assert shared[0] == shared[1] == shared[2]
    assert "Henrietta" not in pages["Vera"]
    assert "Vera" not in pages["Henrietta"]
    assert csrf_of(vera) != csrf_of(henrietta)
    assert "csrf" not in shared[0]
    assert 'name="csrf" content' not in plain
