"""Signing in, what it allows, and each way around it that was thought of."""

import re

import pytest
from celery_words import everybody
from flask import Flask
from flask.testing import FlaskClient
from running_service import TOKEN, RunningService
from signing_in import csrf_of, sign_in

from contimg.settings import Settings
from contimg.store import Store
from web import create_app
from web.access.limits import WINDOW_S, Limit
from web.access.sessions import LIFETIME_S, Sessions
from web.access.user import Role

VIEW = "only for looking"


@pytest.fixture
def private(settings: Settings, store: Store, service: RunningService) -> Flask:
    """A panel that asks for a token even to be read."""
    return create_app(settings.replace(view_token=VIEW), store, service, fresh_s=0.0)


def test_the_cookie_is_kept_from_scripts_and_other_sites(client: FlaskClient) -> None:
    answer = sign_in(client)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    secure = sign_in(client, base_url="https://localhost").headers["Set-Cookie"]
    assert "Secure" in secure


def test_a_signed_in_operator_commands_by_form(client: FlaskClient, store: Store, service: RunningService) -> None:
    assert "disabled" in client.get("/").text
    sign_in(client)
    page = client.get("/").text
    assert "disabled" not in page
    assert "Vera" in page
    csrf = csrf_of(client)
    question = client.post("/streaming/stop", data={"csrf": csrf})
    assert 'name="confirmed" value="1"' in question.text
    assert service.told == []
    done = client.post("/streaming/stop", data={"csrf": csrf, "confirmed": "1"})
    assert (done.status_code, done.headers["Location"]) == (303, "/")
    assert re.search(r'<p class="note info">[^<]*stop done</p>', client.get("/").text)
    assert '<p class="note' not in client.get("/").text, "shown once"
    assert service.told == ["stop"]
    assert re.search(r"\bVera\b.*127\.0\.0\.1.*stop done", store.events.last(1)[0].text)
    answer = client.post(
        "/streaming/pause", data={"csrf": csrf, "confirmed": "1"}, headers={"Accept": "application/json"}
    )
    assert answer.get_json()["success"] is True
    assert store.queue.paused


def test_a_session_needs_its_own_form(client: FlaskClient, app: Flask, store: Store) -> None:
    sign_in(client)
    other = app.test_client()
    sign_in(other)
    stolen = csrf_of(other)
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
    assert not store.queue.paused
    headers = {"X-CSRF-Token": good, "Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/streaming/pause", headers=headers).status_code == 200
    assert store.queue.paused


def test_signing_out_ends_the_session_itself(client: FlaskClient, app: Flask) -> None:
    sign_in(client)
    kept = client.get_cookie("contimg_session")
    assert kept is not None
    client_page = client.get("/").text
    client.post("/sign-out", data={"csrf": csrf_of(client)})
    thief = app.test_client()
    thief.set_cookie("contimg_session", kept.value)
    assert 'action="/sign-out"' in client_page
    assert 'action="/sign-out"' not in thief.get("/").text


def test_guessing_is_slowed_and_seen(client: FlaskClient, store: Store) -> None:
    for _ in range(5):
        assert sign_in(client, "wrong").status_code == 401
    refused = sign_in(client)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= WINDOW_S
    assert "Set-Cookie" not in refused.headers
    assert "127.0.0.1" in store.events.last(1)[0].text
    elsewhere = client.post("/sign-in", data={"token": TOKEN}, environ_base={"REMOTE_ADDR": "192.0.2.9"})
    assert elsewhere.status_code == 303


def test_bearer_tokens_cannot_be_guessed_for_ever(client: FlaskClient, operator: dict[str, str]) -> None:
    answers = {
        client.post("/api/streaming/pause", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(70)
    }
    assert answers == {401, 429}
    assert client.post("/api/streaming/pause", headers=operator).status_code == 429


@pytest.mark.parametrize(
    "following", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1", "/a\nb"]
)
def test_signing_in_leads_nowhere_else(client: FlaskClient, following: str) -> None:
    answer = client.post("/sign-in", data={"token": TOKEN, "next": following})
    assert answer.headers["Location"] == "/"
    assert client.post("/sign-in", data={"token": TOKEN, "next": "/streaming"}).headers["Location"] == "/streaming"


def test_another_site_cannot_sign_somebody_in(client: FlaskClient) -> None:
    assert sign_in(client, headers={"Origin": "http://evil.example"}).status_code == 403


def test_a_private_panel_tells_strangers_nothing(private: Flask) -> None:
    stranger = private.test_client()
    for rule in private.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.endpoint in ("static", "health.healthz", "sign_in.form"):
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


def test_a_reader_reads_and_changes_nothing(private: Flask, store: Store) -> None:
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
    assert not store.queue.paused


@pytest.mark.parametrize(
    ("host", "ours"),
    [("localhost", True), ("127.0.0.1:8080", True), ("[::1]:8080", True), ("192.168.1.4", True), ("web:8080", True),
     ("panel.example.org", True), ("PANEL.example.org:443", True), ("evil.example", False),
     ("127.0.0.1.evil.example", False), ("localhost.evil.example", False), ("panel.example.org.evil.example", False)],
)  # fmt: skip
def test_only_our_own_names_are_answered(settings: Settings, store: Store, host: str, ours: bool) -> None:
    app = create_app(settings.replace(web_names="panel.example.org other.example.org"), store)
    answer = app.test_client().get("/api/status", headers={"Host": host})
    assert answer.status_code == (200 if ours else 421)


def test_limits_and_sessions_forget_in_time() -> None:
    now = [0.0]
    limit, sessions = Limit(2, lambda: now[0]), Sessions(lambda: now[0])
    cookie = sessions.begin(Role.OPERATOR, "Vera")
    for at in (0.0, 10.0):
        now[0] = at
        limit.failed("a")
    assert limit.wait_s("a") == pytest.approx(WINDOW_S - 10)
    assert limit.wait_s("b") == 0
    now[0] = WINDOW_S + 1
    assert limit.wait_s("a") == 0
    assert sessions.find(cookie) is not None
    now[0] = LIFETIME_S
    assert sessions.find(cookie) is None
    assert sessions.find("") is None


def test_the_result_of_a_command_is_shown_once_on_the_next_page(client: FlaskClient) -> None:
    sign_in(client)
    client.post("/streaming/resume", data={"csrf": csrf_of(client)})
    assert re.search(r'<p class="note info">(?i:resume)[^<]*</p>', client.get("/").text)
    assert '<p class="note' not in client.get("/").text


def test_visitors_share_what_is_the_same_and_nothing_else(
    settings: Settings, store: Store, service: RunningService
) -> None:
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
