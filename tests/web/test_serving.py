"""`contimg web` as an operator starts it: where it listens, what it refuses, how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from live_viewer import following

from contimg.common.errors import Misconfigured
from web.http.serving import check_exposure, is_loopback, listen, url_of


def environment(deployment: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONTIMG_")}
    return {**kept, "PIPELINE_STATE_DIR": str(deployment / "state"), "PYTHONUNBUFFERED": "1"}


def contimg_web(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from contimg.cli import main; main()", "web", *arguments]


@pytest.fixture
def panel(deployment: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A panel in a process of its own, and its address."""
    command = contimg_web("--port", "0")
    process = subprocess.Popen(
        command, env=environment(deployment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    match = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert match, line + (process.stdout.read() if process.poll() is not None else "")
    yield process, match[0]
    process.kill()
    process.wait(10)
    process.stdout.close()


def test_panel_ends_cleanly_with_viewer(panel: tuple[subprocess.Popen[str], str]) -> None:
    process, url = panel
    assert urlopen(f"{url}/healthz", timeout=60).read() == b"ok\n"
    assert b"contimg" in urlopen(f"{url}/", timeout=60).read()
    with following(url) as viewer:
        assert viewer.readline() == b"retry: 2000\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert process.stdout is not None
    words = process.stdout.read()
    assert "Traceback" not in words
    assert "GET" not in words  # reading is not news


def test_busy_port_is_reported_in_one_line(deployment: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            contimg_web("--port", str(port)), env=environment(deployment), capture_output=True, text=True, timeout=60
        )
    assert done.returncode == Misconfigured.exit_code
    (line,) = done.stderr.strip().splitlines()
    assert all(part in line for part in (str(port), "127.0.0.1", "--port", "CONTIMG_WEB_PORT")), line


def test_exposed_panel_needs_token(deployment: Path) -> None:
    done = subprocess.run(
        contimg_web("--host", "0.0.0.0", "--port", "0"),
        env=environment(deployment), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == Misconfigured.exit_code
    assert len(done.stderr.strip().splitlines()) == 1
    assert "CONTIMG_TOKEN" in done.stderr
    check_exposure("0.0.0.0", "a token")
    check_exposure("127.0.0.1", "")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.4", False), ("", False), ("panel.example.org", False)],
)  # fmt: skip
def test_loopback_addresses(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_foreign_address_is_named() -> None:
    with pytest.raises(Misconfigured, match=r"192\.0\.2\.1:\d+.*--host"):
        listen("192.0.2.1", 0)
    with pytest.raises(Misconfigured, match=r"no-such-host\.invalid"):
        listen("no-such-host.invalid", 0)


def test_printed_url_can_be_opened() -> None:
    with listen("0.0.0.0", 0) as open_to_all:
        port = open_to_all.getsockname()[1]
        assert url_of(open_to_all) == f"http://127.0.0.1:{port}/"
