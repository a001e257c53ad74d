"""The panel on a port: waitress, threads enough for every live viewer, a clean end on SIGTERM."""

import errno
import ipaddress
import logging
import signal
import socket
import threading
from types import FrameType
from typing import Any

from flask import Flask
from waitress.server import create_server

from contimg.errors import Misconfigured
from web.activity.history import Sampler
from web.context import EXTENSION, Panel

log = logging.getLogger(__name__)

# A live viewer holds a thread; these remain for everybody else's requests.
SPARE_THREADS = 8
CONNECTIONS = 400


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_exposure(host: str, token: str) -> None:
    """Raises Misconfigured when others could reach a panel that has no token."""
    if not token and not is_loopback(host):
        raise Misconfigured(
            f"{host}: others can reach this address, and no token is set; set CONTIMG_TOKEN, or listen on 127.0.0.1"
        )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; Misconfigured says which port is busy, or what is wrong with the address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError as error:
        raise Misconfigured(f"{host}: no address to listen on: {error.strerror}; give another with --host") from None
    try:
        opened.bind(address)
        opened.listen(socket.SOMAXCONN)
    except OSError as error:
        opened.close()
        raise Misconfigured(_why_not(host, port, error)) from None
    return opened


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is busy: end what uses it, or choose another with --port or CONTIMG_WEB_PORT"
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges: choose one above 1023 with --port or CONTIMG_WEB_PORT"
    return f"{host}:{port}: cannot listen there: {error.strerror}; choose another with --host and --port"


def url_of(listening: socket.socket) -> str:
    """Where a browser finds the panel."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def make_server(app: Flask, listening: socket.socket) -> Any:
    """waitress over a listening socket, not yet running."""
    panel: Panel = app.extensions[EXTENSION]
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a full queue drains by itself
    logging.getLogger("waitress").setLevel(logging.WARNING)  # viewers come and go
    return create_server(
        app,
        sockets=[listening],
        threads=panel.live.capacity + SPARE_THREADS,
        connection_limit=CONNECTIONS,
        channel_request_lookahead=1,  # lets a live connection notice that its viewer has left
        max_request_body_size=app.config["MAX_CONTENT_LENGTH"],
        ident="contimg",
    )


def serve(app: Flask, listening: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C: viewers are let go, requests under way end, the port is free."""
    panel: Panel = app.extensions[EXTENSION]
    server = make_server(app, listening)
    sampler = Sampler(panel)

    def end(_number: int, _frame: FrameType | None) -> None:
        panel.live.close()
        raise SystemExit(0)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
    sampler.start()
    try:
        server.run()
    finally:
        sampler.stop()
        panel.live.close()
        server.close()
        panel.store.close()
        log.info("panel ended")
