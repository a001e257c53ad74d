"""Serving the panel with waitress: a thread for every live viewer, and a clean end on SIGTERM."""

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

from contimg.common.errors import Misconfigured
from web.activity.history import Sampler
from web.context import EXTENSION, Panel

log = logging.getLogger(__name__)

# A live viewer holds a thread; these remain for all other requests.
SPARE_THREADS = 8
CONNECTIONS = 400


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the address.

    Parameters
    ----------
    host : IP address or name; of the names only `localhost` counts.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_exposure(host: str, token: str) -> None:
    """Check that a panel without a token cannot be reached from other machines.

    Parameters
    ----------
    host : address that the panel is to listen on.
    token : the operator's token; empty for none.

    Raises
    ------
    Misconfigured, when the token is empty and the address is not a loopback address.
    """
    if not token and not is_loopback(host):
        raise Misconfigured(
            f"{host}: reachable from other machines, and no token is set; set CONTIMG_TOKEN, or use 127.0.0.1"
        )


def listen(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket.

    Parameters
    ----------
    host : address or name of this machine.
    port : TCP port; 0: the system chooses one.

    Raises
    ------
    Misconfigured, when the port is busy or needs privileges, or the address is not one of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address, family=family, backlog=socket.SOMAXCONN)
    except socket.gaierror as error:
        raise Misconfigured(f"{host}: no address to listen on: {error.strerror}; choose another with --host") from None
    except OSError as error:
        fault = {
            errno.EADDRINUSE: f"port {port} on {host} is busy: stop what uses it, or choose another",
            errno.EACCES: f"port {port} needs privileges: choose one above 1023",
        }.get(error.errno or 0, f"{host}:{port}: cannot listen there: {error.strerror}; choose another address")
        raise Misconfigured(f"{fault} (--host, --port, CONTIMG_WEB_PORT)") from None


def url_of(listening: socket.socket) -> str:
    """Return the panel's URL.

    Parameters
    ----------
    listening : the panel's socket. The loopback address stands for a socket that listens on all addresses.
    """
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def make_server(app: Flask, listening: socket.socket) -> Any:
    """Create the waitress server over a listening socket; it does not run yet.

    Parameters
    ----------
    app : the application; it has a thread for every live viewer and `SPARE_THREADS` for other requests.
    listening : socket of `listen`.
    """
    panel: Panel = app.extensions[EXTENSION]
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a full queue is normal
    logging.getLogger("waitress").setLevel(logging.WARNING)  # as are viewers that disconnect
    return create_server(
        app,
        sockets=[listening],
        threads=panel.live.capacity + SPARE_THREADS,
        connection_limit=CONNECTIONS,
        channel_request_lookahead=1,  # reads ahead, so that a live connection ends with its viewer
        clear_untrusted_proxy_headers=False,  # `ReverseProxies` decides by the sender's address
        max_request_body_size=app.config["MAX_CONTENT_LENGTH"],
        ident="contimg",
    )


def serve(app: Flask, listening: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; then disconnect viewers, finish requests and close the port.

    The signals are handled only when this runs in the main thread. The panel's store is closed at the end.

    Parameters
    ----------
    app : the application.
    listening : socket of `listen`; it is closed at the end.
    """
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
