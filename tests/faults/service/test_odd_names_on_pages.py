"""File names with control characters, of other encodings, or of markup: pages, API, events and metrics stay whole."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from contimg.settings import Settings, load
from contimg.store import Store
from web import create_app

ODD_NAMES = (
    b"2026-02-22T03:04:05_sb01\n2026-02-22.hdf5", b"\x1b[31mred\x1b[0m.hdf5", b"\xff\xfe.hdf5", b"caf\xe9.hdf5",
    "\u202egnp.hdf5".encode(), b"<img src=x>.hdf5", b"tab\there.hdf5", b"bell\x07.hdf5",
    b"del\x7f\xc2\x85.hdf5",
)  # fmt: skip
PAGES = (
    "/", "/groups", "/images", "/sky", "/calibration", "/history", "/alerts", "/logs", "/events", "/configuration",
    "/api/docs",
)  # fmt: skip
READS = ("/api/status", "/api/queue", "/api/events/list", "/api/alerts", "/api/logs", "/metrics")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    """A panel whose store and logs hold each name in a quarantined file, an event, an alert and a log line."""
    settings = Settings(state_dir=tmp_path / "state", token="correct horse battery staple")
    config = load(settings)
    store = Store.of(config)
    lines = []
    for number, name in enumerate(ODD_NAMES):
        path = config.input_dir / os.fsdecode(name)
        store.files.quarantine(path, f"{path.name}: foreign: not named like a subband file", size=12, mtime=1.0)
        store.events.add(f"{path.name}: quarantined", level="warning")
        store.alerts.update(f"rule {number}", f"{path.name}: is odd", level="error")
        message = json.dumps({"time": "2026-02-22T03:04:05Z", "level": "INFO", "logger": "x", "message": path.name})
        lines += [message.encode(), b"2026-02-22T03:04:05Z INFO x " + name]
    logs = settings.state_dir / "logs"
    logs.mkdir()
    (logs / "producer.log").write_bytes(b"\n".join(lines) + b"\n")
    yield create_app(settings, store, fresh_s=0.0)
    store.close()


def strings_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for item in value.items() for part in item for text in strings_of(part))
    elif isinstance(value, list):
        yield from (text for item in value for text in strings_of(item))


@pytest.mark.parametrize("path", PAGES + READS)
def test_answer_holds_no_control_characters(app: Flask, path: str) -> None:
    answer = app.test_client().get(path)
    assert answer.status_code == 200
    text = answer.get_data().decode("utf-8")
    assert not CONTROL.search(text.replace("\r\n", "\n"))
    assert "<img src=x>" not in text or answer.content_type != "text/html; charset=utf-8"
    if answer.is_json:
        for string in strings_of(answer.get_json()):
            assert not CONTROL.search(string), string


def test_names_are_shown_escaped(app: Flask) -> None:
    """Each name is on the page of events in one piece, and can be told from the others."""
    page = app.test_client().get("/events").text
    for shown in ("\\n2026", "\\x1b[31mred", "\\xff\\xfe.hdf5", "caf\\xe9.hdf5", "\\u202egnp", "&lt;img"):
        assert shown in page, shown
    events = app.test_client().get("/api/events/list").get_json()["events"]
    assert len({event["text"] for event in events}) >= len(ODD_NAMES)


def test_signed_in_name_is_printable(app: Flask) -> None:
    client = app.test_client()
    client.post("/sign-in", data={"token": "correct horse battery staple", "name": "Ve\x1b[31mra\u202e"})
    assert not CONTROL.search(client.get("/").text)
    assert "Ve\\x1b[31mra" in client.get("/").text
