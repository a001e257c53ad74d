"""Measure throughput against workers: 1, 2 and 4 processes on this machine, and two hosts of one process each.

    make bench-scaling                                      32 antennas, 96 channels; several minutes
    make bench-scaling ARGS="--tiles 24 --workers 1 --workers 2 --no-hosts"

Tiles are simulated once, kept in the cache directory, and processed by the producer, broker, workers and store of the
service. A transit of the calibrator is processed first and not timed; then all targets arrive at once. Workers consume
all queues. The hosts are network namespaces that share PostgreSQL, a broker and the cores of this machine.

The model of `contimg plan` is given the cost of a tile with one worker; its prediction is printed with each result.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import psutil
from bench_stream import simulate_tiles
from own_environ import own_environ
from two_hosts import find_obstacle, two_hosts

from contimg.store import Outcome, Stage, State, Store
from workers.broker import EmbeddedBroker
from workers.scheduling.capacity import Load, max_tiles_per_hour
from workers.service.plan import contimg_command, thread_settings

_LIMIT_S = 600.0
_FLAGS = ("--disable-prefetch", "-E", "--without-gossip", "--without-mingle")


@dataclass(frozen=True)
class Site:
    """A store, an incoming directory, and the processes of the workers."""

    directory: Path
    store: Store
    workers: Sequence[psutil.Process]

    def core_s(self) -> float:
        """Return the core seconds of the workers and their descendants."""
        trees = [[worker, *worker.children(recursive=True)] for worker in self.workers]
        return sum(sum(process.cpu_times()[:4]) for tree in trees for process in tree)

    def feed(self, files: Sequence[Path]) -> None:
        """Deliver the files of a tile by renames."""
        for path in files:
            unfinished = self.directory / "incoming" / path.name.replace(".hdf5", "_incomplete.hdf5")
            os.link(path, unfinished)
            unfinished.rename(unfinished.with_name(path.name))

    def wait(self, groups: int) -> None:
        """Wait until `groups` groups are completed; exit when a group fails."""
        deadline_s = time.monotonic() + _LIMIT_S
        while (states := self.store.overview.snapshot(0).states)[State.COMPLETED] < groups:
            if states[State.FAILED] or time.monotonic() > deadline_s:
                sys.exit(f"not completed: {dict(states)}; logs are in {self.directory}")
            time.sleep(0.1)


@dataclass(frozen=True)
class WorkerLayout:
    """Number of hosts and of worker processes per host."""

    processes: int
    hosts: int = 1

    def __str__(self) -> str:
        return f"{self.hosts} hosts of {self.processes}" if self.hosts > 1 else f"{self.processes} processes"


@contextmanager
def run_site(directory: Path, layout: WorkerLayout, size: int) -> Iterator[Site]:
    """Run the producer and the workers in a new directory."""
    (directory / "incoming").mkdir(parents=True)
    total, base_environ = layout.processes * layout.hosts, own_environ(directory)
    environ = base_environ | thread_settings(total, base_environ) | {
        "CONTIMG_MAX_WORKERS": str(total), "CONTIMG_IMAGE_SIZE": str(size), "CONTIMG_WORKER_POLL_INTERVAL": "1",
    }  # fmt: skip
    with ExitStack() as stack:
        names, database = ("",), str(directory / "state" / "contimg.sqlite3")
        if layout.hosts > 1:
            hosts = stack.enter_context(two_hosts())
            names, database = hosts.names, hosts.database_url
            environ |= {"CONTIMG_BROKER_URL": hosts.broker_url, "CONTIMG_QUEUE_DB": database}
        else:
            broker = EmbeddedBroker(directory / "state")
            environ["CONTIMG_BROKER_URL"] = broker.start().url
            stack.callback(broker.stop)
        store = Store.open(database)
        stack.callback(store.close)
        workers = [
            stack.enter_context(_run_process(_worker(name, layout.processes), environ, directory / f"worker{name}.log"))
            for name in names
        ]
        stack.enter_context(_run_process(contimg_command("producer"), environ, directory / "producer.log"))
        yield Site(directory, store, workers)


def _worker(host: str, processes: int) -> list[str]:
    celery = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-n", f"all{host}@%h"]
    inside = ["ip", "netns", "exec", host] if host else []
    return [*inside, *celery, "-Q", ",".join(Stage), "-c", str(processes), *_FLAGS]


@contextmanager
def _run_process(command: Sequence[str], environ: dict[str, str], log: Path) -> Iterator[psutil.Process]:
    with log.open("wb") as sink:
        process = subprocess.Popen(list(command), env=environ, stdout=sink, stderr=sink)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def measure_throughput(
    directory: Path, layout: WorkerLayout, size: int, tile_files: Sequence[list[Path]]
) -> dict[str, Any]:
    """Measure tiles per hour, core seconds per tile, and the median seconds of each stage."""
    calibrator, *targets = tile_files
    with run_site(directory, layout, size) as running_site:
        running_site.feed(calibrator)
        running_site.wait(1)
        start_s, start_core_s = time.time(), running_site.core_s()
        for files in targets:
            running_site.feed(files)
        running_site.wait(len(tile_files))
        core_s = (running_site.core_s() - start_core_s) / len(targets)
        runs = [run for run in running_site.store.jobs.ended_runs(start_s) if run.outcome is Outcome.COMMITTED]
        seconds = max(run.ended_at or 0.0 for run in runs) - min(run.started_at for run in runs)
        stages = {str(stage): median(run.seconds or 0.0 for run in runs if run.stage is stage) for stage in Stage}
        memory_gib = {
            str(stage): max(run.peak_rss_bytes or 0 for run in runs if run.stage is stage) / 2**30 for stage in Stage
        }
    return {
        "workers": layout.processes * layout.hosts, "hosts": layout.hosts, "seconds": seconds, "core_s": core_s,
        "tiles_per_hour": 3600 * len(targets) / seconds, "stage_s": stages, "memory_gib": memory_gib,
    }  # fmt: skip


def loads_of(figures: dict[str, Any]) -> list[Load]:
    """Return the inputs of the model: the stages of a worker; core seconds are divided in proportion to seconds."""
    seconds, memory = figures["stage_s"], figures["memory_gib"]
    core_s_per_s = figures["core_s"] / sum(seconds.values())
    return [Load(stage, value, value * core_s_per_s, memory[stage]) for stage, value in seconds.items()]


@click.command()
@click.option("--tiles", "count", default=12, show_default=True, help="Number of targets.")
@click.option("--antennas", default=32, show_default=True)
@click.option("--channels", default=96, show_default=True)
@click.option("--size", default=1024, show_default=True, help="Size of the image, pixels on a side.")
@click.option(
    "--workers",
    multiple=True,
    default=(1, 2, 4),
    show_default=True,
    help="Number of worker processes; may be repeated.",
)
@click.option(
    "--hosts/--no-hosts", default=True, show_default=True, help="Measure two hosts in network namespaces, too."
)
@click.option("--cache", default=Path.home() / ".cache" / "contimg-bench", type=click.Path(path_type=Path))
@click.option("--json", "figures_path", type=click.Path(path_type=Path), help="Write the figures to this file as JSON.")
def main(count: int, antennas: int, channels: int, size: int, workers: tuple[int, ...], hosts: bool, cache: Path,
         figures_path: Path | None) -> None:  # fmt: skip
    """Measure throughput against workers and compare it with the model of `contimg plan`."""
    tile_files, cores = simulate_tiles(cache, count + 1, antennas, channels), len(os.sched_getaffinity(0))
    settings = [WorkerLayout(number) for number in sorted({1, *workers})]
    if hosts and (reason := find_obstacle()):
        print(f"two hosts are not measured: {reason}")
    elif hosts:
        settings.append(WorkerLayout(1, hosts=2))
    results: list[dict[str, Any]] = []
    print(f"{count} targets, {antennas} antennas, {channels} channels, image {size}², {cores} cores")
    print(f"{'':14} {'tiles/h':>8} {'model':>8} {'model/measured':>15} {'core s/tile':>14}   stages, s")
    for layout in settings:
        with tempfile.TemporaryDirectory(dir=cache, prefix="scaling-") as name:
            figures = measure_throughput(Path(name), layout, size, tile_files)
        results.append(figures)
        figures["predicted_per_hour"] = max_tiles_per_hour(loads_of(results[0]), cores, figures["workers"])
        ratio = figures["predicted_per_hour"] / figures["tiles_per_hour"]
        stages = "  ".join(f"{stage} {seconds:.2f}" for stage, seconds in figures["stage_s"].items())
        print(f"{layout!s:14} {figures['tiles_per_hour']:8.0f} {figures['predicted_per_hour']:8.0f} {ratio:15.2f} "
              f"{figures['core_s']:14.2f}   {stages}", flush=True)  # fmt: skip
    if figures_path:
        figures_path.write_text(json.dumps({"cores": cores, "settings": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
