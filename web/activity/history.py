"""The series behind the charts, and the sampler that records those of the machine."""

import logging
import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass

import psutil
from sqlalchemy.exc import SQLAlchemyError

from contimg.common.errors import ContimgError
from contimg.instrument.dsa110 import CADENCE_S
from contimg.quality.grades import GRADES
from contimg.settings import StreamingConfig
from contimg.store import Bucket, Stage, State, Store
from contimg.store.products.series import SHARES, VALUES
from web.context import Panel
from workers.housekeeping.clocks import record_clock

log = logging.getLogger(__name__)
MIN_INTERVAL_S = 5.0
SHARE_STEP_S = 3600.0  # shortest step of a share of images: about twelve


@dataclass(frozen=True)
class Line:
    """A line of a chart: its series in the store, its label, and the factor from the series to the chart's unit."""

    series: str
    label: str
    factor: float = 1.0


@dataclass(frozen=True)
class Chart:
    """Lines that share an axis and a unit.

    Attributes
    ----------
    interval_s : longest usual time between two values, s; a line is interrupted where more than three of them lack.
    """

    name: str
    title: str
    unit: str
    lines: tuple[Line, ...]
    interval_s: float = 60.0

    @property
    def by_observation(self) -> bool:
        """Whether the values are those of images, at their time of observation."""
        return all(line.series in VALUES or line.series in SHARES for line in self.lines)


CHARTS = (
    Chart("throughput", "Throughput", "groups/h", (Line("stream.groups_per_hour", "completed"),)),
    Chart("latency", "Last file to image", "s", (Line("stream.image_after_s", "median"),
          Line("stream.image_after_p95_s", "95 %"))),
    Chart("stages", "Stages", "s", tuple(Line(f"stage.{stage}.seconds", str(stage)) for stage in Stage),
          CADENCE_S),
    Chart("noise", "Noise of images", "mJy/beam", (Line("image.rms_jy", "noise", 1e3),), CADENCE_S),
    Chart("noise_ratio", "Noise over thermal", "ratio", (Line("image.noise_ratio", "noise over thermal"),), CADENCE_S),
    Chart("flux_ratio", "Flux over catalogue", "ratio", (Line("image.flux_ratio", "median"),), CADENCE_S),
    Chart("flagged", "Flagged samples", "%", (Line("image.flagged_fraction", "flagged", 100.0),), CADENCE_S),
    Chart("grades", "QA grades", "% of images", tuple(Line(f"image.{grade}", grade, 100.0) for grade in GRADES),
          SHARE_STEP_S),
    Chart("queue", "Groups in progress", "groups", (Line("queue.collecting", "collecting"),
          Line("queue.pending", "pending"), Line("queue.in_progress", "in progress"))),
    Chart("cpu", "CPU", "% of a core", (Line("service.cpu_percent", "stream"), Line("machine.cpu_percent", "machine"))),
    Chart("memory", "Memory", "GB", (Line("service.memory_mb", "stream", 1 / 1024),
          Line("machine.memory_mb", "machine", 1 / 1024))),
    Chart("disk", "Disk free", "GB", (Line("disk.output_free_bytes", "products", 1e-9),
          Line("disk.input_free_bytes", "incoming", 1e-9))),
)  # fmt: skip


def read_line(store: Store, line: Line, since_s: float, until_s: float, points: int) -> tuple[Bucket, ...]:
    """Return the values of a line in the unit of its chart.

    Parameters
    ----------
    store : of the panel.
    line : of a chart.
    since_s, until_s : the span, epoch seconds; of observation for numbers of images.
    points : number of steps.
    """
    is_of_images = line.series in VALUES or line.series in SHARES
    if line.series in SHARES:
        points = max(1, min(points, int((until_s - since_s) / SHARE_STEP_S)))
    read = store.products.series if is_of_images else store.metrics.series
    steps = read(line.series, since_s, until_s, points)
    factor = line.factor
    return tuple(Bucket(step.at, step.mean * factor, step.minimum * factor, step.maximum * factor) for step in steps)


def sample(panel: Panel) -> dict[str, float | None]:
    """Return the present values of the series that the panel records, in the units of the store.

    Parameters
    ----------
    panel : its overview and configuration give the values.

    Returns
    -------
    value by name of series; None where it is unknown. CPU in percent of one core, memory in MB (1024² bytes), disks in
    bytes, times in seconds.

    Raises
    ------
    Misconfigured, when the configuration is not valid.
    """
    overview, config = panel.overview(), panel.config()
    snapshot, rates, memory = overview.snapshot, overview.snapshot.rates, psutil.virtual_memory()
    queue = {f"queue.{state}": float(snapshot.states[state]) for state in
             (State.COLLECTING, State.PENDING, State.IN_PROGRESS, State.FAILED)}  # fmt: skip
    return {
        **queue,
        "stream.groups_per_hour": rates.groups_per_hour,
        "stream.image_after_s": rates.image_after_s,
        "stream.image_after_p95_s": rates.image_after_p95_s,
        "stream.real_time_factor": overview.snapshot.rates.real_time_factor,
        "service.cpu_percent": overview.service.cpu_percent,
        "service.memory_mb": overview.service.memory_mb,
        "machine.cpu_percent": psutil.cpu_percent() * psutil.cpu_count(),
        "machine.memory_mb": (memory.total - memory.available) / 1024**2,
        **{f"disk.{disk.name}_free_bytes": float(disk.free) for disk in disks(config)},
    }


def check_scan(panel: Panel) -> None:
    """Begin or end the alert of a producer that does not scan, which the producer itself cannot raise.

    Parameters
    ----------
    panel : its overview gives the condition; the alert is written to its store.
    """
    condition = panel.overview().condition
    problem = f"scan: {condition.reason}" if condition.scan_overdue else None
    panel.store.alerts.update(
        "scan", problem, level="error", end_text="the incoming directory is scanned again, or the stream was stopped"
    )


@dataclass(frozen=True)
class Disk:
    """The file system of a directory: total and free bytes."""

    name: str
    total: int
    free: int

    @property
    def used_percent(self) -> float:
        """The used part in percent."""
        return 100.0 * (1 - self.free / self.total) if self.total else 0.0


def disks(config: StreamingConfig | None) -> tuple[Disk, ...]:
    """Return the file systems of the incoming, products and scratch directories that exist.

    Parameters
    ----------
    config : the directories; None gives no file system.

    Returns
    -------
    the file systems, named `input`, `output` and `scratch`; a directory that cannot be read is left out.
    """
    usages = []
    for name in ("input", "output", "scratch") if config else ():
        with suppress(OSError):
            usage = shutil.disk_usage(getattr(config, f"{name}_dir"))
            usages.append(Disk(name, usage.total, usage.free))
    return tuple(usages)


class Sampler(threading.Thread):
    """A thread that records a sample every `monitor_interval` while `monitoring` is on."""

    def __init__(self, panel: Panel) -> None:
        super().__init__(name="sampler", daemon=True)
        self._panel = panel
        self._end = threading.Event()

    def stop(self) -> None:
        """Let the thread end, without waiting for it."""
        self._end.set()

    def run(self) -> None:
        """Record samples until the end."""
        psutil.cpu_percent()  # the first call only starts the measurement
        interval_s = MIN_INTERVAL_S
        while not self._end.wait(interval_s):
            try:
                config = self._panel.config()
                interval_s = max(MIN_INTERVAL_S, config.monitor_interval)
                if config.monitoring:
                    self._panel.store.metrics.add(sample(self._panel))
                check_scan(self._panel)
                record_clock(self._panel.store)
            except (ContimgError, SQLAlchemyError, OSError) as error:
                log.warning("no sample: %s", str(error).splitlines()[0])
