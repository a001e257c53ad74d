"""The panel over a real store in a temporary directory, and over a real server on a free port."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from observing_night import Night, whole_night

from contimg.config import Settings, load
from contimg.store import Store
from web import create_app
from web.serving import listen, make_server, url_of
from web.stream import EXTENSION, Stream

TOKEN = "correct horse battery staple"


@dataclass
class RunningService:
    """A service that is up, as the service manager describes one; it writes down what it was told."""

    store: Store
    told: list[str] = field(default_factory=list)
    running: bool = True
    pid: int | None = 4711
    started_at: float | None = field(default_factory=lambda: time.time() - 45_000)
    uptime_seconds: float | None = 45_000.0
    cpu_percent: float | None = 61.0
    memory_mb: float | None = 2212.0
    last_heartbeat: float | None = None
    config: dict[str, object] | None = None
    error: str | None = None
    paused: bool = False
    success: bool = True

    @property
    def message(self) -> str:
        return f"{self.told[-1]} done"

    def status(self) -> "RunningService":
        return replace(self, paused=self.store.queue.paused)

    def start(self) -> "RunningService":
        self.told.append("start")
        return self

    def stop(self) -> "RunningService":
        self.told.append("stop")
        return self

    def restart(self) -> "RunningService":
        self.told.append("restart")
        return self


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state", token=TOKEN)


@pytest.fixture
def night(settings: Settings) -> Iterator[Night]:
    """The writing side: what producer and workers do to the store."""
    config = load(settings)
    made = Night(Path(config.queue_db), config.input_dir, config.output_dir, time.time())
    yield made
    made.store.close()


@pytest.fixture
def store(settings: Settings, night: Night) -> Iterator[Store]:
    """The panel's own opening of the same store."""
    opened = Store.of(load(settings))
    yield opened
    opened.close()


@pytest.fixture
def service(store: Store) -> RunningService:
    return RunningService(store)


@pytest.fixture
def app(settings: Settings, store: Store, service: RunningService) -> Flask:
    return create_app(settings, store, service)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def operator() -> dict[str, str]:
    """The header of somebody who may change things."""
    return {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def full_night(night: Night) -> Night:
    whole_night(night, time.time())
    return night


@pytest.fixture
def url(app: Flask) -> Iterator[str]:
    """The panel behind a real waitress; its address without the last slash."""
    stream: Stream = app.extensions[EXTENSION]
    listening = listen("127.0.0.1", 0)
    server = make_server(app, listening)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield url_of(listening).rstrip("/")
    stream.live.close()
    server.task_dispatcher.shutdown()
    server.close()
    thread.join(5)
