"""Measure the stream at full scale: from the rename of the last subband file to the image, and with a backlog.

    make bench-stream                    96 antennas, 768 channels: a transit of 3C48 and three targets, 9 GB kept
    make bench-stream ARGS="--tiles 12 --alone 0 --cache /data/bench"      an hour of tiles at once
    make bench-stream ARGS="--size 4800 --pixel 3"                         the large image instead of 2048 pixels

The tiles are simulated once and kept in the cache directory. The service runs with its broker, workers and panel. First
each tile arrives alone, then all arrive at once at a service with an empty store. Memory is the resident memory of the
processes of the service, sampled five times per second; shared pages count for each process. A Measurement Set is
removed after imaging: those of an hour would take 36 GB.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
import psutil
from own_environ import own_environ

from contimg.instrument.dsa110 import BAND, CADENCE_S
from contimg.store import State, Store

Figures = dict[str, object]
LIMIT_PER_GROUP_S = 900.0
QUICK_SIZE, MAX_LARGE_LATENCY_S = 2048, 75.0
MAX_LATENCY_S = {"calibrator": 150.0, "target": 25.0}
MIN_FACTOR = 10.0  # an hour of observing in six minutes
HOUR_TILES = 12
MAX_GIB = {"process": 4.0, "all": 8.0}


@dataclass
class Memory:
    """Peak resident memory of a process of the service, and of all together."""

    process_bytes: int = 0
    all_bytes: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def watch(self, pid: int) -> None:
        while not self.stopped.wait(0.2):
            sizes = []
            for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
                try:
                    sizes.append(process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue
            self.process_bytes = max(self.process_bytes, *sizes)
            self.all_bytes = max(self.all_bytes, sum(sizes))


@dataclass(frozen=True)
class RunningService:
    """A running service in a directory of its own."""

    directory: Path
    store: Store
    memory: Memory
    pid: int

    def core_s(self) -> float:
        """Return the core seconds of the service so far, with ended child processes."""
        processes = [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]
        return sum(sum(process.cpu_times()[:4]) for process in processes)

    def feed(self, files: list[Path]) -> float:
        """Deliver the files of a group by renames, as the correlator does; return the time of the last rename."""
        for path in files:
            staged = self.directory / "staging" / path.name
            os.link(path, staged)
            staged.rename(self.directory / "incoming" / path.name)
        return time.time()

    def wait(self, groups: int) -> None:
        """Wait until `groups` groups have images; exit when a group fails or the time limit is reached."""
        deadline_s = time.monotonic() + LIMIT_PER_GROUP_S * groups
        while len(images := self.store.products.images(limit=1000)) < groups:
            for image in images:
                shutil.rmtree(self.directory / "products" / f"{image.group}.ms", ignore_errors=True)
            failed = [group.id for group in self.store.files.groups(limit=1000) if group.state is State.FAILED]
            if failed or time.monotonic() > deadline_s:
                sys.exit(f"no image: {failed or 'time limit reached'}; see {self.directory}/service.log")
            time.sleep(0.05)


@contextmanager
def run_service(directory: Path, imaging: dict[str, str]) -> Iterator[RunningService]:
    """Run the service in a new directory with the given settings of the image."""
    for name in ("incoming", "staging", "state"):
        (directory / name).mkdir(parents=True)
    environ = own_environ(directory) | imaging
    with (directory / "service.log").open("wb") as log:
        service = subprocess.Popen(
            [sys.executable, "-m", "contimg", "run", "--port", "0"], env=environ, stdout=log, stderr=log
        )
    database, memory = directory / "state" / "contimg.sqlite3", Memory()
    watcher = threading.Thread(target=memory.watch, args=(service.pid,))
    try:
        deadline_s = time.monotonic() + 60
        while not database.exists() and time.monotonic() < deadline_s:
            time.sleep(0.2)
        time.sleep(10)  # the workers import what they need
        watcher.start()
        store = Store.open(database)
        yield RunningService(directory, store, memory, service.pid)
        store.close()
    finally:
        memory.stopped.set()
        watcher.join()
        service.send_signal(signal.SIGTERM)
        service.wait(60)


def simulate_tiles(cache: Path, count: int, antennas: int, channels: int) -> list[list[Path]]:
    """Return the files of each tile, the calibrator first; simulate them when they are not in the cache."""
    directory = cache / f"{antennas}x{channels}x{count}"
    if not (directory / "complete").exists():
        shutil.rmtree(directory, ignore_errors=True)
        command = [sys.executable, "-m", "contimg", "simulate", str(directory), "--groups", str(count), "--gap", "1"]
        command += ["--antennas", str(antennas), "--channels", str(channels)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (directory / "complete").touch()
    files = sorted(directory.glob("*.hdf5"))  # sorted by time: the files of a group are adjacent
    return [files[start : start + BAND.subbands] for start in range(0, len(files), BAND.subbands)]


def measure_one_by_one(
    directory: Path, tile_files: list[list[Path]], imaging: dict[str, str]
) -> tuple[list[dict[str, object]], Memory]:
    """Measure latency and stages of each tile with an otherwise idle service."""
    tile_figures: list[dict[str, object]] = []
    with run_service(directory, imaging) as service:
        for number, files in enumerate(tile_files):
            start_core_s, arrival_s = service.core_s(), service.feed(files)
            service.wait(number + 1)
            group_ids = {row["group"] for row in tile_figures}
            (group,) = (group for group in service.store.files.groups(limit=1000) if group.id not in group_ids)
            runs = service.store.jobs.runs(group.id)
            tile_figures.append(
                {
                    "group": group.id,
                    "kind": "target" if number else "calibrator",
                    "latency_s": round((group.completed_at or time.time()) - arrival_s, 2),
                    "core_s": round(service.core_s() - start_core_s, 1),
                    **{run.stage.value: round(run.seconds or 0.0, 2) for run in runs},
                }
            )
            print("  ".join(f"{key} {value}" for key, value in tile_figures[-1].items()), flush=True)
    return tile_figures, service.memory


def measure_all_at_once(directory: Path, tile_files: list[list[Path]], imaging: dict[str, str]) -> tuple[float, Memory]:
    """Measure the seconds until all tiles that arrive at once have images."""
    with run_service(directory, imaging) as service:
        start_s = time.time()
        for files in tile_files:
            service.feed(files)
        service.wait(len(tile_files))
        return time.time() - start_s, service.memory


@click.command()
@click.option("--tiles", "count", default=4, show_default=True, help="Number of tiles, the first with the calibrator.")
@click.option("--antennas", default=96, show_default=True)
@click.option("--channels", default=768, show_default=True)
@click.option("--alone", default=4, show_default=True, help="Number of tiles that first arrive alone; 0: none.")
@click.option("--size", default=QUICK_SIZE, show_default=True, help="Size of the image, pixels on a side.")
@click.option("--pixel", default=6.0, show_default=True, help="Pixel size, arcsec.")
@click.option("--cache", default=Path.home() / ".cache" / "contimg-bench", type=click.Path(path_type=Path))
@click.option("--json", "figures_path", type=click.Path(path_type=Path), help="Write the figures to this file as JSON.")
def main(
    count: int,
    antennas: int,
    channels: int,
    alone: int,
    size: int,
    pixel: float,
    cache: Path,
    figures_path: Path | None,
) -> None:
    """Time the stream, tile by tile and under a backlog; exit status 1 when a limit is exceeded."""
    tile_files = simulate_tiles(cache, count, antennas, channels)
    imaging = {"CONTIMG_IMAGE_SIZE": str(size), "CONTIMG_IMAGE_PIXEL_ARCSEC": str(pixel)}
    tile_figures, memories = [], []
    with tempfile.TemporaryDirectory(dir=cache, prefix="stream-") as name:
        if alone:
            tile_figures, memory = measure_one_by_one(Path(name) / "alone", tile_files[:alone], imaging)
            memories.append(memory)
        seconds, memory = measure_all_at_once(Path(name) / "together", tile_files, imaging)
        memories.append(memory)
    factor = CADENCE_S * count / seconds
    gib = {
        "process": max(memory.process_bytes for memory in memories) / 2**30,
        "all": max(memory.all_bytes for memory in memories) / 2**30,
    }
    print(f"{count} tiles at once: {seconds:.1f} s, real-time factor {factor:.1f}")
    print(f"memory: {gib['process']:.2f} GiB in one process, {gib['all']:.2f} GiB in total")
    if figures_path:
        figures = {"tiles": tile_figures, "together_s": seconds, "together": count, "factor": factor, "gib": gib}
        figures_path.write_text(json.dumps(figures, indent=1) + "\n")
    max_latency_s = MAX_LATENCY_S | ({"target": MAX_LARGE_LATENCY_S} if size > QUICK_SIZE else {})
    exceeded = [
        f"{tile['group']} is late"
        for tile in tile_figures
        if float(str(tile["latency_s"])) > max_latency_s[str(tile["kind"])]
    ]
    exceeded += [f"{name}: more than {MAX_GIB[name]:g} GiB" for name in gib if gib[name] > MAX_GIB[name]]
    if count >= HOUR_TILES and size <= QUICK_SIZE and factor < MIN_FACTOR:
        exceeded.append(f"the real-time factor is below {MIN_FACTOR:g}")
    sys.exit("; ".join(exceeded) or 0)


if __name__ == "__main__":
    main()
