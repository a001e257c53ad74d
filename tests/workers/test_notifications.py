"""Notifications sent to real HTTP servers and commands."""

import http.server
import json
import shlex
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from contimg.common.errors import Misconfigured, Transient
from contimg.common.options import is_secret
from contimg.settings import NotificationSettings
from contimg.store import CandidateKind, Selection, SourceKind, Store
from workers.notifications import Notifier


class Listener:
    """An HTTP server that keeps the JSON objects posted to it, or answers 503."""

    def __init__(self) -> None:
        self.received: list[dict] = []
        self.refuse = False
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"]))
                if not listener.refuse:
                    listener.received.append(json.loads(text))
                self.send_response(503 if listener.refuse else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook"

    @property
    def apprise_url(self) -> str:
        return self.url.replace("http://", "json://operator:secret@")

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.received]


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener()
    yield server
    server.server.shutdown()
    server.server.server_close()


class Clock:
    now = 1_771_802_000.0

    def __call__(self) -> float:
        return self.now


def test_webhook_receives_each_warning_once_and_the_next_process_continues(store: Store, listener: Listener) -> None:
    store.events.add("before the start", level="error")
    settings = NotificationSettings(notify_webhook=listener.url)
    notifier = Notifier(store, settings)
    store.events.add("nothing special")
    store.events.add("a disk is full", level="error", group="2026-02-22T23:17:51")
    notifier.send_new()
    notifier.send_new()
    (message,) = listener.received
    expected = ("a disk is full", "error", "2026-02-22T23:17:51", 0)
    assert (message["text"], message["level"], message["group"], message["held_back"]) == expected
    store.events.add("while it was down", level="warning")
    Notifier(store, settings).send_new()
    assert listener.texts[-1] == "while it was down"


@pytest.mark.parametrize("field", ["notify_webhook", "notify_urls"])
def test_event_that_no_recipient_accepts_is_sent_again(store: Store, listener: Listener, field: str) -> None:
    url = listener.url if field == "notify_webhook" else listener.apprise_url
    notifier = Notifier(store, NotificationSettings(**{field: url}))
    store.events.add("a disk is full", level="error")
    listener.refuse = True
    with pytest.raises(Transient, match=f"CONTIMG_{field.upper()}") as refusal:
        notifier.send_new()
    assert "secret" not in str(refusal.value)
    listener.refuse = False
    notifier.send_new()
    notifier.send_new()
    assert len(listener.received) == 1


def test_apprise_services_receive_title_text_and_type(store: Store, listener: Listener) -> None:
    settings = NotificationSettings(notify_urls=f"{listener.apprise_url} {listener.apprise_url}/second")
    notifier = Notifier(store, settings)
    store.events.add("a disk is full", level="error", group="2026-02-22T23:17:51")
    notifier.send_new()
    assert [message["message"] for message in listener.received] == ["2026-02-22T23:17:51 a disk is full"] * 2
    assert {message["type"] for message in listener.received} == {"failure"}
    assert "error" in listener.received[0]["title"]


def test_recipient_that_fails_does_not_keep_events_from_the_others(store: Store, listener: Listener) -> None:
    settings = NotificationSettings(notify_urls=f"json://operator:secret@127.0.0.1:9 {listener.apprise_url}")
    notifier = Notifier(store, settings)
    for number in range(2):
        store.events.add(f"event {number}", level="error")
    with pytest.raises(Transient, match="URL 1") as refusal:
        notifier.send_new()
    assert [message["message"] for message in listener.received] == ["event 0", "event 1"]
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "settings",
    [
        NotificationSettings(notify_urls="json://127.0.0.1:9 nosuch://operator:secret@server"),
        NotificationSettings(notify_webhook="ftp://operator:secret@server"),
    ],
)
def test_wrong_url_is_refused_without_showing_it(
    store: Store, settings: NotificationSettings, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Misconfigured, match="CONTIMG_NOTIFY_") as refusal:
        Notifier(store, settings)
    assert "secret" not in str(refusal.value) + caplog.text


def test_urls_are_masked_where_settings_are_shown(deployment) -> None:
    deployment.more["CONTIMG_NOTIFY_URLS"] = "json://operator:secret@127.0.0.1"
    outcome = deployment.contimg("config", "check")
    assert "notify_urls" in outcome.stdout
    assert "secret" not in outcome.stdout + outcome.stderr
    assert is_secret(NotificationSettings.model_fields["notify_urls"])


def test_events_above_the_rate_are_held_back_and_counted(store: Store, listener: Listener) -> None:
    clock = Clock()
    notifier = Notifier(store, NotificationSettings(notify_webhook=listener.url, notify_per_hour=3), clock)
    for number in range(10):
        store.events.add(f"event {number}", level="error")
    notifier.send_new()
    assert listener.texts == ["event 0", "event 1", "event 2"]
    clock.now += 3601
    store.events.add("an hour later", level="error")
    notifier.send_new()
    assert (listener.received[-1]["text"], listener.received[-1]["held_back"]) == ("an hour later", 7)


def test_command_receives_events_on_standard_input(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "received.json"
    script = f"import sys; open({str(path)!r}, 'w').write(sys.stdin.read())"
    command = shlex.join([sys.executable, "-c", script])
    notifier = Notifier(store, NotificationSettings(notify_command=command, notify_level="info"))
    store.events.add("a tile is done")
    notifier.send_new()
    assert json.loads(path.read_text())["text"] == "a tile is done"
    broken = Notifier(store, NotificationSettings(notify_command="false"))
    store.events.add("a disk is full", level="error")
    with pytest.raises(Transient, match=r"\bfalse\b"):
        broken.send_new()


def test_recipients_get_events_by_severity(store: Store, tmp_path: Path) -> None:
    servers = [Listener(), Listener(), Listener()]
    webhook, pager, mail = servers
    written = tmp_path / "written"
    program = f"open({str(written)!r}, 'a').write('!')"
    settings = NotificationSettings(
        notify_webhook=f"info={webhook.url}",
        notify_urls=f"error={pager.apprise_url} {mail.apprise_url}?x=error=1",
        notify_command=f"error={shlex.join([sys.executable, '-c', program])}",
    )
    notifier = Notifier(store, settings)
    for level in ("info", "warning", "error"):
        store.events.add(level, level=level)
    notifier.send_new()
    assert webhook.texts == ["info", "warning", "error"]
    assert [len(server.received) for server in (pager, mail)] == [1, 2]
    assert written.read_text() == "!"
    for server in servers:
        server.server.shutdown()
        server.server.server_close()


def test_changed_level_keeps_place(store: Store, listener: Listener) -> None:
    Notifier(store, NotificationSettings(notify_urls=listener.apprise_url))
    store.events.add("a disk is full", level="error")
    Notifier(store, NotificationSettings(notify_urls=f"error={listener.apprise_url}")).send_new()
    assert len(listener.received) == 1


def test_silenced_rule_sends_nothing(store: Store, listener: Listener) -> None:
    notifier = Notifier(store, NotificationSettings(notify_webhook=listener.url))
    until = store.database.clock() + 1000
    silence = store.silences.add("stall", until=until, reason="upgrade", by="ana")
    store.alerts.update("stall", "stall: nothing moves", level="error")
    store.alerts.update("disk", "disk: full", level="error")
    notifier.send_new()
    assert listener.texts == ["disk: full"]
    store.silences.end(silence.id, "ana")
    store.silences.report_ended()
    notifier.send_new()
    assert len(listener.texts) == 2
    assert "stall: nothing moves" in listener.texts[1]
    assert [alert.rule for alert in store.alerts.active()] == ["stall", "disk"]


def test_maintenance_window_holds_back_everything(store: Store, listener: Listener) -> None:
    notifier = Notifier(store, NotificationSettings(notify_webhook=listener.url, notify_level="info"))
    planned = store.silences.add(
        None, since=store.database.clock() + 500, until=store.database.clock() + 1000, reason="power", by="ana"
    )
    store.events.add("before the window", level="error")
    window = store.silences.add(None, until=store.database.clock() + 100, reason="power", by="ana")
    store.events.add("a group failed", level="error")
    store.alerts.update("disk", "disk: full", level="error")
    notifier.send_new()
    assert any("before the window" in text for text in listener.texts)
    assert not any("group failed" in text or "disk: full" in text for text in listener.texts)
    store.silences.end(window.id, "ana")
    store.events.add("after the window", level="error")
    Notifier(store, NotificationSettings(notify_webhook=listener.url)).send_new()
    assert listener.texts[-1] == "after the window"
    assert store.silences.current_and_planned() == (planned,)


def test_webhook_receives_new_candidates_of_live_epochs(store: Store, listener: Listener) -> None:
    notifier = Notifier(store, NotificationSettings(notify_webhook=listener.url))
    source = store.sky.add_source(24.42, 33.16, kind=SourceKind.BLIND)
    selection = Selection(source.id, CandidateKind.VARIABLE, "η 9.1", {"eta": 9.1}, 61093.1, "2026-02-22_L0130_D+332")
    for processing in ("live", "live", "campaign"):
        store.sky.record_candidates([selection], processing)
    notifier.send_new()
    (message,) = listener.received
    assert (message["rule"], message["group"]) == ("candidate", "2026-02-22_L0130_D+332")
    assert source.name in message["text"]
