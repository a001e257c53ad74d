"""The agent: a process that controls the stream for a panel that has no right to.

It runs as root beside the engine or systemd, on a socket that only the panel's group may open. A request is one word:
`status`, `start`, `stop` or `restart`. It takes no arguments and names no container or unit, so that a client can do
nothing but start, stop and restart this one stream. The answer is one line of JSON.
"""

import json
import logging
import os
import socket
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from contimg.errors import ContimgError, Misconfigured, Transient
from workers.service.backends import Backend, PartsStatus
from workers.service.records import Command, CommandOutcome

log = logging.getLogger(__name__)
REQUESTS = ("status", *get_args(Command))
COMMAND_LIMIT_S = 200.0
STATUS_LIMIT_S = 20.0
_MAX_REQUEST_BYTES = 64


class AgentClient:
    """The backend that forwards requests to the agent behind a socket."""

    kind = "agent"

    def __init__(self, path: Path) -> None:
        self._path = path

    def status(self) -> PartsStatus:
        """Return the status of the agent's backend; raises Transient when the agent does not answer."""
        return PartsStatus(**self._request("status", STATUS_LIMIT_S))

    def execute(self, command: Command) -> CommandOutcome:
        """Have the agent execute a command, and wait until that is done.

        Parameters
        ----------
        command : `start`, `stop` or `restart`.

        Raises
        ------
        Transient : the agent does not answer within COMMAND_LIMIT_S.
        ContimgError : the agent refuses, or its backend fails.
        """
        return CommandOutcome(**self._request(command, COMMAND_LIMIT_S))

    def _request(self, word: str, limit_s: float) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(limit_s)
                connection.connect(str(self._path))
                connection.sendall(f"{word}\n".encode())
                with connection.makefile("rb") as stream:
                    answer: dict[str, Any] = json.loads(stream.readline() or b"{}")
        except (OSError, ValueError) as error:
            raise Transient(f"{self._path}: the agent does not answer ({error}); start `contimg agent`") from None
        if "error" in answer or not answer:
            raise ContimgError(f"{self._path}: {answer.get('error', 'the agent sent no answer; see its log')}")
        return answer


class AgentServer:
    """The agent's server. Commands are executed one at a time.

    Parameters
    ----------
    path : the socket; its owner and group may connect.
    backend : the backend that executes the commands.

    Raises
    ------
    Misconfigured : the socket cannot be created.
    """

    def __init__(self, path: Path, backend: Backend) -> None:
        self._backend = backend
        self._command_lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        umask = os.umask(0o117)
        try:
            self._socket.bind(str(path))
        except OSError as error:
            raise Misconfigured(f"{path}: {error.strerror}; give another path with --socket") from None
        finally:
            os.umask(umask)
        self._socket.listen(8)

    def serve(self) -> None:
        """Answer requests until `close`."""
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10.0)
            try:
                with connection.makefile("rb") as stream:
                    word = stream.readline(_MAX_REQUEST_BYTES).decode("ascii", errors="replace").strip()
                connection.settimeout(None)
                connection.sendall(json.dumps(self._execute(word)).encode() + b"\n")
            except OSError as error:
                log.warning("a client closed its connection before the answer: %s", error)

    def _execute(self, word: str) -> dict[str, Any]:
        if word not in REQUESTS:
            log.warning("refused request %r", word)
            return {"error": f"unknown request; known: {', '.join(REQUESTS)}"}
        try:
            if word == "status":
                return asdict(self._backend.status())
            log.info("executing %s", word)
            with self._command_lock:
                return asdict(self._backend.execute(next(command for command in get_args(Command) if command == word)))
        except ContimgError as error:
            log.error("%s: %s", word, error)
            return {"error": str(error)}
