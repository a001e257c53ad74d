"""`/healthz`: does the panel answer; `/metrics`: the stream in Prometheus' words."""

from flask import Blueprint, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from contimg.errors import Misconfigured
from web.activity.alerting import rules_in_force
from web.activity.history import Disk, disks
from web.activity.prometheus import Collector
from web.context import current_panel

health = Blueprint("health", __name__)


@health.get("/healthz")
def healthz() -> Response:
    """The panel lives and its store answers; says nothing of the stream (that is /api/streaming/health)."""
    current_panel().store.queue.paused  # noqa: B018 (a query; an exception is answered with 503)
    return Response("ok\n", mimetype="text/plain")


@health.get("/metrics")
def metrics() -> Response:
    """Every number of a overview, and the stages that have ended since the panel began."""
    panel, registry = current_panel(), CollectorRegistry()
    panel.ended.look(panel.store)
    registry.register(Collector(panel.overview(8), panel.live.viewers, _disks(), panel.ended, rules_in_force(panel)))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _disks() -> tuple[Disk, ...]:
    try:
        return disks(current_panel().config())
    except Misconfigured:
        return ()
