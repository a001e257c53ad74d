"""Who runs the stream: the agent on a real socket here; a real engine and a real systemd in tests/ops/running."""

import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from contimg.common.errors import ContimgError, Transient
from contimg.settings import Settings
from workers.service import CommandOutcome, StreamingServiceManager
from workers.service.backends import BackendOptions, choose_backend
from workers.service.backends.agent import AgentClient, AgentServer
from workers.service.backends.containers import Containers
from workers.service.records import PAST, Command, PartsStatus


class Parts:
    """A backend that records commands; a restart fails."""

    kind = "parts"

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.running = True

    def status(self) -> PartsStatus:
        return PartsStatus(self.running, "contimg-stream-1", 4711, 1000.0, 12.5, 345.6)

    def execute(self, command: Command) -> CommandOutcome:
        if command == "restart":
            raise Transient("the engine is away")
        self.commands.append(command)
        self.running = command == "start"
        return CommandOutcome(True, f"the stream was {PAST[command]}")


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def agent(parts: Parts, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "run/agent.sock"
    server = AgentServer(path, parts)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield path
    server.close()
    serving.join(5)
    assert not serving.is_alive()


def test_agent_answers_its_requests(agent: Path, parts: Parts) -> None:
    client = AgentClient(agent)
    assert client.status() == parts.status()
    assert client.execute("stop") == CommandOutcome(True, "the stream was stopped")
    assert not client.status().running
    assert client.execute("start").success
    assert parts.commands == ["stop", "start"]
    with pytest.raises(ContimgError, match="the engine is away"):
        client.execute("restart")


@pytest.mark.parametrize(
    "request_line", [b"remove\n", b"stop redis\n", b"__init__\n", b"\xff\xfe\n", b"s" * 500 + b"\n", b"\n"]
)
def test_agent_refuses_other_requests(agent: Path, parts: Parts, request_line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(agent))
        connection.sendall(request_line)
        answer = connection.recv(1000)
    assert all(command in answer for command in (b"status", b"start", b"stop", b"restart"))
    assert parts.commands == []


def test_silent_clients_do_not_block_the_agent(agent: Path) -> None:
    silent = [socket.socket(socket.AF_UNIX) for _ in range(4)]
    for client in silent:
        client.connect(str(agent))
    silent.pop().close()
    assert AgentClient(agent).status().running
    for client in silent:
        client.close()


@pytest.mark.parametrize("name", ["name", "container"])
def test_agent_of_another_version(agent: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    answer = {"running": True, name: "contimg-stream-1", "pid": 4711, "later_field": 1}
    monkeypatch.setattr(AgentServer, "answer", lambda *_: answer)
    assert AgentClient(agent).status() == PartsStatus(True, "contimg-stream-1", 4711)
    monkeypatch.setattr(AgentServer, "answer", lambda *_: {"success": True, "message": "done", "later_field": 1})
    assert AgentClient(agent).execute("stop") == CommandOutcome(True, "done")


def test_socket_mode(agent: Path) -> None:
    assert stat.S_IMODE(agent.stat().st_mode) == 0o660


def test_manager_uses_the_agent(agent: Path, parts: Parts, tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("CONTIMG_SERVICE_AGENT", str(agent))
    manager = StreamingServiceManager(Settings(state_dir=tmp_path / "state"))
    status = manager.status()
    assert (status.backend, status.container, status.pid, status.memory_mb) == (
        "agent",
        "contimg-stream-1",
        4711,
        345.6,
    )
    assert manager.execute("stop").success
    assert not manager.status().running
    refused = manager.execute("restart")
    assert not refused.success
    assert "the engine is away" in refused.message


def test_missing_agent_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTIMG_SERVICE_AGENT", str(tmp_path / "nobody.sock"))
    monkeypatch.setenv("CONTIMG_SERVICE_BACKEND", "agent")
    manager = StreamingServiceManager(Settings(state_dir=tmp_path / "state"))
    status = manager.status()
    assert not status.running
    assert "nobody.sock" in (status.error or "")
    assert not manager.execute("start").success


def test_configured_backend_is_chosen(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    nowhere = tmp_path / "none.sock"
    kinds = {"docker": "docker", "systemd": "systemd", "agent": "agent", "process": None}
    for name, kind in kinds.items():
        backend = choose_backend(settings, BackendOptions(backend=name, engine=nowhere, agent=nowhere))
        assert (backend.kind if backend else None) == kind


def test_missing_engine_is_transient(tmp_path: Path) -> None:
    with pytest.raises(Transient, match=r"docker\.sock\b"):
        Containers(tmp_path / "docker.sock", "contimg").status()
