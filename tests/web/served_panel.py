"""A panel behind a real server on a free port."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask

from web.context import EXTENSION, Panel
from web.http.serving import listen, make_server, url_of


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """Serve an application with waitress; gives its address without the last slash."""
    panel: Panel = app.extensions[EXTENSION]
    listening = listen("127.0.0.1", 0)
    server = make_server(app, listening)
    over = threading.Event()

    def loop() -> None:
        while not over.is_set():
            server.asyncore.loop(timeout=0.1, map=server._map, count=1)

    thread = threading.Thread(target=loop)
    thread.start()
    yield url_of(listening).rstrip("/")
    panel.live.close()
    server.task_dispatcher.shutdown()
    over.set()
    thread.join()
    server.close()
