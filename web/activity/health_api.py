"""`/healthz`: does the panel answer; `/metrics`: the stream in Prometheus' words."""

from flask import Blueprint, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from contimg.errors import Misconfigured
from web.activity.alerting import rules_in_force
from web.activity.history import Disk, disks
from web.activity.prometheus import Collector
from web.stream import stream

health = Blueprint("health", __name__)


@health.get("/healthz")
def healthz() -> Response:
    """The panel lives and its store answers; says nothing of the stream (that is /api/streaming/health)."""
    stream().store.queue.paused  # noqa: B018 (a query; an exception is answered with 503)
    return Response("ok\n", mimetype="text/plain")


@health.get("/metrics")
def metrics() -> Response:
    """Every number of a glance, and the stages that have ended since the panel began."""
    room, registry = stream(), CollectorRegistry()
    room.ended.look(room.store)
    registry.register(Collector(room.glance(8), room.live.viewers, _disks(), room.ended, rules_in_force(room)))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _disks() -> tuple[Disk, ...]:
    try:
        return disks(stream().config())
    except Misconfigured:
        return ()
