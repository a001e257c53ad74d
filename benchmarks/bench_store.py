"""Years of observing in one store: the time of every page, list, command, queue step and housekeeping pass.

    make bench-store
    make bench-store ARGS="--years 10 --sources 6000"
    make bench-store ARGS="--years 3 --postgres --json figures.json"

The rows are those of `store_rows`; light curves are added for `--sources` sources with one measurement a day (60,000
for a whole strip, whose 22 million measurements a year `bench_light_curves` measures). Every route of the panel is
requested, also those that were added since. The store is then migrated from earlier revisions, pruned, backed up while
a writer commits, and restored. The exit status is 1 when something is above its bound.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench_light_curves import Strip, fill
from machine import machine
from sqlalchemy import text
from store_rows import History, fill_history

from contimg.instrument.time import unix_to_mjd
from contimg.settings import RetentionRules, Settings, load, save
from contimg.store import Store

PAGE_MS, LIST_MS, COMMAND_MS, CURVE_MS, STEP_MS, PASS_MS = 1000.0, 1000.0, 2000.0, 50.0, 50.0, 1000.0
COMMIT_MS = 1000.0  # of a writer beside a backup or a pruning
REPEATS = 3
PRODUCT_SUFFIXES = (".fits", ".png", ".csv", ".js", ".css", ".log", ".md")
# Routes that stream, or read files of products or of the program and no store.
SKIPPED = (
    "/api/events", "/api/logs", "/static/", "/bokeh/", "/docs", "/images/download", "/sky/aladin", "/sky/hips",
    "/sign-in", "/openapi.json", "/api/docs",
)  # fmt: skip
FILE_PARTS = ("pixels", "value.json", "viewer.json", "thumbnail", "flags", "cutout", "stamps", "plot")


class Bench:
    """Elapsed times by name, each with its bound, all milliseconds; beside them those of the processor.

    Others may be using the machine: on SQLite the bound applies to the time of the processor.
    """

    def __init__(self, is_sqlite: bool) -> None:
        self.rows: list[dict[str, Any]] = []
        self.is_sqlite = is_sqlite  # its work is done by this process

    def add(self, kind: str, name: str, value_ms: float, bound_ms: float | None, core_ms: float | None = None) -> None:
        """Record and print a time; where the time of the processor is known, it is what the bound applies to."""
        row = {"kind": kind, "name": name, "ms": round(value_ms, 1), "bound_ms": bound_ms}
        if core_ms is not None:
            row["core_ms"] = round(core_ms, 1)
        self.rows.append(row)
        core = "" if core_ms is None else f"{core_ms:.1f}"
        mark = "  ABOVE ITS BOUND" if _is_above(row) else ""
        print(f"{value_ms:10.1f} ms {core:>9}  {kind:12} {name}{mark}", flush=True)

    def time(self, kind: str, name: str, bound_ms: float, work: Callable[[], Any], repeats: int = REPEATS) -> None:
        """Record the shortest of some runs of a work."""
        elapsed_s, core_s = [], []
        for _ in range(repeats):
            began_s, core_began_s = time.perf_counter(), time.process_time()
            work()
            elapsed_s.append(time.perf_counter() - began_s)
            core_s.append(time.process_time() - core_began_s)
        core_ms = 1000 * min(core_s) if self.is_sqlite else None
        self.add(kind, name, 1000 * min(elapsed_s), bound_ms, core_ms)

    @property
    def above(self) -> list[str]:
        """Names of what is above its bound."""
        return [row["name"] for row in self.rows if _is_above(row)]


def _is_above(row: dict[str, Any]) -> bool:
    return row["bound_ms"] is not None and row.get("core_ms", row["ms"]) > row["bound_ms"]


def addresses(app: Any, store: Store, history: History) -> list[str]:
    """Every route that reads the store, as it is and turned to other pages, filters and spans."""
    middle = next(row for row in history.tile_rows() if row[0] >= history.tiles // 2 and row[0] % 997)
    number, group, time_s, mjd = middle
    epoch = store.mosaics.list_mosaics(1).mosaics[0].epoch
    night, now = group[:10], history.end_s
    caltable_set = store.registry.sets(1)[0].name
    values = {"group": group, "image_id": number, "epoch": epoch, "antenna": "23", "source_id": 17, "name": "cpu",
              "mosaic_id": len(history.windows) // 2, "candidate_id": 1, "night": night, "date": night}  # fmt: skip
    paths = []
    for rule in sorted(app.url_map.iter_rules(), key=str):
        path = str(rule.rule)
        is_file = path.endswith(PRODUCT_SUFFIXES) or any(part in path for part in FILE_PARTS)
        if "GET" not in rule.methods or is_file or path.startswith(SKIPPED) or rule.arguments - values.keys():
            continue
        own = {**values, "name": caltable_set} if path.startswith("/api/calibrations/") else values
        with app.test_request_context():
            paths.append(app.url_map.bind("localhost").build(rule.endpoint, {n: own[n] for n in rule.arguments}))
    key = f"{time_s!r}~{group}"
    spans = {"90 days": 90 * 86400.0, "all": history.days * 86400.0}
    charts = ("throughput", "stages", "noise", "flux_ratio", "grades", "cpu", "alerts")
    return [
        *dict.fromkeys(paths), f"/groups?after={key}", "/groups?state=failed", "/groups?partial=true",
        "/groups?order=updated", "/groups?state=completed&order=updated&ascending=true", f"/groups?observed={night}",
        "/images?verdict=suspect", "/images?grade=bad", f"/images?before={mjd}~{number}", f"/images?night={night}",
        "/sky?days=365", f"/sky?night={night}", "/events?level=warning", "/events?level=error",
        f"/events?group={group}", "/events?before=9999", "/alerts?before=99", "/antennas?days=90",
        f"/api/antennas?since={quote(night)}", "/api/groups?state=failed&since=2020-01-01",
        "/api/groups?incomplete=true", "/api/images?grade=good&since=2020-01-01&calibrated=true",
        "/api/images?grade=bad&limit=100", f"/api/images?before_mjd={mjd}", "/api/queue?state=failed",
        "/api/events/list?level=error&limit=100", "/api/sources?ra=24.4&dec=16.3&radius=1",
        "/api/sources/cone?RA=24.4&DEC=16.3&SR=1&VERB=2",
        *(f"/api/history/{chart}?since={now - span_s}&until={now}" for chart in charts for span_s in spans.values()),
    ]  # fmt: skip


def time_panel(bench: Bench, settings: Settings, store: Store, history: History) -> None:
    """Request every address from a panel of this process, without its caches of a second."""
    from web import create_app

    app = create_app(settings, store, fresh_s=0.0)
    client = app.test_client()
    client.get("/")  # imports
    for path in addresses(app, store, history):
        is_list = path.startswith("/api/")
        is_curve = path.endswith("/lightcurve")
        bound_ms = CURVE_MS if is_curve else LIST_MS if is_list else PAGE_MS
        status = client.get(path).status_code
        name = path if status == 200 else f"{path} ({status})"
        bench.time("API" if is_list else "page", name, bound_ms, lambda path=path: client.get(path).data)


COMMANDS = (
    "status", "images list", "images list --grade bad", "alerts list", "events", "sources list", "sources show 17",
    "sources candidates", "calibrators", "antennas list", "antennas show 23", "attention list", "groups list",
    "groups list --state failed", "groups show {group}", "epochs list", "epochs show {epoch}", "calibrations list",
    "config show", "db current", "db sizes", "db prune --dry-run", "retention", "night {night}", "campaigns list",
    "archive status",
)  # fmt: skip


def time_commands(bench: Bench, directory: Path, store: Store, history: History) -> None:
    """Run every command that reads, in a process of its own."""
    from contimg.cli import COMMANDS as SECTIONS

    known = {name for section in SECTIONS.values() for name in section}
    _, group, *_ = next(row for row in history.tile_rows() if row[0] >= history.tiles // 2 and row[0] % 997)
    epoch = store.mosaics.list_mosaics(1).mosaics[0].epoch
    environ = {**os.environ, "PIPELINE_STATE_DIR": str(directory / "state")}
    for line in COMMANDS:
        words = line.format(group=group, epoch=epoch, night=group[:10]).split()
        if words[0] not in known:
            continue
        began_s, core_began_s = time.perf_counter(), _children_s()
        done = subprocess.run([sys.executable, "-m", "contimg", *words], env=environ, capture_output=True)
        elapsed_s, core_s, status = time.perf_counter() - began_s, _children_s() - core_began_s, done.returncode
        name = f"contimg {' '.join(words)}" + (f" (exit status {status})" if status else "")
        # Sizes and dry runs count rows of whole tables.
        bound_ms = None if words[0] == "db" and words[1] != "current" else COMMAND_MS
        bench.add("command", name, 1000 * elapsed_s, bound_ms, 1000 * core_s if bench.is_sqlite else None)


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def time_queue(bench: Bench, directory: Path, store: Store, history: History) -> None:
    """Time the steps of new groups: registration, dispatch, reconciliation, claims and commits."""
    from waiting_groups import measure_steps

    costs = measure_steps(store, directory, range(1, 8), int(history.end_s))
    for name, value_ms in costs.items():
        bench.add("queue", f"a group {name}" if "round" not in name else name, value_ms, 3 * STEP_MS)


def time_passes(bench: Bench, settings: Settings, store: Store) -> None:
    """Time the periodic work of the producer, without the broker and the child process of the HiPS."""
    from workers.housekeeping.schedule import periodic_tasks

    skipped = {"broker", "sky", "retention", "alert evaluation", "notification", "archive"}
    for task in periodic_tasks(load(settings), store):
        if task.name not in skipped:
            bench.time("housekeeping", task.name, PASS_MS, task.run)
    bench.time("housekeeping", "collecting epochs", PASS_MS, store.epochs.collect)
    bench.time("housekeeping", "timeouts", PASS_MS, store.files.check_timeouts)
    bench.time("housekeeping", "activity for alerts", PASS_MS, store.activity.read)
    bench.time("housekeeping", "expired products", PASS_MS, lambda: store.retention.due(RetentionRules()))
    newest = store.science.newest_images(12)
    bench.time("housekeeping", "newest images for alerts", PASS_MS, lambda: store.science.deviations(newest))


@contextmanager
def writer(location: str) -> Iterator[list[float]]:
    """Commit an event twenty times a second meanwhile; the list holds the milliseconds of each commit."""
    store, times, stop = Store.open(location), [], threading.Event()

    def write() -> None:
        while not stop.wait(0.05):
            began_s = time.perf_counter()
            store.events.add("bench")
            times.append(1000 * (time.perf_counter() - began_s))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield times
    finally:
        stop.set()
        thread.join()
        store.close()


def report_writer(bench: Bench, work: str, times: list[float]) -> None:
    """Record the longest commit beside a work."""
    bench.add("writer", f"longest of {len(times)} commits beside {work}", max(times, default=0.0), COMMIT_MS)


def time_prune(bench: Bench, location: str) -> None:
    """Time the pruning by rule while a writer commits; then again, when nothing is left to prune."""
    store = Store.open(location)
    for name in ("first", "again"):
        with writer(location) as times:
            began_s = time.perf_counter()
            pruned = store.pruning.prune(RetentionRules())
            total_s = time.perf_counter() - began_s
        counts = ", ".join(f"{part.rows:,} {part.records}" for part in pruned if part.rows) or "nothing"
        bench.add("prune", f"{name}: {counts}", 1000 * total_s, None)
        report_writer(bench, f"the pruning, {name}", times)
    store.close()


def time_migrations(bench: Bench, location: str) -> None:
    """Migrate down to earlier revisions and up again."""
    from alembic import command
    from alembic.config import Config

    import contimg.store
    from contimg.store.database import HEAD
    from contimg.store.engine import make_engine, url_of

    engine = make_engine(url_of(location))
    config = Config()
    config.set_main_option("script_location", str(Path(contimg.store.__file__).parent / "migrations"))
    for revision in ("0006", "0001"):
        for direction, target in ((command.downgrade, revision), (command.upgrade, HEAD)):
            began_s = time.perf_counter()
            with engine.execution_options(begin="IMMEDIATE").begin() as connection:
                config.attributes["connection"] = connection
                direction(config, target)
            name = f"{HEAD} to {revision}" if direction is command.downgrade else f"{revision} to {HEAD}"
            bench.add("migration", name, 1000 * (time.perf_counter() - began_s), None)
    engine.dispose()


def time_backup(bench: Bench, directory: Path, settings: Settings, location: str) -> None:
    """Back up while a writer commits, and restore into another state directory."""
    from contimg.store.backup import back_up, restore

    target = directory / "backup.tar.gz"
    with writer(location) as times:
        began_s = time.perf_counter()
        back_up(settings, target)
        seconds = time.perf_counter() - began_s
    bench.add("backup", f"written, {target.stat().st_size / 1e9:.2f} GB", 1000 * seconds, None)
    report_writer(bench, "the backup", times)
    restored = Settings(state_dir=directory / "restored")
    began_s = time.perf_counter()
    restore(restored, target)
    bench.add("backup", "restored into a new SQLite store", 1000 * (time.perf_counter() - began_s), None)
    shutil.rmtree(directory / "restored")
    target.unlink()


def forget_statistics(store: Store) -> None:
    """Remove the planner's statistics of SQLite, which a store in service does not have."""
    if store.database.engine.dialect.name == "sqlite":
        with store.database.engine.connect() as connection:
            connection.execute(text("DROP TABLE IF EXISTS sqlite_stat1"))
            connection.execute(text("DROP TABLE IF EXISTS sqlite_stat4"))
            connection.commit()
        store.database.engine.dispose()


def store_bytes(store: Store) -> int:
    """Size of the database."""
    with store.database.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            pages, size = (connection.scalar(text(f"PRAGMA {name}")) for name in ("page_count", "page_size"))
            return int(pages) * int(size)
        return int(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)


@contextmanager
def server(postgres: bool) -> Iterator[str | None]:
    """The URL of a database in a PostgreSQL server of the benchmark's own, or None for SQLite."""
    if not postgres:
        yield None
        return
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from postgres_server import running_postgres

    with running_postgres() as running:
        yield running.new_database()


def run(options: argparse.Namespace, directory: Path, url: str | None) -> Bench:
    """Fill, measure, migrate, prune, back up and restore."""
    settings = Settings(state_dir=directory / "state")
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    values = {"output_dir": str(directory / "products"), "input_dir": str(directory / "incoming")}
    for path in values.values():
        Path(path).mkdir(exist_ok=True)
    save(settings, {**values, **({"queue_db": url} if url else {})})
    location = str(load(settings).queue_db)
    store, bench = Store.of(load(settings)), Bench(url is None)
    marker = directory / "history.json"
    end_s = json.loads(marker.read_text())["end_s"] if marker.exists() else time.time()
    history = History(options.years, end_s)
    if not marker.exists():
        began_s = time.monotonic()
        fill_history(store, history)
        fill(store, Strip(options.sources, unix_to_mjd(history.first_s)), history.days)
        forget_statistics(store)
        marker.write_text(json.dumps({"end_s": end_s, "years": options.years, "sources": options.sources}))
        print(f"{store_bytes(store) / 1e9:.2f} GB, filled in {time.monotonic() - began_s:.0f} s")
        os.sync()  # so that writing to the disk does not disturb the times
    parts: dict[str, Callable[[], None]] = {
        "pages": lambda: time_panel(bench, settings, store, history),
        "commands": lambda: time_commands(bench, directory, store, history),
        "queue": lambda: time_queue(bench, directory, store, history),
        "passes": lambda: time_passes(bench, settings, store),
        "prune": lambda: time_prune(bench, location),
        "backup": lambda: time_backup(bench, directory, settings, location),
        "migrations": lambda: time_migrations(bench, location),
    }
    for name, part in parts.items():
        if name in options.only:
            part()
            store.database.engine.dispose()
    return bench


def main() -> int:
    """Print the times; the exit status is 1 when a bound is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("pages", "commands", "queue", "passes", "prune", "backup", "migrations")
    parser.add_argument("--years", type=float, default=10.0, help="Years of observing")
    parser.add_argument("--sources", type=int, default=6000, help="Sources with a measurement a day")
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL in place of SQLite")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, metavar="PART", help=", ".join(parts))
    parser.add_argument("--directory", type=Path, help="Keep a SQLite store here and use it again")
    parser.add_argument("--json", type=Path, help="Write the times to this file as JSON")
    options = parser.parse_args()
    print(machine(), flush=True)
    keeping = (
        nullcontext(options.directory) if options.directory else tempfile.TemporaryDirectory(prefix="bench-store-")
    )
    with keeping as directory, server(options.postgres) as url:
        Path(directory).mkdir(parents=True, exist_ok=True)
        bench = run(options, Path(directory), url)
    if options.json:
        options.json.write_text(
            json.dumps({"machine": machine(), "years": options.years, "times": bench.rows}, indent=1)
        )
    print("all within their bounds" if not bench.above else "above their bounds:\n  " + "\n  ".join(bench.above))
    return 1 if bench.above else 0


if __name__ == "__main__":
    sys.exit(main())
