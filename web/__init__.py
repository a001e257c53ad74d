"""The control panel: pages, a REST API and live events, over the store and the streaming service."""

from collections.abc import Callable
from itertools import chain

from flask import Flask

from contimg.settings import Settings, load
from contimg.store import Store
from web.access.guard import guard
from web.activity import api as activity
from web.activity.live import LiveEvents
from web.activity.store import store_sizes
from web.calibration.api import antennas, calibrations
from web.configuration.api import configuration
from web.context import EXTENSION, Panel
from web.http.api import PanelApp
from web.http.errors import handle_errors
from web.http.proxy import ReverseProxies
from web.http.responses import add_headers
from web.logs.api import logs
from web.pages import add_pages
from web.sources.api import candidates, sources
from web.sources.catalogues.api import catalogues
from web.streaming.api import streaming
from web.streaming.epochs import epochs, mosaics
from web.streaming.service import ReadOnlyService, StreamingService
from web.survey.archive import archive_api
from web.survey.campaigns import campaigns
from web.survey.nights import nights
from web.survey.vo.services import vo
from web.tiles.api import images, queue
from workers.broker import url_in_force
from workers.inspection import CeleryInspector, Inspection, InspectionCache

MAX_VIEWERS = 50
MAX_BODY_BYTES = 64 * 1024


def create_app(
    settings: Settings,
    store: Store | None = None,
    service: StreamingService | None = None,
    *,
    inspect: Callable[[], Inspection] | None = None,
    fresh_s: float = 1.0,
) -> Flask:
    """Create the panel as a WSGI application.

    Parameters
    ----------
    settings : the deployment's settings.
    store : the store; None: the one that the configuration names.
    service : starts and stops the stream; None: it is started elsewhere, and the panel only reads the store.
    inspect : asks the workers; None: through the broker in force.
    fresh_s : maximum age of an overview that several users share, s.
    """
    store = store or Store.of(load(settings))
    service = service or ReadOnlyService(settings, store)
    celery_inspector = CeleryInspector()
    inspector = InspectionCache(inspect or (lambda: celery_inspector.inspect(url_in_force(settings))))
    app = PanelApp("web", static_folder="static")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions[EXTENSION] = Panel(settings, store, service, LiveEvents(store, MAX_VIEWERS), inspector, fresh_s)
    for api in chain(
        (
            streaming,
            configuration,
            queue,
            images,
            epochs,
            mosaics,
            nights,
            sources,
            candidates,
            calibrations,
            antennas,
            catalogues,
            archive_api,
            logs,
            campaigns,
        ),
        (
            activity.events,
            activity.alerts,
            activity.maintenance,
            activity.workers,
            activity.history,
            activity.panel_health,
            store_sizes,
        ),
    ):
        app.register_api(api)
    app.register_blueprint(activity.health)
    app.register_blueprint(vo)
    add_pages(app)
    guard(app, settings)
    handle_errors(app)
    add_headers(app)
    app.wsgi_app = ReverseProxies(app.wsgi_app, settings)  # type: ignore[method-assign]
    return app
