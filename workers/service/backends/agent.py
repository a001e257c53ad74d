"""The agent: a process that controls the stream for a panel that has no right to.

It runs as root beside the engine or systemd, on a socket that only the panel's group may open. A request is one word:
`status`, `start`, `stop` or `restart`. It takes no arguments and names no container or unit, so that a client can do
nothing but start, stop and restart this one stream. The answer is one line of JSON.
"""

import json
import logging
import os
import socket
import socketserver
import threading
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args

from contimg.common.errors import ContimgError, Misconfigured, Transient
from workers.service.backends import Backend
from workers.service.records import Command, CommandOutcome, PartsStatus

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
        answer = self._request("status", STATUS_LIMIT_S)
        return PartsStatus(**_known(PartsStatus, {"container": answer.get("name"), **answer}))  # name: earlier agents

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
        return CommandOutcome(**_known(CommandOutcome, self._request(command, COMMAND_LIMIT_S)))

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


def _known(record: type[PartsStatus | CommandOutcome], answer: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a record: the agent may be of another version than the panel."""
    return {row.name: answer[row.name] for row in fields(record) if row.name in answer}


class AgentServer(socketserver.ThreadingUnixStreamServer):
    """The agent's server. Commands are executed one at a time.

    Parameters
    ----------
    path : the socket; its owner and group may connect.
    backend : the backend that executes the commands.

    Raises
    ------
    Misconfigured : the socket cannot be created.
    """

    daemon_threads = True

    def __init__(self, path: Path, backend: Backend) -> None:
        self._backend = backend
        self._command_lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        umask = os.umask(0o117)
        try:
            path.unlink(missing_ok=True)
            super().__init__(str(path), _RequestHandler)
        except OSError as error:
            raise Misconfigured(f"{path}: {error.strerror}; give another path with --socket") from None
        finally:
            os.umask(umask)

    def close(self) -> None:
        """Stop answering requests, and close the socket."""
        self.shutdown()
        self.server_close()

    def answer(self, word: str) -> dict[str, Any]:
        """Execute a request.

        Parameters
        ----------
        word : one of REQUESTS; any other is refused.

        Returns
        -------
        the fields of the PartsStatus or of the CommandOutcome, or `error` with the reason of a failure.
        """
        try:
            if word == "status":
                return asdict(self._backend.status())
            for command in get_args(Command):
                if word == command:
                    log.info("executing %s", word)
                    with self._command_lock:
                        return asdict(self._backend.execute(command))
        except ContimgError as error:
            log.error("%s: %s", word, error)
            return {"error": str(error)}
        log.warning("refused request %r", word)
        return {"error": f"unknown request; known: {', '.join(REQUESTS)}"}


class _RequestHandler(socketserver.StreamRequestHandler):
    server: AgentServer
    timeout = 10.0  # of the request, s

    def handle(self) -> None:
        try:
            word = self.rfile.readline(_MAX_REQUEST_BYTES).decode("ascii", errors="replace").strip()
            self.connection.settimeout(None)
            self.wfile.write(json.dumps(self.server.answer(word)).encode() + b"\n")
        except OSError as error:
            log.warning("a client closed its connection before the answer: %s", error)
