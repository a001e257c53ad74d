"""Panels as processes of their own, and requests to them without a library between."""

import http.client
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

TOKEN = "correct horse battery staple"


@dataclass(frozen=True)
class Answer:
    """Status, headers and text of a response."""

    status: int
    headers: http.client.HTTPMessage
    text: str


@contextmanager
def panel_process(state_dir: Path, **variables: str) -> Iterator[str]:
    """Start a panel; yield its host and port."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CONTIMG_")}
    environ |= {"PIPELINE_STATE_DIR": str(state_dir), "PYTHONUNBUFFERED": "1", "CONTIMG_TOKEN": TOKEN, **variables}
    command = [sys.executable, "-m", "contimg", "web", "--port", "0"]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        lines = (re.search(r"127\.0\.0\.1:\d+", line) for line in process.stdout)
        match = next(filter(None, lines), None)
        assert match, f"the panel ended with status {process.wait()}"
        yield match[0]
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def send(
    address: str,
    path: str,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    context: ssl.SSLContext | None = None,
) -> Answer:
    """Send GET, or POST with a form, to `host:port`; over TLS with a context."""
    connection: http.client.HTTPConnection = (
        http.client.HTTPSConnection(address, timeout=30, context=context)
        if context
        else http.client.HTTPConnection(address, timeout=30)
    )
    body = None if form is None else urlencode(form)
    form_headers = {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
    connection.request("GET" if form is None else "POST", path, body, {**form_headers, **(headers or {})})
    response = connection.getresponse()
    answer = Answer(response.status, response.headers, response.read().decode())
    connection.close()
    return answer
