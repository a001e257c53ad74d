"""A TCP proxy whose connections can be cut or made to stall, as a bad switch would."""

import contextlib
import socket
import threading


class Proxy:
    """Listens on a port of its own on localhost and passes bytes to and from `target`, a port there."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._moving = threading.Event()
        self._moving.set()
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def cut(self) -> int:
        """Close every connection; returns how many ends there were."""
        with self._lock:
            ends, self._ends = self._ends, set()
        for end in ends:
            _close(end)
        return len(ends)

    def stall(self) -> None:
        """Pass nothing on; connections stay open, new ones too, and nobody is told."""
        self._moving.clear()

    def move(self) -> None:
        """Pass everything on again."""
        self._moving.set()

    def close(self) -> None:
        """Stop listening and cut what there is."""
        _close(self._listener)
        self.move()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                _close(near)
                continue
            far.settimeout(None)
            with self._lock:
                self._ends |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._moving.wait()
                sink.sendall(data)
        except OSError:
            pass
        with self._lock:
            self._ends -= {source, sink}
        _close(source)
        _close(sink)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
