"""How fast files are taken in, what a backlog costs in memory, and how soon a whole group is sent.

    python benchmarks/bench_intake.py [--files 100000] [--groups 60]

Every file is a real directory entry, the store is a real one, the producer is the service's own; only the message is
counted instead of sent. The ratio is to a plain scan of the same directory (name, size and mtime of every file).
"""

import argparse
import multiprocessing
import os
import resource
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

T0, CADENCE_S, OLD_S = 1_771_802_271, 309, 3600


def backlog(place: Path, files: int) -> dict[str, float]:
    """Take in a backlog that lies there before the start, in a fresh process."""
    incoming = place / "incoming"
    incoming.mkdir(parents=True)
    for number in range(files):
        _write(incoming, number // 16, number % 16, old=True)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_take_in, args=(place, incoming, queue.put))
    process.start()
    figures: dict[str, float] = queue.get(timeout=600)
    process.join()
    return figures


def _take_in(place: Path, incoming: Path, tell: Callable[[dict[str, float]], None]) -> None:
    from contimg.store import Store
    from workers.producer.producer import Producer
    from workers.producer.scanner import IncomingScanner
    from workers.scheduling.dispatcher import Dispatcher

    store, sent = Store.open(place / "store.sqlite3"), []
    before = _peak_mb()
    began = time.perf_counter()
    with os.scandir(incoming) as entries:
        plain = sum(entry.stat().st_size > 0 for entry in entries if entry.is_file())
    plain_s = time.perf_counter() - began
    producer = Producer(store, IncomingScanner(incoming), Dispatcher(store, lambda job: sent.append(job.key)), 3600)
    began = time.perf_counter()
    producer.scan()
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    producer.scan()
    again_s = time.perf_counter() - began
    states = store.overview.snapshot(0).states
    assert sum(states.values()) == -(-plain // 16), states
    tell(
        {
            "files": plain,
            "files/s": plain / seconds,
            "times a plain scan": seconds / plain_s,
            "rescan, s": again_s,
            "memory of the process, MB": _peak_mb(),
            "of it the backlog's, MB": _peak_mb() - before,
            "groups sent": len(sent),
        }
    )


def latency(place: Path, groups: int, every_s: float) -> dict[str, float]:
    """From the rename of a group's last file to its message, with events and a running producer."""
    from contimg.settings import DispatchSettings
    from contimg.store import Store
    from workers.producer import SCAN_BEAT
    from workers.producer.producer import Producer
    from workers.producer.scanner import IncomingScanner
    from workers.scheduling.dispatcher import Dispatcher

    incoming = place / "incoming"
    incoming.mkdir(parents=True)
    store, sent = Store.open(place / "store.sqlite3"), {}
    dispatcher = Dispatcher(
        store, lambda job: sent.setdefault(job.key, time.monotonic()), DispatchSettings(max_in_flight=groups)
    )
    producer = Producer(store, IncomingScanner(incoming), dispatcher, 5.0)
    stop = threading.Event()
    loop = threading.Thread(target=producer.run, args=(stop,))
    loop.start()
    while store.activity.last_beat(SCAN_BEAT) is None:
        time.sleep(0.01)
    complete = {}
    for group in range(groups):
        due = time.monotonic() + every_s
        for subband in range(16):
            path = _write(incoming, group, subband, old=False)
        complete[path.name[:19]] = time.monotonic()
        time.sleep(max(0.0, due - time.monotonic()))
    time.sleep(1.0)
    stop.set()
    producer.wake()
    loop.join()
    waits = sorted(sent.get(group, float("inf")) - at for group, at in complete.items())
    return {
        "groups": groups,
        "times the real rate": CADENCE_S / every_s,
        "median, s": statistics.median(waits),
        "99th percentile, s": waits[min(len(waits) - 1, int(0.99 * len(waits)))],
        "longest, s": waits[-1],
    }


def _write(incoming: Path, group: int, subband: int, *, old: bool) -> Path:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(T0 + CADENCE_S * group))
    path = incoming / f"{stamp}_sb{subband:02d}.hdf5"
    unfinished = path.with_name(path.name.replace(".hdf5", "_incomplete.hdf5"))
    unfinished.write_bytes(b"v")
    if old:
        os.utime(unfinished, (T0 - OLD_S, T0 - OLD_S))
    unfinished.replace(path)
    return path


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--files", type=int, default=100_000)
    asked.add_argument("--groups", type=int, default=60)
    asked.add_argument("--every-s", type=float, default=0.5, help="time between groups; 15 s is 20 times the real rate")
    given = asked.parse_args()
    root = Path(tempfile.mkdtemp(prefix="contimg-intake-"))
    try:
        for title, figures in (
            ("backlog", backlog(root / "backlog", given.files)),
            ("from the last file to the message", latency(root / "latency", given.groups, given.every_s)),
        ):
            sys.stdout.write(f"{title}\n" + "".join(f"  {name:<28} {value:10.3f}\n" for name, value in figures.items()))
    finally:
        shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
