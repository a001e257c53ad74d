"""A recipient that refuses one event, refuses all, or answers nonsense: later events arrive, and it is shown."""

import http.server
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from waiting import until

from contimg.common.errors import Transient
from contimg.settings import NotificationSettings
from contimg.store import Store
from workers.doctor import Level
from workers.doctor.storage import check_service
from workers.housekeeping.schedule import periodic_tasks
from workers.notifications import ALERT, ALERT_AFTER_S, CURSOR, REFUSAL_SHOWN_S, ROUNDS, Notifier


class Webhook:
    """Answers each event as `answers` says by a word in its text, otherwise with 204."""

    def __init__(self) -> None:
        self.answers: dict[str, object] = {}
        self.texts: list[str] = []
        webhook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
                answer = next((answer for word, answer in webhook.answers.items() if word in text), 204)
                if answer == 204:
                    webhook.texts.append(text)
                if answer == "garbage":
                    self.wfile.write(b"hello\r\n\r\n")
                elif answer == "close":
                    self.connection.close()
                else:
                    self.send_response(int(str(answer)))
                    if str(answer).startswith("3"):
                        self.send_header("Location", "/moved")
                    self.end_headers()

            def do_GET(self) -> None:
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


class Clock:
    now = 1_771_802_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    server = Webhook()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(deployment, clock: Clock) -> Iterator[Store]:
    opened = Store.open(deployment.config.queue_db, clock=clock)
    opened.events.add("begin")
    yield opened
    opened.close()


def notify(notifier: Notifier) -> str:
    """One round; returns why a recipient does not accept events, or nothing."""
    try:
        notifier.send_new()
    except Transient as error:
        return str(error)
    return ""


def alert(store: Store) -> str | None:
    return next((alert.text for alert in store.alerts.active() if alert.rule == ALERT), None)


@pytest.mark.parametrize("code", [400, 406, 413, 422])
def test_refused_event_is_left_out_and_shown(
    deployment, store: Store, webhook: Webhook, clock: Clock, code: int
) -> None:
    notifier = Notifier(store, NotificationSettings(notify_webhook=webhook.url), clock)
    webhook.answers = {"poison": code}
    store.events.add("poison", level="warning")
    store.events.add("disk full", level="error")
    assert notify(notifier) == ""
    assert webhook.texts == ["disk full"]
    assert f"HTTP {code}" in (alert(store) or "")
    assert "CONTIMG_NOTIFY_WEBHOOK" in deployment.contimg("status").stdout
    findings = {finding.about: finding for finding in check_service(deployment.config)}
    assert findings[f"alert {ALERT}"].level is Level.WARNING
    Notifier(store, NotificationSettings(notify_webhook=webhook.url), clock).send_new()
    assert alert(store), "a restart of the producer does not end the alert"
    clock.now += REFUSAL_SHOWN_S + 1
    notify(notifier)
    assert alert(store) is None


def test_alert_that_is_refused_itself_raises_no_other(store: Store, webhook: Webhook, clock: Clock) -> None:
    notifier = Notifier(store, NotificationSettings(notify_webhook=webhook.url), clock)
    webhook.answers = {"": 400}
    store.events.add("first", level="error")
    for _ in range(5):
        assert notify(notifier) == ""
    assert sum(event.text.startswith(ALERT) for event in store.events.after(0)) == 1


@pytest.mark.parametrize("answer", [301, 308, 401, 403, 404, 408, 429, 500, 503, "garbage", "close"])
def test_passing_refusal_is_repeated(store: Store, webhook: Webhook, clock: Clock, answer: object) -> None:
    notifier = Notifier(store, NotificationSettings(notify_webhook=webhook.url), clock)
    webhook.answers = {"": answer}
    texts = ["first", "second"]
    for text in texts:
        store.events.add(text, level="error")
    assert "CONTIMG_NOTIFY_WEBHOOK" in notify(notifier)
    assert alert(store) is None, "a recipient may restart"
    clock.now += ALERT_AFTER_S + 1
    notify(notifier)
    assert "CONTIMG_NOTIFY_WEBHOOK" in (alert(store) or "")
    webhook.answers = {}
    assert notify(notifier) == ""
    assert [text for text in webhook.texts if not text.startswith(ALERT)] == texts
    assert alert(store) is None


def test_event_that_always_fails_does_not_hold_back_later_ones(store: Store, webhook: Webhook, clock: Clock) -> None:
    """A recipient that fails for one event and accepts the next is not away."""
    notifier = Notifier(store, NotificationSettings(notify_webhook=webhook.url), clock)
    webhook.answers = {"poison": 500}
    store.events.add("poison", level="error")
    assert notify(notifier)
    store.events.add("disk full", level="error")
    for _ in range(ROUNDS - 1):
        assert "HTTP 500" in notify(notifier)
    assert alert(store) is None
    assert notify(notifier) == ""
    assert webhook.texts.count("disk full") == 1
    assert "HTTP 500" in (alert(store) or "")


@pytest.mark.parametrize("answer", [429, 502, "close"])
@pytest.mark.parametrize("is_restarted", [False, True])
def test_event_that_fails_for_a_moment_is_sent_later(store, webhook, clock, answer, is_restarted) -> None:
    settings = NotificationSettings(notify_webhook=webhook.url)
    notifier = Notifier(store, settings, clock)
    webhook.answers = {"first": answer}
    for text in ("first", "second"):
        store.events.add(text, level="error")
    for _ in range(ROUNDS - 1):
        assert notify(notifier)
    if is_restarted:
        notifier = Notifier(store, settings, clock)
    webhook.answers = {}
    assert notify(notifier) == ""
    assert notify(notifier) == ""
    assert webhook.texts == ["second", "first"]
    assert alert(store) is None


def test_later_recipient_gets_no_old_events(store: Store, webhook: Webhook, clock: Clock) -> None:
    """The first process after an upgrade continues at the one cursor of the earlier version; it is used once."""
    store.activity.beat(CURSOR, str(store.events.last(1)[0].id))
    store.events.add("while it was down", level="error")
    settings = NotificationSettings(notify_command="true")
    Notifier(store, settings, clock)
    later = NotificationSettings(notify_command="true", notify_webhook=webhook.url)
    Notifier(store, later, clock)
    store.events.add("before the next start", level="error")
    assert notify(Notifier(store, later, clock)) == ""
    assert webhook.texts == ["before the next start"]


def test_first_process_continues_at_the_cursor_of_an_earlier_version(store, webhook, clock) -> None:
    store.activity.beat(CURSOR, str(store.events.last(1)[0].id))
    store.events.add("while it was down", level="error")
    assert notify(Notifier(store, NotificationSettings(notify_webhook=webhook.url), clock)) == ""
    assert webhook.texts == ["while it was down"]


def test_alert_ends_without_recipients(deployment, store: Store, webhook: Webhook, clock: Clock) -> None:
    webhook.answers = {"": 400}
    notifier = Notifier(store, NotificationSettings(notify_webhook=webhook.url), clock)
    store.events.add("first", level="error")
    notify(notifier)
    assert alert(store)
    next(task for task in periodic_tasks(deployment.config, store) if task.name == "notification").run()
    assert alert(store) is None


def test_each_recipient_gets_every_event(store: Store, webhook: Webhook, clock: Clock, tmp_path) -> None:
    """One that was away for two events gets them when it is back, and the other gets none twice."""
    path = tmp_path / "received"
    command = f"sh -c 'cat >>{path}; echo >>{path}'"
    notifier = Notifier(store, NotificationSettings(notify_webhook=webhook.url, notify_command=command), clock)
    webhook.answers = {"": 503}
    for number in range(2):
        store.events.add(f"event {number}", level="error")
        assert notify(notifier)
    webhook.answers = {}
    assert notify(notifier) == ""
    assert webhook.texts == ["event 0", "event 1"]
    assert [json.loads(line)["text"] for line in path.read_text().splitlines() if line] == ["event 0", "event 1"]


@pytest.mark.long
def test_stream_goes_on_past_a_refused_event(deployment, webhook: Webhook, tmp_path) -> None:
    """`contimg run` with a webhook that answers 400 to one event: later alarms arrive, status shows the refusal."""
    webhook.answers = {"poison": 400}
    deployment.more["CONTIMG_NOTIFY_WEBHOOK"] = webhook.url
    command = [sys.executable, "-m", "contimg", "run", "--no-web"]
    log = tmp_path / "run.log"
    with log.open("wb") as sink:
        stream = subprocess.Popen(command, env=deployment.environ, cwd=tmp_path, stdout=sink, stderr=sink)
    try:
        logs = tmp_path / "state" / "logs"
        until(
            lambda: "scanned every" in "".join(path.read_text() for path in logs.glob("producer*")), 60, "the producer"
        )
        store = Store.open(deployment.config.queue_db)
        store.events.add("poison", level="warning")
        store.events.add("disk full", level="error")
        until(lambda: "disk full" in webhook.texts, 60, "the later alarm")
        until(lambda: alert(store), 30, "the alert")
        store.close()
        assert "HTTP 400" in deployment.contimg("status").stdout
        assert f"alert {ALERT}" in deployment.contimg("doctor").stdout
        producer = (logs / "producer.log").read_text()
        assert "Traceback" not in producer
        assert producer.count("was refused and is not sent again") == 1
    finally:
        stream.send_signal(signal.SIGINT)
        stream.wait(60)
