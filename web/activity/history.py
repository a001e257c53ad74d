"""What the charts show: series of numbers from the store, and the sampler that writes those of the machine."""

import logging
import shutil
import threading
from dataclasses import dataclass

import psutil
from sqlalchemy.exc import SQLAlchemyError

from contimg.errors import ContimgError
from contimg.settings import StreamingConfig
from contimg.store import Stage, State
from web.context import Panel

log = logging.getLogger(__name__)
LEAST_INTERVAL_S = 5.0


@dataclass(frozen=True)
class Line:
    """One series on a chart: its name in the store, its word, and what its numbers are multiplied by."""

    series: str
    word: str
    factor: float = 1.0


@dataclass(frozen=True)
class Chart:
    """Lines that share an axis; `unit` stands behind its numbers."""

    name: str
    title: str
    unit: str
    lines: tuple[Line, ...]


CHARTS = (
    Chart("throughput", "Throughput", "groups/h", (Line("stream.groups_per_hour", "completed"),)),
    Chart("latency", "Last file to image", "s", (Line("stream.image_after_s", "median"),
          Line("stream.image_after_p95_s", "95 %"))),
    Chart("stages", "Stages", "s", tuple(Line(f"stage.{one}.seconds", str(one)) for one in Stage)),
    Chart("noise", "Noise of images", "mJy/beam", (Line("image.rms_jy", "rms", 1e3),)),
    Chart("queue", "Groups on their way", "groups", (Line("queue.collecting", "collecting"),
          Line("queue.pending", "pending"), Line("queue.in_progress", "in progress"))),
    Chart("cpu", "CPU", "% of a core", (Line("service.cpu_percent", "stream"), Line("machine.cpu_percent", "machine"))),
    Chart("memory", "Memory", "GB", (Line("service.memory_mb", "stream", 1 / 1024),
          Line("machine.memory_mb", "machine", 1 / 1024))),
    Chart("disk", "Disk free", "GB", (Line("disk.output_free_bytes", "products", 1e-9),
          Line("disk.input_free_bytes", "incoming", 1e-9))),
)  # fmt: skip


def sample(panel: Panel) -> dict[str, float | None]:
    """The numbers of this moment, under the names and in the units of the producer's own samples."""
    overview, config = panel.overview(8), panel.config()
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
        **{f"disk.{one.name}_free_bytes": float(one.free) for one in disks(config)},
    }


def judge_scan(panel: Panel) -> None:
    """The one alarm that a producer cannot raise itself: it is said to run, and does not scan."""
    condition = panel.overview(8).condition
    trouble = f"scan: {condition.reason}" if condition.scan_overdue else None
    panel.store.alerts.update(
        "scan", trouble, level="error", end_text="the incoming directory is scanned again, or the stream was stopped"
    )


@dataclass(frozen=True)
class Disk:
    """The file system of a directory: bytes in all and free."""

    name: str
    total: int
    free: int

    @property
    def used_percent(self) -> float:
        """How full it is."""
        return 100.0 * (1 - self.free / self.total) if self.total else 0.0


def disks(config: StreamingConfig) -> tuple[Disk, ...]:
    """Where files come and go; a directory that is not there is left out."""
    found = []
    for name, path in (("input", config.input_dir), ("output", config.output_dir), ("scratch", config.scratch_dir)):
        try:
            usage = shutil.disk_usage(path)
        except OSError:
            continue
        found.append(Disk(name, usage.total, usage.free))
    return tuple(found)


class Sampler:
    """Writes a sample each `monitor_interval`, while `monitoring` is on, until it is told to stop."""

    def __init__(self, panel: Panel) -> None:
        self._room = panel
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        """Begin."""
        psutil.cpu_percent()  # the first call only starts the measurement
        self._thread.start()

    def stop(self) -> None:
        """End, without waiting."""
        self._over.set()

    def _run(self) -> None:
        pause_s = LEAST_INTERVAL_S
        while not self._over.wait(pause_s):
            try:
                config = self._room.config()
                pause_s = max(LEAST_INTERVAL_S, config.monitor_interval)
                if config.monitoring:
                    self._room.store.metrics.add(sample(self._room))
                judge_scan(self._room)
            except (ContimgError, SQLAlchemyError, OSError) as error:
                log.warning("no sample: %s", str(error).splitlines()[0])
