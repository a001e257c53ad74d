"""Flower as the service runs it: below a path, behind a password, and with its memory kept over a restart."""

import base64
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from judges import require
from waiting import until

from contimg.common.files.processes import kill_session, start_bound
from contimg.settings import Settings
from workers.broker import EmbeddedBroker
from workers.service.plan import Extras, extra_plans

require("flower", allow_module_level=True)
TOKEN = "correct horse battery staple"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_the_panel_is_told_where_flower_is():
    extras = Extras(web=True, flower=True)
    web, flower = extra_plans(extras, "redis://x", Settings(state_dir=Path("/s"), token=TOKEN, flower_port=5556), {})
    assert web.environ["CONTIMG_FLOWER_URL"] == "http://127.0.0.1:5556/"
    assert flower.environ["FLOWER_BASIC_AUTH"] == f"contimg:{TOKEN}"
    assert flower.environ["FLOWER_DB"] == "/s/flower"
    assert not any(TOKEN in word for word in flower.command)
    environ = {"CONTIMG_FLOWER_URL": "http://elsewhere", "FLOWER_BASIC_AUTH": "a:b", "FLOWER_PERSISTENT": "false"}
    web, flower = extra_plans(extras, "redis://x", Settings(token=TOKEN, flower_port=5556), environ)
    assert "CONTIMG_FLOWER_URL" not in web.environ
    assert not {"FLOWER_BASIC_AUTH", "FLOWER_PERSISTENT"} & set(flower.environ)
    (web,) = extra_plans(Extras(web=True), "redis://x", Settings(), {"FLOWER_URL_PREFIX": "f"})
    assert "CONTIMG_FLOWER_URL" not in web.environ


@pytest.fixture
def flower(deployment) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    broker, port = EmbeddedBroker(deployment.root / "state"), free_port()
    environ = {**deployment.environ, "FLOWER_URL_PREFIX": "flower", "CONTIMG_TOKEN": TOKEN}
    settings = Settings.from_environment(environ).replace(flower_port=port)
    (plan,) = extra_plans(Extras(flower=True), broker.start().url, settings, environ)
    process = start_bound(plan.command, environ={**environ, **plan.environ})
    yield f"http://127.0.0.1:{port}", process
    kill_session(process)
    broker.stop()


def asked(url: str, password: str | None = None) -> int:
    request = urllib.request.Request(url)
    if password is not None:
        word = base64.b64encode(f"contimg:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {word}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_it_stands_below_its_path_behind_the_token_and_remembers(deployment, flower):
    url, process = flower
    until(lambda: asked(f"{url}/flower/healthcheck") == 200, 60, "Flower answers")
    assert asked(f"{url}/healthcheck") == 404
    for page in ("workers", "broker", "tasks", "api/workers"):
        assert asked(f"{url}/flower/{page}") == 401, page
        assert asked(f"{url}/flower/{page}", "wrong") == 401, page
    assert asked(f"{url}/flower/workers", TOKEN) == 200
    assert asked(f"{url}/flower/broker", TOKEN) == 200
    os.kill(process.pid, signal.SIGTERM)
    process.wait(20)
    assert list((deployment.root / "state").glob("flower*"))
