"""Two panels of one state directory share sessions and limits, and a restart ends no session."""

import http.client
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from running_service import TOKEN

from workers.broker import EmbeddedBroker


@contextmanager
def panel(deployment: Path) -> Iterator[str]:
    """A panel in a process of its own; its host and port."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CONTIMG_")}
    environ |= {"PIPELINE_STATE_DIR": str(deployment / "state"), "PYTHONUNBUFFERED": "1", "CONTIMG_TOKEN": TOKEN}
    command = [sys.executable, "-m", "contimg", "web", "--port", "0"]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        match = re.search(r"127\.0\.0\.1:\d+", process.stdout.readline())
        assert match, process.stdout.read()
        yield match[0]
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def request(host: str, method: str, path: str, cookie: str = "", **form: str) -> tuple[int, str, str]:
    """Status, text, and the session cookie that was set."""
    connection = http.client.HTTPConnection(host, timeout=20)
    headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    connection.request(method, path, urlencode(form), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, (answer.headers["Set-Cookie"] or "").split(";")[0]


@pytest.fixture
def broker(deployment: Path) -> Iterator[EmbeddedBroker]:
    embedded = EmbeddedBroker(deployment / "state")
    embedded.start()
    yield embedded
    embedded.stop()


@pytest.mark.long
@pytest.mark.usefixtures("broker")
def test_two_panels_share_sessions_and_limits(deployment: Path) -> None:
    with panel(deployment) as second:
        with panel(deployment) as first:
            status, _, cookie = request(first, "POST", "/sign-in", token=TOKEN, name="Vera")
            assert status == 303
            assert "Vera" in request(second, "GET", "/", cookie)[1]
        with panel(deployment) as first:  # restarted
            page = request(first, "GET", "/", cookie)[1]
            assert "Vera" in page
            csrf = re.search(r'<meta name="csrf" content="([^"]+)">', page)
            assert csrf
            assert request(second, "POST", "/streaming/pause", cookie, confirmed="1")[0] == 403
            assert request(second, "POST", "/streaming/pause", cookie, confirmed="1", csrf=csrf[1])[0] == 303
            assert request(second, "POST", "/sign-out", cookie, csrf=csrf[1])[0] == 303
            for host in (first, second):
                assert "Vera</span>" not in request(host, "GET", "/", cookie)[1]
            answers = [request(host, "POST", "/sign-in", token="wrong")[0] for host in [first, second] * 3]
            assert answers == [401] * 5 + [429]
            assert request(first, "POST", "/sign-in", token=TOKEN)[0] == 429
