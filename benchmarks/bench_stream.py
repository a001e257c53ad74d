"""The whole stream at full scale: from the last subband's rename to the image in the store, and under a backlog.

    make bench-stream                    96 antennas, 768 channels: a transit of 3C48 and three targets, 9 GB kept
    make bench-stream ARGS="--tiles 12 --alone 0 --cache /data/bench"      one hour of sky at once
    make bench-stream ARGS="--size 4800 --pixel 3"                         the large image instead of the quick look

The tiles are simulated once and kept in the cache directory. The service is the real one, with its own broker, workers
and panel. First each tile comes alone, then all come at once to a service that knows nothing yet. Memory is what the
service's processes have resident, sampled five times a second; pages that several share count for each. A Measurement
Set is removed once it is imaged: an hour's would take 36 GB.
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
PATIENCE_S = 900.0
QUICK_SIZE, LARGE_BOUND_S = 2048, 75.0
BOUNDS_S = {"calibrator": 150.0, "target": 25.0}
LEAST_FACTOR = 10.0  # of an hour of sky: in six minutes
HOUR_TILES = 12
MOST_GIB = {"process": 4.0, "all": 8.0}


@dataclass
class Memory:
    """The most that any process of the service, and all together, had resident."""

    process_bytes: int = 0
    all_bytes: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def watch(self, pid: int) -> None:
        while not self.over.wait(0.2):
            sizes = []
            for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
                try:
                    sizes.append(process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue
            self.process_bytes = max(self.process_bytes, *sizes)
            self.all_bytes = max(self.all_bytes, sum(sizes))


@dataclass(frozen=True)
class Room:
    """A service at work in a directory of its own."""

    directory: Path
    store: Store
    memory: Memory
    pid: int

    def core_s(self) -> float:
        """Seconds of a core that the service has taken so far, programs that it ran to their end included."""
        tree = [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]
        return sum(sum(process.cpu_times()[:4]) for process in tree)

    def feed(self, files: list[Path]) -> float:
        """Let a group's files arrive as the correlator's do, by renames; returns when the last one did."""
        for path in files:
            aside = self.directory / "aside" / path.name
            os.link(path, aside)
            aside.rename(self.directory / "incoming" / path.name)
        return time.time()

    def wait(self, groups: int) -> None:
        """Until so many groups have their image; ends the run when one fails or nothing comes."""
        until = time.monotonic() + PATIENCE_S * groups
        while len(images := self.store.products.images(limit=1000)) < groups:
            for image in images:
                shutil.rmtree(self.directory / "products" / f"{image.group}.ms", ignore_errors=True)
            failed = [one.id for one in self.store.files.groups(limit=1000) if one.state is State.FAILED]
            if failed or time.monotonic() > until:
                sys.exit(f"no image: {failed or 'nothing for too long'}; the log is {self.directory}/service.log")
            time.sleep(0.05)


@contextmanager
def serving(directory: Path, imaging: dict[str, str]) -> Iterator[Room]:
    """The real service in a new directory, with these settings of the image."""
    for name in ("incoming", "aside", "state"):
        (directory / name).mkdir(parents=True)
    environ = own_environ(directory) | imaging
    with (directory / "service.log").open("wb") as log:
        service = subprocess.Popen(
            [sys.executable, "-m", "contimg", "run", "--port", "0"], env=environ, stdout=log, stderr=log
        )
    database, memory = directory / "state" / "contimg.sqlite3", Memory()
    watcher = threading.Thread(target=memory.watch, args=(service.pid,))
    try:
        until = time.monotonic() + 60
        while not database.exists() and time.monotonic() < until:
            time.sleep(0.2)
        time.sleep(10)  # the workers import what they need
        watcher.start()
        store = Store.open(database)
        yield Room(directory, store, memory, service.pid)
        store.close()
    finally:
        memory.over.set()
        watcher.join()
        service.send_signal(signal.SIGTERM)
        service.wait(60)


def tiles(cache: Path, count: int, antennas: int, channels: int) -> list[list[Path]]:
    """The files of each tile: the calibrator's, then targets; simulated where they are not there yet."""
    place = cache / f"{antennas}x{channels}x{count}"
    if not (place / "whole").exists():
        shutil.rmtree(place, ignore_errors=True)
        command = [sys.executable, "-m", "contimg", "simulate", str(place), "--groups", str(count), "--gap", "1"]
        command += ["--antennas", str(antennas), "--channels", str(channels)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (place / "whole").touch()
    files = sorted(place.glob("*.hdf5"))  # by time first: a group's names lie together
    return [files[at : at + BAND.subbands] for at in range(0, len(files), BAND.subbands)]


def one_by_one(
    directory: Path, arriving: list[list[Path]], imaging: dict[str, str]
) -> tuple[list[dict[str, object]], Memory]:
    """Latency and stages of each tile that comes to an idle service."""
    found: list[dict[str, object]] = []
    with serving(directory, imaging) as room:
        for number, files in enumerate(arriving):
            before, begun = room.core_s(), room.feed(files)
            room.wait(number + 1)
            (group,) = (one for one in room.store.files.groups(limit=1000) if one.id not in {x["group"] for x in found})
            runs = room.store.jobs.runs(group.id)
            found.append(
                {
                    "group": group.id,
                    "kind": "target" if number else "calibrator",
                    "latency_s": round((group.completed_at or time.time()) - begun, 2),
                    "core_s": round(room.core_s() - before, 1),
                    **{run.stage.value: round(run.seconds or 0.0, 2) for run in runs},
                }
            )
            print("  ".join(f"{key} {value}" for key, value in found[-1].items()), flush=True)
    return found, room.memory


def all_at_once(directory: Path, arriving: list[list[Path]], imaging: dict[str, str]) -> tuple[float, Memory]:
    """Seconds until all tiles that came at once are images."""
    with serving(directory, imaging) as room:
        begun = time.time()
        for files in arriving:
            room.feed(files)
        room.wait(len(arriving))
        return time.time() - begun, room.memory


@click.command()
@click.option("--tiles", "count", default=4, show_default=True, help="Tiles, the first a calibrator's.")
@click.option("--antennas", default=96, show_default=True)
@click.option("--channels", default=768, show_default=True)
@click.option("--alone", default=4, show_default=True, help="So many of them come alone first; 0: none.")
@click.option("--size", default=QUICK_SIZE, show_default=True, help="Pixels of the image on a side.")
@click.option("--pixel", default=6.0, show_default=True, help="Their size, arcsec.")
@click.option("--cache", default=Path.home() / ".cache" / "contimg-bench", type=click.Path(path_type=Path))
@click.option("--json", "result", type=click.Path(path_type=Path), help="Write the figures there, too.")
def main(
    count: int, antennas: int, channels: int, alone: int, size: int, pixel: float, cache: Path, result: Path | None
) -> None:
    """Time the stream, tile by tile and under a backlog; exit status 1 when a bound is not kept."""
    arriving = tiles(cache, count, antennas, channels)
    imaging = {"CONTIMG_IMAGE_SIZE": str(size), "CONTIMG_IMAGE_PIXEL_ARCSEC": str(pixel)}
    found, memories = [], []
    with tempfile.TemporaryDirectory(dir=cache, prefix="stream-") as name:
        if alone:
            found, memory = one_by_one(Path(name) / "alone", arriving[:alone], imaging)
            memories.append(memory)
        seconds, memory = all_at_once(Path(name) / "together", arriving, imaging)
        memories.append(memory)
    factor = CADENCE_S * count / seconds
    gib = {
        "process": max(one.process_bytes for one in memories) / 2**30,
        "all": max(one.all_bytes for one in memories) / 2**30,
    }
    print(f"{count} tiles at once: {seconds:.1f} s, real-time factor {factor:.1f}")
    print(f"memory: {gib['process']:.2f} GiB in one process, {gib['all']:.2f} GiB in all")
    if result:
        figures = {"tiles": found, "together_s": seconds, "together": count, "factor": factor, "gib": gib}
        result.write_text(json.dumps(figures, indent=1) + "\n")
    bounds_s = BOUNDS_S | ({"target": LARGE_BOUND_S} if size > QUICK_SIZE else {})
    broken = [f"{one['group']} is late" for one in found if float(str(one["latency_s"])) > bounds_s[str(one["kind"])]]
    broken += [f"{name}: more than {MOST_GIB[name]:g} GiB" for name in gib if gib[name] > MOST_GIB[name]]
    if count >= HOUR_TILES and size <= QUICK_SIZE and factor < LEAST_FACTOR:
        broken.append(f"the real-time factor is below {LEAST_FACTOR:g}")
    sys.exit("; ".join(broken) or 0)


if __name__ == "__main__":
    main()
