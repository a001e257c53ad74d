"""How throughput grows with workers: 1, 2 and 4 processes on this machine, and two hosts of one process each.

    make bench-scaling                                      32 antennas, 96 channels; some minutes
    make bench-scaling ARGS="--tiles 24 --workers 1 --workers 2 --no-hosts"

Real tiles, simulated once and kept in the cache directory, through the real producer, broker, workers and store. A
transit of the calibrator comes first, outside the clock; then all targets come at once. Workers take from all queues.
The hosts are network namespaces with PostgreSQL and a broker between them, so they share this machine's cores.

What one worker takes for a tile goes into the model of `contimg plan`, whose prediction stands beside each measurement.
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

import click
import psutil
from bench_stream import tiles
from own_environ import own_environ
from two_hosts import two_hosts, why_not

from contimg.store import Outcome, Stage, State, Store
from workers.broker import EmbeddedBroker
from workers.scheduling.capacity import Load, max_tiles_per_hour
from workers.service.plan import contimg_command, thread_settings

_PATIENCE_S = 600.0
_FLAGS = ("--disable-prefetch", "-E", "--without-gossip", "--without-mingle")


@dataclass(frozen=True)
class Site:
    """A store, an incoming directory, and the processes of the workers."""

    directory: Path
    store: Store
    workers: Sequence[psutil.Process]

    def core_s(self) -> float:
        """Seconds of a core that the workers have taken, with all that they started."""
        trees = [[one, *one.children(recursive=True)] for one in self.workers]
        return sum(sum(process.cpu_times()[:4]) for tree in trees for process in tree)

    def feed(self, files: Sequence[Path]) -> None:
        """Let a tile's files come by renames."""
        for path in files:
            unfinished = self.directory / "incoming" / path.name.replace(".hdf5", "_incomplete.hdf5")
            os.link(path, unfinished)
            unfinished.rename(unfinished.with_name(path.name))

    def wait(self, groups: int) -> None:
        """Until so many are completed; ends the run when one fails."""
        until = time.monotonic() + _PATIENCE_S
        while (states := self.store.overview.snapshot(0).states)[State.COMPLETED] < groups:
            if states[State.FAILED] or time.monotonic() > until:
                sys.exit(f"not completed: {dict(states)}; logs are in {self.directory}")
            time.sleep(0.1)


@dataclass(frozen=True)
class Setting:
    """Workers: so many hosts, each with so many processes."""

    processes: int
    hosts: int = 1

    def __str__(self) -> str:
        return f"{self.hosts} hosts of {self.processes}" if self.hosts > 1 else f"{self.processes} processes"


@contextmanager
def site(directory: Path, setting: Setting, size: int) -> Iterator[Site]:
    """Producer and workers at work in a new directory."""
    (directory / "incoming").mkdir(parents=True)
    total, own = setting.processes * setting.hosts, own_environ(directory)
    environ = own | thread_settings(total, own) | {
        "CONTIMG_MAX_WORKERS": str(total), "CONTIMG_IMAGE_SIZE": str(size), "CONTIMG_WORKER_POLL_INTERVAL": "1",
    }  # fmt: skip
    with ExitStack() as stack:
        names, database = ("",), str(directory / "state" / "contimg.sqlite3")
        if setting.hosts > 1:
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
            stack.enter_context(_running(_worker(name, setting.processes), environ, directory / f"worker{name}.log"))
            for name in names
        ]
        stack.enter_context(_running(contimg_command("producer"), environ, directory / "producer.log"))
        yield Site(directory, store, workers)


def _worker(host: str, processes: int) -> list[str]:
    celery = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-n", f"all{host}@%h"]
    inside = ["ip", "netns", "exec", host] if host else []
    return [*inside, *celery, "-Q", ",".join(Stage), "-c", str(processes), *_FLAGS]


@contextmanager
def _running(command: Sequence[str], environ: dict[str, str], log: Path) -> Iterator[psutil.Process]:
    with log.open("wb") as sink:
        process = subprocess.Popen(list(command), env=environ, stdout=sink, stderr=sink)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def throughput(directory: Path, setting: Setting, size: int, arriving: Sequence[list[Path]]) -> dict[str, object]:
    """Tiles an hour, seconds of a core a tile, and the median seconds of each stage."""
    calibrator, *targets = arriving
    with site(directory, setting, size) as here:
        here.feed(calibrator)
        here.wait(1)
        begun, before = time.time(), here.core_s()
        for files in targets:
            here.feed(files)
        here.wait(len(arriving))
        core_s = (here.core_s() - before) / len(targets)
        runs = [run for run in here.store.jobs.ended_runs(begun) if run.outcome is Outcome.COMMITTED]
        seconds = max(run.ended_at or 0.0 for run in runs) - min(run.started_at for run in runs)
        stages = {str(one): median(run.seconds or 0.0 for run in runs if run.stage is one) for one in Stage}
        memory = {str(one): max(run.peak_rss_bytes or 0 for run in runs if run.stage is one) / 2**30 for one in Stage}
    return {
        "workers": setting.processes * setting.hosts, "hosts": setting.hosts, "seconds": seconds, "core_s": core_s,
        "tiles_per_hour": 3600 * len(targets) / seconds, "stage_s": stages, "memory_gib": memory,
    }  # fmt: skip


def loads_of(one: dict[str, object]) -> list[Load]:
    """What the model is fed: a worker's stages, and its seconds of a core shared among them as their seconds are."""
    seconds, memory = one["stage_s"], one["memory_gib"]
    share = one["core_s"] / sum(seconds.values())
    return [Load(stage, value, value * share, memory[stage]) for stage, value in seconds.items()]


@click.command()
@click.option("--tiles", "count", default=12, show_default=True, help="Targets.")
@click.option("--antennas", default=32, show_default=True)
@click.option("--channels", default=96, show_default=True)
@click.option("--size", default=1024, show_default=True, help="Pixels on a side of the image.")
@click.option("--workers", multiple=True, default=(1, 2, 4), show_default=True, help="Worker processes.")
@click.option("--hosts/--no-hosts", default=True, show_default=True, help="Two namespaced hosts as well.")
@click.option("--cache", default=Path.home() / ".cache" / "contimg-bench", type=click.Path(path_type=Path))
@click.option("--json", "result", type=click.Path(path_type=Path), help="Write the figures there, too.")
def main(count: int, antennas: int, channels: int, size: int, workers: tuple[int, ...], hosts: bool, cache: Path,
         result: Path | None) -> None:  # fmt: skip
    """Measure throughput against workers, and the model of `contimg plan` against that."""
    arriving, cores = tiles(cache, count + 1, antennas, channels), len(os.sched_getaffinity(0))
    settings = [Setting(number) for number in sorted({1, *workers})]
    if hosts and (reason := why_not()):
        print(f"no two hosts: {reason}")
    elif hosts:
        settings.append(Setting(1, hosts=2))
    found: list[dict[str, object]] = []
    print(f"{count} targets, {antennas} antennas, {channels} channels, image {size}², {cores} cores")
    print(f"{'':14} {'tiles/h':>8} {'model':>8} {'model/measured':>15} {'core s a tile':>14}   stages, s")
    for setting in settings:
        with tempfile.TemporaryDirectory(dir=cache, prefix="scaling-") as name:
            one = throughput(Path(name), setting, size, arriving)
        found.append(one)
        one["predicted_per_hour"] = max_tiles_per_hour(loads_of(found[0]), cores, one["workers"])
        ratio = one["predicted_per_hour"] / one["tiles_per_hour"]
        stages = "  ".join(f"{stage} {seconds:.2f}" for stage, seconds in one["stage_s"].items())
        print(f"{setting!s:14} {one['tiles_per_hour']:8.0f} {one['predicted_per_hour']:8.0f} {ratio:15.2f} "
              f"{one['core_s']:14.2f}   {stages}", flush=True)  # fmt: skip
    if result:
        result.write_text(json.dumps({"cores": cores, "settings": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
