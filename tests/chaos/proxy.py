"""A TCP proxy whose connections can be cut or stalled, as by a faulty switch."""

import contextlib
import socket
import threading


class Proxy:
    """Forward bytes between a port of its own on localhost and the port `target`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._forwarding = threading.Event()
        self._forwarding.set()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def cut(self) -> int:
        """Close every connection; return the number of closed sockets."""
        with self._lock:
            connections, self._connections = self._connections, set()
        for connection in connections:
            _close(connection)
        return len(connections)

    def stall(self) -> None:
        """Forward nothing; open and new connections stay open without an error."""
        self._forwarding.clear()

    def resume(self) -> None:
        """Resume forwarding."""
        self._forwarding.set()

    def close(self) -> None:
        """Stop listening and close every connection."""
        _close(self._listener)
        self.resume()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                _close(client)
                continue
            server.settimeout(None)
            with self._lock:
                self._connections |= {client, server}
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._forwarding.wait()
                sink.sendall(data)
        except OSError:
            pass
        with self._lock:
            self._connections -= {source, sink}
        _close(source)
        _close(sink)


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
