"""Metrics of the stream for Prometheus. An unknown number is left out, not given as zero."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric

from contimg.quality.grades import GRADES
from contimg.settings.alerts import AlertRule
from contimg.store import QUEUES, ImageFilter, Outcome, Stage, Store
from contimg.store.activity.alerts import LEVELS

FAILURES = (Outcome.FAILED, Outcome.EXPIRED, Outcome.BAD_FILE)
# Seconds: a tile comes every 309 s, so what matters lies below.
BOUNDS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)

disable_created_metrics()  # type: ignore[no-untyped-call]  # the time of the panel's start, for every series


class EndedStages:
    """Counts of the stages that ended since a time; each `update` reads only what ended after the one before."""

    def __init__(self, since_s: float) -> None:
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "contimg_stage_seconds", "Seconds of committed stages.", ["stage"], buckets=BOUNDS_S, registry=self.registry
        )
        self._runs = Counter("contimg_stage_runs", "Ended attempts.", ["stage", "outcome"], registry=self.registry)
        self._failures = Counter("contimg_failures", "Failed attempts.", ["stage", "class"], registry=self.registry)
        for stage in Stage:  # every series exists from the start, with the value 0
            self._seconds.labels(stage)
            for outcome in Outcome:
                self._runs.labels(stage, outcome)
        self._updated_s = since_s
        self._seen: set[int] = set()
        self._lock = threading.Lock()

    def update(self, store: Store) -> None:
        """Count what has ended since the last update.

        Parameters
        ----------
        store : source of the attempts. Those of the last minute are read again, because the time of an end is taken
            before its commit; none is counted twice.
        """
        with self._lock:
            runs = store.jobs.ended_runs(self._updated_s - 60.0)
            for run in runs:
                if run.id in self._seen or run.outcome is None:
                    continue
                self._runs.labels(run.stage, run.outcome).inc()
                if run.outcome in FAILURES:
                    self._failures.labels(run.stage, run.error_class or "unknown").inc()
                if run.outcome == Outcome.COMMITTED and run.seconds is not None:
                    self._seconds.labels(run.stage).observe(run.seconds)
            self._seen = {run.id for run in runs}
            self._updated_s = max([self._updated_s, *(run.ended_at or 0.0 for run in runs)])


@dataclass(frozen=True)
class ImageSummary:
    """Numbers of the newest images, by time of observation.

    Attributes
    ----------
    observed_s : middle of the newest image's observation, epoch seconds; None without an image.
    medians : of the images of the hour until the newest, by name of the metric; a number that none has is left out.
    grades : images of the day until the newest, by QA grade.
    missing_subbands : of the newest image.
    """

    observed_s: float | None = None
    medians: Mapping[str, float] = field(default_factory=dict)
    grades: Mapping[str, int] = field(default_factory=dict)
    missing_subbands: int | None = None

    @classmethod
    def read(cls, store: Store) -> "ImageSummary":
        """Read the summary.

        Parameters
        ----------
        store : the store.
        """
        newest = store.products.images(1)
        if not newest:
            return cls()
        mjd = newest[0].mjd
        tiles = store.products.tiles(ImageFilter(since_mjd=mjd - 1 / 24))
        values: dict[str, list[float | None]] = {
            "rms_jy": [tile.rms_jy for tile in tiles],
            "noise_ratio": [tile.noise_ratio for tile in tiles],
            "flux_ratio": [tile.flux_ratio for tile in tiles],
            "flagged_fraction": [tile.flagged_fraction for tile in tiles],
        }
        measured = {name: [value for value in numbers if value is not None] for name, numbers in values.items()}
        counts = store.products.count_images(ImageFilter(since_mjd=mjd - 1))
        return cls(
            newest[0].observed_at,
            {name: median(numbers) for name, numbers in measured.items() if numbers},
            {grade: counts.get(grade, 0) for grade in GRADES},
            len(newest[0].missing_subbands),
        )


@dataclass(frozen=True, eq=False)
class Collector:
    """The overview, the disks and the alerts as metrics.

    Attributes
    ----------
    overview : the stream at one time.
    viewers : number of open connections to /api/events.
    disks : file systems of the stream's directories.
    rules : every rule of alerts.
    images : numbers of the newest images.
    """

    overview: Any
    viewers: int
    disks: Sequence[Any]
    rules: Sequence[AlertRule] = ()
    images: ImageSummary = ImageSummary()

    def collect(self) -> Iterable[Metric]:
        """The metrics."""
        snapshot = self.overview.snapshot
        yield _labelled("contimg_groups", "Groups by state.", "state", snapshot.states)
        yield _labelled("contimg_groups_waiting", "Pending groups by their next stage.", "stage", snapshot.waiting)
        running = {stage: sum(run.stage == stage for run in snapshot.running) for stage in Stage}
        about = "Median seconds of a stage over the last hour."
        yield _labelled("contimg_stage_seconds_median", about, "stage", snapshot.rates.stage_seconds)
        yield _labelled("contimg_workers_busy", "Running stages.", "stage", running)
        for part in ("total", "free"):
            values = {disk.name: float(getattr(disk, part)) for disk in self.disks}
            yield _labelled(f"contimg_disk_{part}_bytes", f"Disk of a directory, {part}.", "directory", values)
        for name, about, value in self._numbers():
            if value is not None:
                yield GaugeMetricFamily(f"contimg_{name}", about, value=value)
        yield from self._images()
        yield from self._alerts()
        yield from self._workers()

    def _images(self) -> Iterable[Metric]:
        about = {
            "rms_jy": "Noise per beam, Jy, median of the hour until the newest image.",
            "noise_ratio": "Noise over thermal rms, median of the hour until the newest image.",
            "flux_ratio": "Flux over catalogue, median of the hour until the newest image.",
            "flagged_fraction": "Flagged part of the samples, median of the hour until the newest image.",
        }
        for name, value in self.images.medians.items():
            yield GaugeMetricFamily(f"contimg_image_{name}", about[name], value=value)
        yield _labelled("contimg_images", "Images of the day until the newest, by grade.", "grade", self.images.grades)
        if self.images.observed_s is not None:
            text = "Middle of the newest image's observation, epoch seconds."
            yield GaugeMetricFamily("contimg_image_observed_timestamp_seconds", text, value=self.images.observed_s)
        if self.images.missing_subbands is not None:
            text = "Missing subbands of the newest image."
            yield GaugeMetricFamily("contimg_image_missing_subbands", text, value=self.images.missing_subbands)

    def _alerts(self) -> Iterable[Metric]:
        broken = {alert.rule for alert in self.overview.alerts}
        holds = {rule.name: float(rule.name in broken) for rule in self.rules if not (rule.off or rule.is_event)}
        yield _labelled("contimg_alert", "1 while a rule is broken.", "rule", holds)
        worst = self.overview.condition.alert
        about = "Level of the worst active alert, those not acknowledged first: 0 none, 1 warning, 2 error."
        yield GaugeMetricFamily("contimg_alert_level", about, value=LEVELS.index(worst.level) if worst else 0)

    def _workers(self) -> Iterable[Metric]:
        """Workers and messages; left out when the broker does not answer, which differs from no worker."""
        inspection = self.overview.inspection
        if inspection is None or inspection.error:
            return
        processes = {
            queue: sum(worker.processes for worker in inspection.workers if queue in worker.queues) for queue in QUEUES
        }
        yield _labelled("contimg_workers", "Processes that take from a queue.", "queue", processes)
        yield _labelled("contimg_queue_messages", "Messages that wait in a queue.", "queue", inspection.waiting)

    def _numbers(self) -> Iterable[tuple[str, str, float | None]]:
        overview, snapshot, service = self.overview, self.overview.snapshot, self.overview.service
        rates = snapshot.rates
        yield "running", "1 while the streaming service runs.", float(service.running)
        yield "paused", "1 while the stream is paused.", float(snapshot.paused)
        yield "healthy", "1 while the stream runs or is paused on purpose.", float(overview.condition.healthy)
        yield "stages_in_progress", "Running stages.", float(len(snapshot.running))
        yield "groups_per_hour", "Groups completed in the last hour.", rates.groups_per_hour
        yield "latency_seconds_median", "First file to image, median of the last hour's first runs.", rates.latency_s
        yield (
            "image_after_seconds_median",
            "Last file to image, median of the last hour's first runs.",
            rates.image_after_s,
        )
        yield (
            "image_after_seconds_p95",
            "Last file to image, 95 % of the last hour's first runs.",
            rates.image_after_p95_s,
        )
        yield "real_time_factor", "Seconds of sky per second of processing.", rates.real_time_factor
        yield "backlog_groups", "Groups that are ready and not done.", float(overview.activity.waiting)
        yield "catch_up_seconds", "Until the backlog is gone at the present pace.", overview.activity.catch_up_s
        yield "oldest_pending_seconds", "Age of the oldest pending group.", snapshot.oldest_pending_s
        yield "scan_age_seconds", "Since the last scan of the incoming directory.", overview.scan_age_s
        yield "files_set_aside", "Quarantined files.", float(snapshot.set_aside_count)
        yield "cpu_percent", "CPU of the service's processes.", service.cpu_percent
        memory = None if service.memory_mb is None else service.memory_mb * 1024 * 1024
        yield "memory_bytes", "Memory of the service's processes.", memory
        yield "uptime_seconds", "Since the service's start.", service.uptime_seconds
        yield "live_viewers", "Open connections to /api/events.", float(self.viewers)


def _labelled(name: str, about: str, label: str, values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], float(value))
    return family
