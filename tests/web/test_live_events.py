"""Server-sent events through the real server: at once, in order, from where the viewer left off."""

import json
import time
from collections.abc import Callable
from urllib.request import urlopen

import pytest
from flask import Flask
from live_viewer import following, next_event
from observing_night import Night
from running_service import RunningService

from contimg.settings import Settings
from contimg.store import Store
from web import create_app
from web.activity import live
from web.activity.live import LiveEvents
from web.context import EXTENSION, Panel


def stream_of(app: Flask) -> Panel:
    panel: Panel = app.extensions[EXTENSION]
    return panel


def until(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    ends = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < ends, "did not come about"
        time.sleep(0.05)


def test_event_is_sent_to_viewer(url: str, night: Night) -> None:
    night.store.events.add("before")
    with following(url) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        night.store.events.add("the sky is falling", level="error")
        event = next_event(answer)
        assert (event["text"], event["level"]) == ("the sky is falling", "error")
        night.store.events.add("and again")
        assert next_event(answer)["text"] == "and again"


def test_reconnected_viewer_gets_missed_events(url: str, night: Night) -> None:
    for number in range(5):
        night.store.events.add(f"event {number}")
    with following(url, "/api/events?after=0") as answer:
        events = [next_event(answer) for _ in range(3)]
    with following(url, "/api/events?after=0", last=str(events[-1]["id"])) as answer:
        events += [next_event(answer) for _ in range(2)]
    assert [event["text"] for event in events] == [f"event {number}" for number in range(5)]


def test_long_backlog_is_sent_whole(url: str, night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BACKLOG", 4)
    for number in range(11):
        night.store.events.add(f"event {number}")
    with following(url, "/api/events?after=0") as answer:
        assert [next_event(answer)["text"] for _ in range(11)] == [f"event {number}" for number in range(11)]


def test_idle_connection_gets_heartbeats(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.1)
    with following(url) as answer:
        assert answer.readline() == b"retry: 2000\n"
        answer.readline()
        assert answer.readline() == b": quiet\n"


def test_number_of_viewers_is_limited(
    settings: Settings, store: Store, service: RunningService, app: Flask, url: str
) -> None:
    stream_of(app).live.capacity = 2
    with following(url) as first, following(url) as second:
        assert (first.status, second.status) == (200, 200)
        with following(url) as third:
            assert third.status == 503
            assert third.headers["Retry-After"]
            assert "2 viewers" in json.loads(third.read())["error"]
        assert urlopen(f"{url}/healthz", timeout=60).status == 200
    until(lambda: stream_of(app).live.viewers == 0)
    with following(url) as again:
        assert again.status == 200


def test_connection_ends_after_session_time(settings: Settings, store: Store) -> None:
    live = LiveEvents(store, 1, poll_s=0.05, session_s=0.3)
    assert live.add_viewer()
    began = time.monotonic()
    assert list(live.follow(0)) == []
    assert time.monotonic() - began >= 0.3
    live.remove_viewer()


def test_unread_connection_is_released(settings: Settings, store: Store) -> None:
    app = create_app(settings, store)
    answer = app.test_client().head("/api/events")
    assert answer.status_code == 200
    answer.close()
    assert stream_of(app).live.viewers == 0


def test_viewers_share_one_watcher(
    settings: Settings, store: Store, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty viewers of a quiet stream cost the store no more than a single viewer."""
    live, query = LiveEvents(store, 50, poll_s=0.2), []
    after = type(store.events).after
    monkeypatch.setattr(type(store.events), "after", lambda *arguments: query.append(1) or after(*arguments))
    assert all(live.add_viewer() for _ in range(50))
    assert not live.add_viewer()
    followed = live.follow(0)
    night.store.events.add("one")
    event = next(followed)
    assert event is not None
    assert event.text == "one"
    assert len(query) <= 2
    live.close()
    assert list(followed) == []
    for _ in range(50):
        live.remove_viewer()
