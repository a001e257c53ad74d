"""The container engine's own HTTP interface over its socket: as much of it as the stream's containers need."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from contimg.errors import ContimgError, Transient

_VERSION = "v1.41"


class EngineSocket:
    """Requests to the engine behind a socket."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ask(self, method: str, resource: str, limit_s: float = 20.0, **query: str) -> Any:
        """The engine's JSON answer, None for an empty one.

        Raises Transient when the engine is away, ContimgError with its words when it refuses.
        """
        connection = _Connection(self.path, limit_s)
        try:
            connection.request(method, f"/{_VERSION}{quote(resource)}?{urlencode(query)}")
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Transient(f"{self.path}: the container engine does not answer ({error})") from None
        finally:
            connection.close()
        said = json.loads(body) if body else None
        if answer.status >= 400:
            raise ContimgError(
                f"{self.path}: {said.get('message', answer.status) if isinstance(said, dict) else answer.status}"
            )
        return said


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, limit_s: float) -> None:
        super().__init__("localhost", timeout=limit_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
