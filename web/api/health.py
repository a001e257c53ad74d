"""`/healthz`: does the panel answer; `/metrics`: the stream in Prometheus' words."""

from collections.abc import Iterable

from flask import Blueprint, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from web.stream import Glance, stream

health = Blueprint("health", __name__)


@health.get("/healthz")
def healthz() -> Response:
    """The panel lives and its store answers; says nothing of the stream (that is /api/streaming/health)."""
    stream().store.queue.paused  # noqa: B018 (a query; an exception is answered with 503)
    return Response("ok\n", mimetype="text/plain")


@health.get("/metrics")
def metrics() -> Response:
    """Every number of a glance."""
    registry = CollectorRegistry()
    registry.register(Collector(stream().glance(shown=0), stream().live.viewers))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class Collector:
    """One glance as Prometheus' metrics. A number that is not known is left out, not shown as zero."""

    def __init__(self, glance: Glance, viewers: int) -> None:
        self._glance = glance
        self._viewers = viewers

    def collect(self) -> Iterable[Metric]:
        """The metrics."""
        glance, snapshot, service = self._glance, self._glance.snapshot, self._glance.service
        yield _labelled("contimg_groups", "Groups by state.", "state", snapshot.states)
        yield _labelled("contimg_groups_waiting", "Pending groups by their next stage.", "stage", snapshot.waiting)
        yield _labelled(
            "contimg_stage_seconds_median",
            "Median seconds of a stage over the last hour.",
            "stage",
            snapshot.rates.stage_seconds,
        )
        for name, about, value in (
            ("running", "1 while the streaming service runs.", float(service.running)),
            ("paused", "1 while the stream is paused.", float(snapshot.paused)),
            ("healthy", "1 while the stream runs or is paused on purpose.", float(glance.condition.healthy)),
            ("stages_in_progress", "Stages under way.", float(len(snapshot.running))),
            ("groups_per_hour", "Groups completed in the last hour.", snapshot.rates.groups_per_hour),
            ("latency_seconds_median", "First file to image, median over the last hour.", snapshot.rates.latency_s),
            ("real_time_factor", "Seconds of sky per second of processing.", glance.real_time_factor),
            ("oldest_pending_seconds", "Age of the oldest pending group.", snapshot.oldest_pending_s),
            ("scan_age_seconds", "Since the last scan of the incoming directory.", glance.scan_age_s),
            ("files_set_aside", "Files set aside with a reason.", float(snapshot.set_aside_count)),
            ("cpu_percent", "CPU of the service's processes.", service.cpu_percent),
            ("memory_bytes", "Memory of the service's processes.", _bytes(service.memory_mb)),
            ("uptime_seconds", "Since the service's start.", service.uptime_seconds),
            ("live_viewers", "Open connections to /api/events.", float(self._viewers)),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"contimg_{name}", about, value=value)


def _labelled(name: str, about: str, label: str, values: object) -> Metric:
    family = GaugeMetricFamily(name, about, labels=[label])
    for key, value in dict(values).items():  # type: ignore[call-overload]
        family.add_metric([str(key)], float(value))
    return family


def _bytes(megabytes: float | None) -> float | None:
    return None if megabytes is None else megabytes * 1024 * 1024
