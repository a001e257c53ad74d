"""Measure the panel under load and with a large store: `python benchmarks/bench_panel.py [load|size|all]`.

load: one panel process bound to one core, 50 live viewers and 200 requests per second; latencies and memory.
size: a million groups, four million files, ten million events, 300,000 images; the time of every page. `--groups` sets
the number of groups. Both print their measurements; the exit status is 1 when a limit is exceeded.
"""

import argparse
import http.client
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

VIEWERS, RATE, SECONDS, SENDERS = 50, 200, 20, 24
PATHS = ("/", "/api/status", "/api/streaming/health", "/healthz", "/api/queue?limit=20", "/static/panel.css")
P99_MS, PAGE_MS = 100.0, 300.0
BEGIN_S = 1_000_000_000.0
CADENCE_S = 309.0


def create_store(directory: Path) -> Path:
    """Create a state directory with an empty store; return the path of its database."""
    from contimg.settings import Settings, load
    from contimg.store import Store

    config = load(Settings(state_dir=directory / "state"))
    Store.of(config).close()
    return Path(config.queue_db)


def fill(database: Path, groups: int) -> None:
    """Insert years of groups, files, runs, images and events directly into the tables."""
    db = sqlite3.connect(database)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA journal_mode = MEMORY")
    stamp = lambda n: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(BEGIN_S + n * CADENCE_S))  # noqa: E731
    rows = [
        (stamp(n), BEGIN_S + n * CADENCE_S, "failed" if n % 997 == 0 else "completed", "image", n % 211 == 0,
         BEGIN_S + n * CADENCE_S)
        for n in range(groups)
    ]  # fmt: skip
    db.executemany(
        "INSERT INTO groups (id, reference_s, echo, partial, collecting_since, created_at) VALUES (?, ?, 0, ?, ?, ?)",
        ((row[0], row[1], row[4], row[5], row[5]) for row in rows),
    )
    db.executemany(
        "INSERT INTO jobs (id, kind, key, processing, priority, reference_s, state, stage, attempts, fence, created_at,"
        " updated_at, completed_at) VALUES (?1, 'tile', ?2, 'live', 6, ?3, ?4, ?5, 0, 3, ?6, ?6 + 60, ?6 + 60)",
        ((n, *row[:4], row[5]) for n, row in enumerate(rows)),
    )
    db.executemany(
        "INSERT INTO subband_files (path, group_id, subband, time_s, size, mtime, arrived_at, state) "
        "VALUES (?, ?, ?, ?, 144973824, ?, ?, 'present')",
        ((f"/in/{stamp(n)}_sb{s:02d}.hdf5", stamp(n), s, *[BEGIN_S + n * CADENCE_S] * 3)
         for n in range(groups) for s in range(4)),
    )  # fmt: skip
    db.executemany(
        "INSERT INTO stage_runs (job_id, processing, stage, attempt, fence, owner, started_at, ended_at, outcome,"
        " seconds) VALUES (?, 'live', ?, 1, 1, 'host:1', ?, ?, 'committed', 9.5)",
        ((n, "image", BEGIN_S + n * CADENCE_S, BEGIN_S + n * CADENCE_S + 10) for n in range(groups)),
    )
    db.executemany(
        "INSERT INTO events (at, level, group_id, text) VALUES (?, ?, ?, 'image done in 9.5 s')",
        ((BEGIN_S + n * CADENCE_S / 10, "warning" if n % 5003 == 0 else "info", stamp(n // 10))
         for n in range(10 * groups)),
    )  # fmt: skip
    db.executemany(
        "INSERT INTO images (job_id, processing, group_id, fits_path, rms_jy, peak_jy, dynamic_range,"
        " beam_major_arcsec, beam_minor_arcsec, beam_angle_deg, ra_deg, dec_deg, mjd, freq_hz, pixels, cell_arcsec,"
        " sources, verdict, verdict_reasons, created_at) VALUES (?6, 'live', ?1, ?1, 0.003, 0.4, 133, 19, 15, 0, ?2,"
        " 33.1, ?3, 1.4e9, 2048, 6, '[]', ?4, '[]', ?5)",
        ((stamp(n), n * 1.29 % 360, 40587 + (BEGIN_S + n * CADENCE_S) / 86400, "suspect" if n % 50 == 0 else "good",
          BEGIN_S + n * CADENCE_S, n) for n in range(max(0, groups - 300_000), groups)),
    )  # fmt: skip
    _fill_products(db, groups, stamp)
    now = time.time()
    db.executemany(
        "INSERT INTO metrics (at, name, value) VALUES (?, ?, ?)",
        ((now - n * 30, name, random.random() * 100) for n in range(260_000)
         for name in ("service.cpu_percent", "machine.cpu_percent")),
    )  # fmt: skip
    db.commit()
    db.execute("PRAGMA journal_mode = WAL")
    db.close()


def _fill_products(db: sqlite3.Connection, groups: int, stamp: Callable[[int], str]) -> None:
    """Insert Measurement Sets of the groups with images, and a calibration set for every fifth hour."""
    day = lambda n: 40587 + (BEGIN_S + n * CADENCE_S) / 86400  # noqa: E731
    first = max(0, groups - 300_000)
    db.executemany(
        "INSERT INTO ms_index (job_id, processing, group_id, path, mjd_start, mjd_end, ra_deg, dec_deg, integrations,"
        " channels, antennas, missing_subbands, flagged_fraction, bytes, created_at)"
        " VALUES (?5, 'live', ?1, ?1, ?2, ?2 + 0.0036, ?3, 33.1, 24, 768, 96, '[]', 0.08, 1900000000, ?4)",
        ((stamp(n), day(n), n * 1.29 % 360, BEGIN_S + n * CADENCE_S, n) for n in range(first, groups)),
    )
    quality = (
        '{"flagged_fraction": 0.011, "without_fringes": {' + ", ".join(f'"{n}": "no fringe"' for n in range(30)) + "}}"
    )
    db.executemany(
        "INSERT INTO calibrations (processing, path, set_name, kind, calibrator, mjd, valid_from_mjd, valid_to_mjd,"
        " quality, grade, reasons, created_at) VALUES ('live', ?1 || ?2, ?1, ?2, '3C48', ?3,"
        " ?3 - 0.5, ?3 + 1, ?4, 'good', '[]', 1)",
        ((stamp(n), kind, day(n), quality) for n in range(0, groups, 58) for kind in ("bandpass", "gain")),
    )


def start_panel(directory: Path, cores: set[int]) -> tuple[subprocess.Popen[str], int]:
    """Start a panel on the given cores; return the process and its port."""
    environment = {**os.environ, "PIPELINE_STATE_DIR": str(directory / "state"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "contimg", "web", "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )  # fmt: skip
    assert process.stdout is not None
    return process, int(process.stdout.readline().rstrip().rstrip("/").rsplit(":", 1)[1])


def get(port: int, path: str, connection: http.client.HTTPConnection | None = None) -> float:
    """Request a page, read the response and return the milliseconds."""
    connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    start_s = time.perf_counter()
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    assert response.status == 200, (path, response.status)
    return 1000 * (time.perf_counter() - start_s)


def follow(port: int, end_s: float, event_counts: list[int]) -> None:
    """Follow the live events until `end_s` and append their number to `event_counts`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/api/events")
    response = connection.getresponse()
    count = 0
    while time.monotonic() < end_s:
        count += response.readline().startswith(b"data:")
    event_counts.append(count)


def measure_load(directory: Path, seconds: float) -> bool:
    """Run viewers and requests; return whether the limits are kept."""
    from contimg.store import Store

    database = create_store(directory)
    process, port = start_panel(directory, {0})
    store, end = Store.open(database), time.monotonic() + seconds + 3
    event_counts: list[int] = []
    viewers = [threading.Thread(target=follow, args=(port, end - 1, event_counts), daemon=True) for _ in range(VIEWERS)]
    for viewer in viewers:
        viewer.start()
    time.sleep(2)
    panel_process = psutil.Process(process.pid)
    start_mb, latencies_ms, start_s = panel_process.memory_info().rss / 1e6, [], time.monotonic()

    def send(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        n = number
        while (due_s := start_s + n / RATE) < start_s + seconds:
            time.sleep(max(0.0, due_s - time.monotonic()))
            get(port, PATHS[n % len(PATHS)], connection)
            latencies_ms.append(
                1000 * (time.monotonic() - due_s)
            )  # from the due time, so that waiting in a queue counts
            n += SENDERS

    senders = [threading.Thread(target=send, args=(n,)) for n in range(SENDERS)]
    for sender in senders:
        sender.start()
    while any(sender.is_alive() for sender in senders):
        store.events.add("image done in 9.7 s")
        time.sleep(1)
    end_mb, cpu = panel_process.memory_info().rss / 1e6, panel_process.cpu_times()
    rate = len(latencies_ms) / (time.monotonic() - start_s)
    process.send_signal(signal.SIGTERM)
    process.wait(15)
    latencies_ms.sort()
    p50, p99 = latencies_ms[len(latencies_ms) // 2], latencies_ms[int(0.99 * len(latencies_ms))]
    print(f"{VIEWERS} viewers, {rate:.0f} requests/s on one core: median {p50:.1f} ms, 99 % {p99:.1f} ms, "
          f"maximum {latencies_ms[-1]:.0f} ms; memory {start_mb:.0f} to {end_mb:.0f} MB; "
          f"CPU {cpu.user + cpu.system:.1f} s; "
          f"events per viewer {min(event_counts or [0])} to {max(event_counts or [0])}")  # fmt: skip
    return p99 < P99_MS and end_mb - start_mb < 30


def measure_size(directory: Path, groups: int) -> bool:
    """Time every page with a large store; return whether all are within the limit."""
    database = create_store(directory)
    start_s = time.monotonic()
    fill(database, groups)
    os.sync()  # so that writing to disk does not disturb the timing of the pages
    print(f"{groups} groups, {10 * groups} events: {database.stat().st_size / 1e9:.1f} GB, "
          f"written in {time.monotonic() - start_s:.0f} s")  # fmt: skip
    process, port = start_panel(directory, {0})
    middle_group = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(BEGIN_S + groups // 2 * CADENCE_S))
    cursor = f"{BEGIN_S + groups // 2 * CADENCE_S!r}~{middle_group}"
    now = time.time()
    pages = (
        "/", "/groups", f"/groups?after={cursor}", "/groups?state=failed", "/groups?partial=true",
        "/groups?order=updated",
        "/groups?state=completed&order=updated&ascending=true", f"/groups?observed={middle_group[:10]}",
        f"/groups/{middle_group}",
        "/images", "/images?verdict=suspect", f"/images/{min(groups, 300_000) // 2}", "/sky?days=3650",
        "/calibration", "/alerts",
        "/history", f"/api/history/cpu?since={now - 7776000}&until={now}", "/logs", "/events",
        "/events?level=warning", "/events?level=error", f"/events?group={middle_group}", "/configuration",
        "/api/status", "/api/queue", "/metrics",
    )  # fmt: skip
    slow_pages = []
    for path in pages:
        times = []
        for _ in range(3):
            time.sleep(1.05)  # longer than the lifetime of the cached overview
            times.append(get(port, path))
        median_ms = sorted(times)[1]
        slow_pages += [path] if median_ms >= PAGE_MS else []
        print(f"{median_ms:7.1f} ms  {path}{'  SLOW' if median_ms >= PAGE_MS else ''}")
    process.send_signal(signal.SIGTERM)
    process.wait(15)
    return not slow_pages


def main() -> None:
    """Run the chosen measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("load", "size", "all"), default="all")
    parser.add_argument("--groups", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    arguments, within_limits = parser.parse_args(), True
    for name in ("load", "size"):
        if arguments.what in (name, "all"):
            with tempfile.TemporaryDirectory() as directory:
                within_limits &= (
                    measure_load(Path(directory), arguments.seconds)
                    if name == "load"
                    else measure_size(Path(directory), arguments.groups)
                )
    sys.exit(0 if within_limits else 1)


if __name__ == "__main__":
    main()
