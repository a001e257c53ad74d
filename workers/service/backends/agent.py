"""A small process that may command the stream's parts, for a panel that may not: four words in, one line out.

It runs as root beside the engine or systemd and listens on a socket that only the panel's group may open. It takes no
arguments, names no container or unit, and so can be told nothing but to start, stop and restart this one stream.
"""

import json
import logging
import os
import socket
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from contimg.errors import ContimgError, Misconfigured, Transient
from workers.service.backends import Backend, PartsStatus
from workers.service.records import CommandOutcome

log = logging.getLogger(__name__)
WORDS = ("status", "start", "stop", "restart")
LIMIT_S = 200.0
_LONGEST_WORD = 64


class AgentClient:
    """The backend that asks the agent."""

    kind = "agent"

    def __init__(self, path: Path) -> None:
        self._path = path

    def status(self) -> PartsStatus:
        """What the agent's own backend says."""
        return PartsStatus(**self._ask("status", 20.0))

    def start(self) -> CommandOutcome:
        """Have it started."""
        return CommandOutcome(**self._ask("start"))

    def stop(self) -> CommandOutcome:
        """Have it stopped."""
        return CommandOutcome(**self._ask("stop"))

    def restart(self) -> CommandOutcome:
        """Have it stopped and started."""
        return CommandOutcome(**self._ask("restart"))

    def _ask(self, word: str, limit_s: float = LIMIT_S) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(limit_s)
                connection.connect(str(self._path))
                connection.sendall(f"{word}\n".encode())
                with connection.makefile("rb") as answer:
                    said: dict[str, Any] = json.loads(answer.readline() or b"{}")
        except (OSError, ValueError) as error:
            raise Transient(f"{self._path}: the agent does not answer ({error}); see its log") from None
        if "error" in said or not said:
            raise ContimgError(f"{self._path}: {said.get('error', 'the agent said nothing')}")
        return said


class AgentServer:
    """Listens on a socket and obeys; one connection at a time for commands, so that two clicks do not cross."""

    def __init__(self, path: Path, backend: Backend) -> None:
        self._backend = backend
        self._busy = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o117)  # its owner and group, nobody else
        try:
            self._listening.bind(str(path))
        except OSError as error:
            raise Misconfigured(f"{path}: {error.strerror}") from None
        finally:
            os.umask(before)
        self._listening.listen(8)

    def serve(self) -> None:
        """Answer until `close`."""
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10.0)
            try:
                with connection.makefile("rb") as question:
                    word = question.readline(_LONGEST_WORD).decode("ascii", errors="replace").strip()
                connection.settimeout(None)
                connection.sendall(json.dumps(self._obey(word)).encode() + b"\n")
            except OSError as error:  # whoever asked has gone
                log.warning("a client left: %s", error)

    def _obey(self, word: str) -> dict[str, Any]:
        if word not in WORDS:
            log.warning("refused: %r", word)
            return {"error": f"only {', '.join(WORDS)} are understood"}
        try:
            if word == "status":
                return asdict(self._backend.status())
            log.info("told to %s", word)
            with self._busy:
                return asdict(getattr(self._backend, word)())
        except ContimgError as error:
            log.error("%s", error)
            return {"error": str(error)}
