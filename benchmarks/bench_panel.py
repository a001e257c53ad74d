"""The panel under load, and over a store of many years: `python benchmarks/bench_panel.py [load|size|all]`.

load: one panel process bound to one core, 50 live viewers and 200 requests a second; latencies and memory.
size: a million groups, four million files, ten million events, 300,000 images; the time of every page.
`--groups` makes the second smaller. Both print what was measured and exit with 1 when a limit is missed.
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


def house(directory: Path) -> Path:
    """A state directory with an empty store; the path of its database."""
    from contimg.settings import Settings, load
    from contimg.store import Store

    config = load(Settings(state_dir=directory / "state"))
    Store.of(config).close()
    return Path(config.queue_db)


def fill(database: Path, groups: int) -> None:
    """Years of groups, files of some, runs, images and events, written straight into the tables."""
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
    """Measurement Sets of the groups that have images, and a calibration set for every fifth hour."""
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


def panel(directory: Path, cores: set[int]) -> tuple[subprocess.Popen[str], int]:
    """A panel of its own on some cores; the process and its port."""
    environment = {**os.environ, "PIPELINE_STATE_DIR": str(directory / "state"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "contimg", "web", "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )  # fmt: skip
    assert process.stdout is not None
    return process, int(process.stdout.readline().rstrip().rstrip("/").rsplit(":", 1)[1])


def get(port: int, path: str, connection: http.client.HTTPConnection | None = None) -> float:
    """Milliseconds of one request, answer read."""
    connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    began = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, (path, answer.status)
    return 1000 * (time.perf_counter() - began)


def follow(port: int, until: float, heard: list[int]) -> None:
    """A live viewer that counts what it hears."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/api/events")
    answer = connection.getresponse()
    count = 0
    while time.monotonic() < until:
        count += answer.readline().startswith(b"data:")
    heard.append(count)


def load(directory: Path, seconds: float) -> bool:
    """Viewers and requests; whether the limits hold."""
    from contimg.store import Store

    database = house(directory)
    process, port = panel(directory, {0})
    store, end = Store.open(database), time.monotonic() + seconds + 3
    heard: list[int] = []
    viewers = [threading.Thread(target=follow, args=(port, end - 1, heard), daemon=True) for _ in range(VIEWERS)]
    for one in viewers:
        one.start()
    time.sleep(2)
    watched = psutil.Process(process.pid)
    first_mb, taken, begin = watched.memory_info().rss / 1e6, [], time.monotonic()

    def send(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        n = number
        while (due := begin + n / RATE) < begin + seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            get(port, PATHS[n % len(PATHS)], connection)
            taken.append(1000 * (time.monotonic() - due))  # from when it was due: a queue counts
            n += SENDERS

    senders = [threading.Thread(target=send, args=(n,)) for n in range(SENDERS)]
    for one in senders:
        one.start()
    while any(one.is_alive() for one in senders):
        store.events.add("image done in 9.7 s")
        time.sleep(1)
    last_mb, cpu = watched.memory_info().rss / 1e6, watched.cpu_times()
    rate = len(taken) / (time.monotonic() - begin)
    process.send_signal(signal.SIGTERM)
    process.wait(15)
    taken.sort()
    p50, p99 = taken[len(taken) // 2], taken[int(0.99 * len(taken))]
    print(f"{VIEWERS} viewers, {rate:.0f} requests/s on one core: median {p50:.1f} ms, 99 % {p99:.1f} ms, "
          f"most {taken[-1]:.0f} ms; memory {first_mb:.0f} to {last_mb:.0f} MB; CPU {cpu.user + cpu.system:.1f} s; "
          f"each viewer heard {min(heard or [0])} to {max(heard or [0])} events")  # fmt: skip
    return p99 < P99_MS and last_mb - first_mb < 30


def size(directory: Path, groups: int) -> bool:
    """Every page over a large store; whether each is quick."""
    database = house(directory)
    began = time.monotonic()
    fill(database, groups)
    os.sync()  # or the disk would still be busy with what was written while the pages are timed
    print(f"{groups} groups, {10 * groups} events: {database.stat().st_size / 1e9:.1f} GB, "
          f"written in {time.monotonic() - began:.0f} s")  # fmt: skip
    process, port = panel(directory, {0})
    middle = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(BEGIN_S + groups // 2 * CADENCE_S))
    deep = f"{BEGIN_S + groups // 2 * CADENCE_S!r}~{middle}"
    now = time.time()
    pages = (
        "/", "/groups", f"/groups?after={deep}", "/groups?state=failed", "/groups?partial=true",
        "/groups?order=updated",
        "/groups?state=completed&order=updated&ascending=true", f"/groups?observed={middle[:10]}",
        f"/groups/{middle}",
        "/images", "/images?verdict=suspect", f"/images/{min(groups, 300_000) // 2}", "/sky?days=3650",
        "/calibration", "/alerts",
        "/history", f"/api/history/cpu?since={now - 7776000}&until={now}", "/logs", "/events",
        "/events?level=warning", "/events?level=error", f"/events?group={middle}", "/configuration", "/api/status",
        "/api/queue", "/metrics",
    )  # fmt: skip
    slow = []
    for path in pages:
        times = []
        for _ in range(3):
            time.sleep(1.05)  # past the moment for which a glance is shared
            times.append(get(port, path))
        best = sorted(times)[1]
        slow += [path] if best >= PAGE_MS else []
        print(f"{best:7.1f} ms  {path}{'  SLOW' if best >= PAGE_MS else ''}")
    process.send_signal(signal.SIGTERM)
    process.wait(15)
    return not slow


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("load", "size", "all"), default="all")
    parser.add_argument("--groups", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    asked, good = parser.parse_args(), True
    for name in ("load", "size"):
        if asked.what in (name, "all"):
            with tempfile.TemporaryDirectory() as directory:
                good &= load(Path(directory), asked.seconds) if name == "load" else size(Path(directory), asked.groups)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
