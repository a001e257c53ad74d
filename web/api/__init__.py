"""The REST API: a blueprint per file."""

from web.api.alerts import alerts
from web.api.calibrations import calibrations
from web.api.configuration import configuration
from web.api.events import events
from web.api.health import health
from web.api.history import history
from web.api.images import images
from web.api.logs import logs
from web.api.queue import queue
from web.api.status import status
from web.api.streaming import streaming
from web.api.workers import workers

blueprints = (
    status, streaming, configuration, queue, workers, images, calibrations, events, alerts, history, logs, health,
)  # fmt: skip
