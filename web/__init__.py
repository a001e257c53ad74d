"""The control panel: one page, a REST API, live events. It asks the store and the service; it runs no stage itself."""

from collections.abc import Callable

from flask import Flask

from contimg.settings import Settings, load
from contimg.store import Store
from web.access import guard
from web.activity.live import LiveEvents
from web.api import blueprints
from web.context import EXTENSION, Panel
from web.http.errors import handle_errors
from web.http.headers import add_headers
from web.pages import pages
from web.streaming.service import ReadOnlyService, StreamingService
from workers.broker import url_in_force
from workers.inspection import Asker, Inspection, Inspector

VIEWERS = 50
MAX_BODY_BYTES = 64 * 1024


def create_app(
    settings: Settings,
    store: Store | None = None,
    service: StreamingService | None = None,
    *,
    inspect: Callable[[], Inspection] | None = None,
    fresh_s: float = 1.0,
) -> Flask:
    """The panel as a WSGI application.

    `store` None: the one that the configuration names. `service` None: the panel watches a stream that somebody else
    runs, and commands nothing. `inspect` None: the broker in force is asked for workers and queues. `fresh_s`: how old
    a look at the stream may be that visitors share.
    """
    store = store or Store.of(load(settings))
    service = service or ReadOnlyService(settings, store)
    asker = Asker()
    inspector = Inspector(inspect or (lambda: asker.ask(url_in_force(settings))))
    app = Flask("web", static_folder="panel/static", static_url_path="/static", template_folder="panel/templates")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions[EXTENSION] = Panel(settings, store, service, LiveEvents(store, VIEWERS), inspector, fresh_s)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    guard(app, settings)
    pages(app)
    handle_errors(app)
    add_headers(app)
    return app
