"""The REST API: a blueprint per file."""

from web.activity.alert_api import alerts
from web.activity.event_api import events
from web.activity.health_api import health
from web.activity.history_api import history
from web.activity.worker_api import workers
from web.calibration.api import calibrations
from web.configuration.api import configuration
from web.logs.api import logs
from web.streaming.api import streaming
from web.streaming.status_api import status
from web.tiles.group_api import queue
from web.tiles.image_api import images

blueprints = (
    status, streaming, configuration, queue, workers, images, calibrations, events, alerts, history, logs, health,
)  # fmt: skip
