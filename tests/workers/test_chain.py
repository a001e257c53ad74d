"""What is sent, read back from a real broker; each case is a process of its own, as senders are."""

import base64
import json
import socket
import subprocess
import sys

import pytest
import redis

from workers.broker import EmbeddedBroker

SEND = """
import base64
import json
from contimg.store import Stage
from workers.scheduling import messages as chain
chain.send("2026-02-22T23:17:51")
chain.send("2026-02-22T23:23:00", Stage.CALIBRATE)
chain.send("2026-02-22T23:28:09", Stage.CALIBRATE)
print(json.dumps({str(stage): number for stage, number in chain.backlog().items()}))
"""
TRY = """
from contimg.common.errors import Transient
from workers.scheduling import messages as chain
for attempt in (lambda: chain.send("2026-02-22T23:17:51"), chain.backlog):
    try:
        attempt()
    except Transient as error:
        print(error)
"""


@pytest.fixture
def broker(tmp_path):
    server = EmbeddedBroker(tmp_path / "state")
    yield server
    server.stop()


def python(program: str, deployment) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], env=deployment.environ, check=True, capture_output=True, text=True, timeout=120
    ).stdout


def test_messages_of_remaining_stages(broker, deployment):
    deployment.more["CONTIMG_BROKER_URL"] = url = broker.start().url
    assert json.loads(python(SEND, deployment)) == {"convert": 1, "calibrate": 2, "image": 0}
    client = redis.Redis.from_url(url, decode_responses=True)
    queues = {key for key in client.keys("contimg:c*")}
    assert queues == {"contimg:convert\x06\x166", "contimg:calibrate\x06\x166"}, (
        "at the usual priority, not the highest"
    )
    message = json.loads(client.lindex("contimg:convert\x06\x166", 0))
    assert message["content-type"] == "application/json"
    assert message["headers"]["task"] == "contimg.convert"
    assert message["headers"]["ignore_result"] is True
    (arguments, _named, embedded) = json.loads(base64.b64decode(message["body"]))
    assert arguments == ["2026-02-22T23:17:51"]
    assert [signature["task"] for signature in reversed(embedded["chain"])] == ["contimg.calibrate", "contimg.image"]
    assert all(signature["immutable"] and signature["args"] == arguments for signature in embedded["chain"])


def test_absent_broker_is_reported_soon(deployment):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        deployment.more["CONTIMG_BROKER_URL"] = f"redis://:secret@127.0.0.1:{closed.getsockname()[1]}/0"
        port = closed.getsockname()[1]
        lines = python(TRY, deployment).splitlines()
    assert [f"127.0.0.1:{port}" in line for line in lines] == [True, True]
    assert not any("secret" in line for line in lines)
