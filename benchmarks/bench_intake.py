"""Measure the registration of files, the memory of a backlog, and the latency of a complete group.

    python benchmarks/bench_intake.py [--files 100000] [--groups 60]

Files, store and producer are those of the service, except that messages are counted and not sent. The ratio is to a
plain scan of the same directory (name, size and mtime of each file).
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


def measure_backlog(directory: Path, files: int) -> dict[str, float]:
    """Register a backlog that exists before the start, in a fresh process."""
    incoming = directory / "incoming"
    incoming.mkdir(parents=True)
    for number in range(files):
        _write(incoming, number // 16, number % 16, old=True)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_register_backlog, args=(directory, incoming, queue.put))
    process.start()
    figures: dict[str, float] = queue.get(timeout=600)
    process.join()
    return figures


def _register_backlog(directory: Path, incoming: Path, report: Callable[[dict[str, float]], None]) -> None:
    from contimg.store import Store
    from workers.producer.producer import Producer
    from workers.producer.scanner import IncomingScanner
    from workers.scheduling.dispatcher import Dispatcher

    store, sent = Store.open(directory / "store.sqlite3"), []
    start_mb = _peak_mb()
    start_s = time.perf_counter()
    with os.scandir(incoming) as entries:
        file_count = sum(entry.stat().st_size > 0 for entry in entries if entry.is_file())
    plain_scan_s = time.perf_counter() - start_s
    producer = Producer(store, IncomingScanner(incoming), Dispatcher(store, lambda job: sent.append(job.key)), 3600)
    start_s = time.perf_counter()
    producer.scan()
    seconds = time.perf_counter() - start_s
    start_s = time.perf_counter()
    producer.scan()
    rescan_s = time.perf_counter() - start_s
    states = store.overview.snapshot(0).states
    assert sum(states.values()) == -(-file_count // 16), states
    report(
        {
            "files": file_count,
            "files/s": file_count / seconds,
            "ratio to a plain scan": seconds / plain_scan_s,
            "rescan, s": rescan_s,
            "peak memory, MB": _peak_mb(),
            "growth by the backlog, MB": _peak_mb() - start_mb,
            "groups sent": len(sent),
        }
    )


def measure_latency(directory: Path, groups: int, every_s: float) -> dict[str, float]:
    """Measure the time from the rename of the last file of a group to its message, with a running producer."""
    from contimg.settings import DispatchSettings
    from contimg.store import Store
    from workers.producer import SCAN_BEAT
    from workers.producer.producer import Producer
    from workers.producer.scanner import IncomingScanner
    from workers.scheduling.dispatcher import Dispatcher

    incoming = directory / "incoming"
    incoming.mkdir(parents=True)
    store, sent = Store.open(directory / "store.sqlite3"), {}
    dispatcher = Dispatcher(
        store, lambda job: sent.setdefault(job.key, time.monotonic()), DispatchSettings(max_in_flight=groups)
    )
    producer = Producer(store, IncomingScanner(incoming), dispatcher, 5.0)
    stop = threading.Event()
    thread = threading.Thread(target=producer.run, args=(stop,))
    thread.start()
    while store.activity.last_beat(SCAN_BEAT) is None:
        time.sleep(0.01)
    completed_s = {}
    for group in range(groups):
        next_group_s = time.monotonic() + every_s
        for subband in range(16):
            path = _write(incoming, group, subband, old=False)
        completed_s[path.name[:19]] = time.monotonic()
        time.sleep(max(0.0, next_group_s - time.monotonic()))
    time.sleep(1.0)
    stop.set()
    producer.wake()
    thread.join()
    latencies_s = sorted(sent.get(group, float("inf")) - complete_s for group, complete_s in completed_s.items())
    return {
        "groups": groups,
        "multiple of the real rate": CADENCE_S / every_s,
        "median, s": statistics.median(latencies_s),
        "99th percentile, s": latencies_s[min(len(latencies_s) - 1, int(0.99 * len(latencies_s)))],
        "longest, s": latencies_s[-1],
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000, help="number of files of the backlog")
    parser.add_argument("--groups", type=int, default=60, help="number of groups for the latency")
    parser.add_argument(
        "--every-s", type=float, default=0.5, help="seconds between groups; 15 s is 20 times the real rate"
    )
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="contimg-intake-"))
    try:
        for title, figures in (
            ("backlog", measure_backlog(root / "backlog", arguments.files)),
            (
                "from the last file to the message",
                measure_latency(root / "latency", arguments.groups, arguments.every_s),
            ),
        ):
            sys.stdout.write(f"{title}\n" + "".join(f"  {name:<28} {value:10.3f}\n" for name, value in figures.items()))
    finally:
        shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
