"""The headline, the tab's title and icon, and the Alerts tab: on every page, within 15 s, and without an answer."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from deployment import Deployment
from judges import ROOT
from observing_night import Night
from test_browser import chromium, pytestmark
from waiting import until

from contimg.store import Store

__all__ = ["chromium", "pytestmark"]
EVERY_PAGE = ("/", "/groups", "/images", "/sky", "/calibration", "/history", "/alerts", "/logs", "/events",
              "/configuration", "/api/docs", "/sign-in", "/nothing")  # fmt: skip
MARKS = """() => [document.title, document.getElementById('icon').href.split('/').pop(),
    document.getElementById('headline').dataset.level, document.getElementById('alerts-tab').dataset.alarm,
    document.getElementById('alerts-tab').innerText.replace(/\\s+/g, ' ').trim()]"""
SILENT = "() => document.documentElement.dataset.silent === ''"
ANSWERING = "() => document.documentElement.dataset.silent === undefined"


@pytest.fixture
def context(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1024, "height": 800})
    yield context
    context.close()


def open_page(context: Any, address: str) -> Any:
    page = context.new_page()
    page.goto(address)
    return page


def test_alert_marks_every_page(context: Any, url: str, full_night: Night) -> None:
    alerts = full_night.store.alerts
    alerts.update("backlog", "backlog: 14 groups wait (limit 10)", level="warning")
    alerts.update("disk", "disk: /data is 96 % full (limit 95 %)", level="error")
    page = context.new_page()
    for path in EVERY_PAGE:
        page.goto(url + path)
        title, icon, level, alarm, tab = page.evaluate(MARKS)
        assert title.startswith("error: disk"), path
        assert (icon, level, alarm, tab) == ("icon-error.svg", "error", "error", "Alerts 2"), path
        assert "/data is 96 % full (limit 95 %)" in page.inner_text("#headline"), path
    full_night.store.alerts.update("disk", None)
    page.goto(f"{url}/groups")
    assert page.evaluate(MARKS)[1:] == ["icon-warning.svg", "warning", "warning", "Alerts 1"]


@pytest.mark.long
def test_open_pages_follow_alert(context: Any, url: str, full_night: Night) -> None:
    pages = [open_page(context, url + path) for path in ("/", "/groups", "/configuration")]
    quiet = [page.evaluate(MARKS) for page in pages]
    assert {tuple(marks[1:]) for marks in quiet} == {("icon.svg", "good", "", "Alerts")}
    full_night.store.alerts.update("no data", "no data: no file for 20 min", level="error")
    began_s = time.monotonic()
    for page in pages:
        page.wait_for_function("() => document.title.startsWith('error: no data')", timeout=15_000)
        assert page.evaluate(MARKS)[1:] == ["icon-error.svg", "error", "error", "Alerts 1"]
    assert time.monotonic() - began_s < 15
    full_night.store.alerts.update("no data", None)
    for page, marks in zip(pages, quiet, strict=True):
        page.wait_for_function("() => document.getElementById('headline').dataset.level === 'good'", timeout=15_000)
        assert page.evaluate(MARKS) == marks


def test_headline_needs_no_script(chromium: Any, url: str, full_night: Night) -> None:
    full_night.store.alerts.update("stall", "stall: none advances", level="error")
    context = chromium.new_context(java_script_enabled=False)
    page = open_page(context, f"{url}/images")
    assert page.title().startswith("error: stall")
    assert page.locator("#headline").is_visible()
    context.close()


@dataclass
class Link:
    """A TCP link to a port that can be cut: packets are lost, and TCP sends them again when it is whole."""

    port: int
    is_whole: threading.Event = field(default_factory=threading.Event)
    listening: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    sockets: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    def run(self) -> None:
        self.is_whole.set()
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.port))
            self.sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self.is_whole.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def close(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        for opened in self.sockets:
            opened.close()


@contextmanager
def running_panel(root: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A panel in a process of its own, over a store of its own: its process and its port."""
    (root / "incoming").mkdir(parents=True)
    deployment = Deployment(root)
    Store.of(deployment.config).close()
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    process = deployment.start_process(*deployment.command("web", "--port", str(port)), log="web.log")
    try:
        until(lambda: answers(port), 60, "the panel answers")
        yield process, port
    finally:
        os.killpg(process.pid, signal.SIGCONT)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(port: int) -> bool:
    with closing(socket.socket()) as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.long
def test_silent_panel_turns_pages_grey(context: Any, tmp_path: Path) -> None:
    """One panel is stopped by a signal; the packets of the link to another are dropped. Both come back."""
    with running_panel(tmp_path / "first") as (process, port), running_panel(tmp_path / "second") as (_, behind):
        link = Link(behind)
        threading.Thread(target=link.run, daemon=True).start()
        pages = [open_page(context, address) for address in (f"http://127.0.0.1:{port}/", f"{link.url}/groups")]
        titles = [page.title() for page in pages]
        time.sleep(6)  # a headline has been read
        began_s = time.time()
        os.killpg(process.pid, signal.SIGSTOP)
        link.is_whole.clear()
        for page in pages:
            page.wait_for_function(SILENT, timeout=45_000)
            assert time.time() - began_s > 24
            assert page.title().startswith("no answer")
            assert page.evaluate("document.getElementById('icon').href").startswith("data:image/svg+xml")
            hours, minutes, seconds = map(int, re.findall(r"\d\d", page.inner_text("#headline .silence"))[:3])
            assert abs(3600 * hours + 60 * minutes + seconds - began_s % 86400) % 86400 < 15
            assert page.locator("#headline .silence").is_visible()
        os.killpg(process.pid, signal.SIGCONT)
        link.is_whole.set()
        for page, title in zip(pages, titles, strict=True):
            page.wait_for_function(ANSWERING, timeout=30_000)
            assert page.title() == title
            assert not page.locator("#headline .silence").is_visible()
        link.close()


def test_every_request_of_scripts_has_limit() -> None:
    """Scripts call `request`, whose limit is 8 s; only it and the worker of the headline call `fetch`."""
    scripts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "web" / "static").rglob("*.js")}
    assert {name for name, script in scripts.items() if "fetch(" in script} == {"request.js", "heartbeat.js"}
    for name in ("request.js", "heartbeat.js"):
        assert "LIMIT_MS = 8000" in scripts[name]
        assert scripts[name].count("fetch(") == scripts[name].count("AbortSignal.timeout(LIMIT_MS)")
