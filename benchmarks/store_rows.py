"""Rows of years of observing, written directly into the tables of a store, on SQLite and PostgreSQL alike.

What a deployment holds after years with the default rules of retention: every group, file, job, run, image, mosaic and
event; Measurement Sets of 30 days; samples and antenna numbers of 90 days, and the hourly means of the samples before.
"""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text

from contimg.epoch.windows import Window
from contimg.formats.uvh5.grouping import stamp_of
from contimg.instrument.dsa110 import CADENCE_S
from contimg.instrument.time import unix_to_mjd
from contimg.store import Store
from contimg.store.tables import Base

DAYS_PER_YEAR = 365
STRIP = 163
SOURCES_JSON = json.dumps([
    {"ra_deg": 24.42 + 0.01 * n, "dec_deg": 16.3, "flux_jy": 0.42, "catalogue_jy": 0.4, "offset_arcsec": 0.7}
    for n in range(8)
])  # fmt: skip
METRICS = (
    "service.cpu_percent", "machine.cpu_percent", "service.memory_mb", "machine.memory_mb", "machine.load_1min",
    "queue.collecting", "queue.pending", "queue.in_progress", "queue.failed", "queue.waiting.convert",
    "queue.waiting.calibrate", "queue.waiting.image", "stream.groups_per_hour", "stream.image_after_s",
    "stream.image_after_p95_s", "stream.real_time_factor", "disk.used_percent", "disk.output_free_bytes",
    "disk.input_free_bytes",
)  # fmt: skip


class History:
    """Sizes and times of the rows.

    Attributes
    ----------
    tiles, epochs : their numbers. end_s : the present, epoch seconds. first_s : time of the first tile.
    """

    def __init__(self, years: float, end_s: float, detail_days: float = 90.0) -> None:
        self.end_s = end_s
        self.days = round(years * DAYS_PER_YEAR)
        self.tiles = round(self.days * 86400 / CADENCE_S)
        self.first_s = float(int(end_s - self.tiles * CADENCE_S))
        self.detail_days = min(detail_days, self.days)
        first = Window(round(_sidereal_min(self.first_s) / 60) * 60, 60)
        self.windows = [Window(first.start_min + 30 * n, 60) for n in range(48 * self.days - 4)]

    @property
    def detail_tiles(self) -> int:
        """Tiles of the days whose rows are kept in detail."""
        return round(self.detail_days * 86400 / CADENCE_S)

    def tile_rows(self) -> Iterable[tuple[int, str, float, float]]:
        """Number, id, time and MJD of each tile."""
        for n in range(self.tiles):
            time_s = float(round(self.first_s + n * CADENCE_S))
            yield n + 1, stamp_of(int(time_s)), time_s, unix_to_mjd(time_s)

    def epoch_rows(self) -> Iterable[tuple[int, str, float, int]]:
        """Number, key, beginning of each epoch, and number of its first tile."""
        for n, window in enumerate(self.windows):
            first = round((window.start_s - self.first_s) / CADENCE_S) + 1
            yield n + 1, window.key(STRIP), window.start_s, max(1, first)


def _sidereal_min(time_s: float) -> float:
    from contimg.epoch.windows import sidereal_minutes

    return sidereal_minutes(unix_to_mjd(time_s))


class Filler:
    """Writes rows through the driver's own connection; helper tables hold the numbers that statements count with."""

    def __init__(self, store: Store) -> None:
        self.engine = store.database.engine
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self.connection = self.engine.raw_connection()
        self.cursor = self.connection.cursor()
        if self.is_sqlite:
            for pragma in ("foreign_keys = OFF", "synchronous = OFF", "journal_mode = MEMORY", "cache_size = -400000"):
                self.cursor.execute(f"PRAGMA {pragma}")
            self.cursor.execute("BEGIN")
        else:
            self.cursor.execute("SET session_replication_role = replica")

    def table(self, name: str, columns: str, rows: Iterable[Sequence[Any]]) -> None:
        """Create a helper table, `number INTEGER, label TEXT` and the like, and fill it."""
        names = [column.split()[0] for column in columns.split(", ")]
        self.cursor.execute(f"CREATE TABLE {name} ({columns})")
        self.insert(name, names, rows)
        self.cursor.execute(f"CREATE UNIQUE INDEX {name}_n ON {name} (n)")

    def insert(self, name: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Insert rows of values."""
        if self.is_sqlite:
            marks = ", ".join("?" * len(names))
            self.cursor.executemany(f"INSERT INTO {name} ({', '.join(names)}) VALUES ({marks})", rows)
            return
        with self.cursor.copy(f"COPY {name} ({', '.join(names)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def run(self, table: str, values: dict[str, str], source: str) -> None:
        """Insert into a table what is selected from a source: an expression for each column."""
        began_s = time.monotonic()
        self.cursor.execute(
            f"INSERT INTO {table} ({', '.join(values)}) SELECT {', '.join(values.values())} FROM {source}"
        )
        print(f"  {self.cursor.rowcount:12,} rows of {table}, {time.monotonic() - began_s:.0f} s", flush=True)

    def close(self) -> None:
        """Commit, let the database number new rows after these, and gather its statistics."""
        for helper in ("h_tile", "h_epoch", "h_subband", "h_ten", "h_metric", "h_antenna", "h_sample", "h_hour"):
            self.cursor.execute(f"DROP TABLE IF EXISTS {helper}")
        if self.is_sqlite:
            self.cursor.execute("COMMIT")
            self.cursor.execute("PRAGMA journal_mode = WAL")
            self.connection.close()
            self.engine.dispose()  # with it the settings of the connection
        else:
            self.cursor.execute("SET session_replication_role = DEFAULT")
            for name, table in Base.metadata.tables.items():
                if table.columns.get("id") is not None and name != "groups":
                    self.cursor.execute(
                        f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))"
                    )
            self.connection.commit()
            self.connection.close()
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE"))


def fill_history(store: Store, history: History) -> None:
    """Write all rows but those of sources.

    Parameters
    ----------
    store : an empty store of this version.
    history : sizes and times.
    """
    filler = Filler(store)
    double = "REAL" if filler.is_sqlite else "DOUBLE PRECISION"
    filler.table("h_tile", f"n INTEGER, id TEXT, at {double}, mjd {double}", history.tile_rows())
    filler.table("h_epoch", f"n INTEGER, key TEXT, at {double}, tile INTEGER", history.epoch_rows())
    filler.table("h_subband", "n INTEGER, label TEXT", ((n, f"_sb{n:02d}.hdf5") for n in range(16)))
    filler.table("h_ten", "n INTEGER", ((n,) for n in range(12)))
    filler.table("h_antenna", "n INTEGER, label TEXT, pol TEXT",
                 ((n, str(n // 2 + 1), "XY"[n % 2]) for n in range(192)))  # fmt: skip
    filler.table("h_metric", "n INTEGER, label TEXT", enumerate(METRICS))
    _fill_queue(filler, history)
    _fill_products(filler, history)
    _fill_activity(filler, history, double)
    filler.close()


def _fill_queue(filler: Filler, history: History) -> None:
    """Groups, their files, jobs of both kinds, runs; the newest tiles are still in work."""
    last, jobs = history.tiles, history.tiles
    state = (
        f"CASE WHEN n > {last - 2} THEN 'collecting' WHEN n > {last - 5} THEN 'pending' WHEN n % 997 = 0 THEN 'failed'"
        " ELSE 'completed' END"
    )
    stage = f"CASE WHEN n > {last - 5} THEN 'convert' ELSE 'image' END"
    filler.run("groups", {
        "id": "id", "reference_s": "at", "echo": "FALSE", "partial": "n % 211 = 0", "collecting_since": "at + 3",
        "created_at": "at + 3",
    }, "h_tile ORDER BY n")  # fmt: skip
    common = {"processing": "'live'", "attempts": "0", "fence": "3", "created_at": "at + 3", "updated_at": "at + 380"}
    filler.run("jobs", {
        "id": "n", "kind": "'tile'", "key": "id", "priority": "6", "reference_s": "at", "state": state, "stage": stage,
        **common, "completed_at": f"CASE WHEN n > {last - 5} OR n % 997 = 0 THEN NULL ELSE at + 380 END",
        "error": f"CASE WHEN n % 997 = 0 AND n <= {last - 5} THEN 'disk full' END",
    }, "h_tile ORDER BY n")  # fmt: skip
    filler.run("jobs", {
        "id": f"{jobs} + n", "kind": "'epoch'", "key": "key", "priority": "6", "reference_s": "at",
        "state": "'completed'", "stage": "'measure'", **common, "completed_at": "at + 3800",
    }, "h_epoch ORDER BY n")  # fmt: skip
    filler.run("subband_files", {
        "path": "'/data/incoming/' || h_tile.id || s.label", "group_id": "h_tile.id", "subband": "s.n",
        "time_s": "at", "size": "144973824", "mtime": "at + 300", "arrived_at": "at + 310 + s.n",
        "state": "CASE WHEN h_tile.n % 5003 = 0 AND s.n = 7 THEN 'quarantined' ELSE 'present' END",
        "reason": "CASE WHEN h_tile.n % 5003 = 0 AND s.n = 7 THEN 'truncated: 81920 of 144973824 bytes' END",
    }, "h_tile CROSS JOIN h_subband s ORDER BY h_tile.n, s.n")  # fmt: skip
    run = {"processing": "'live'", "attempt": "1", "fence": "1", "owner": "'worker-image@lxd110h03:4711'",
           "task_id": "'3f0c9f9e-2b7e-4b1e-9d0a-3d8f2a0c11aa'", "outcome": "'committed'", "seconds": "9.5",
           "peak_rss_bytes": "1600000000", "bytes_read": "2300000000", "bytes_written": "1900000000"}  # fmt: skip
    filler.run("stage_runs", {
        "job_id": "h_tile.n", "stage": "CASE s.n WHEN 0 THEN 'convert' WHEN 1 THEN 'calibrate' ELSE 'image' END",
        "started_at": "at + 330 + 10 * s.n", "ended_at": "at + 340 + 10 * s.n", **run,
    }, f"h_tile CROSS JOIN h_ten s WHERE s.n < 3 AND h_tile.n <= {last - 5} ORDER BY h_tile.n, s.n")  # fmt: skip
    filler.run("stage_runs", {
        "job_id": f"{jobs} + e.n", "stage": "CASE s.n WHEN 0 THEN 'mosaic' ELSE 'measure' END",
        "started_at": "at + 3700 + 50 * s.n", "ended_at": "at + 3740 + 50 * s.n", **run,
    }, "h_epoch e CROSS JOIN h_ten s WHERE s.n < 2 ORDER BY e.n, s.n")  # fmt: skip


def _fill_products(filler: Filler, history: History) -> None:
    last = history.tiles - 5
    month = max(1, last - round(30 * 86400 / CADENCE_S))
    tile = {"job_id": "n", "processing": "'live'", "group_id": "id", "ra_deg": "(n * 129 % 36000) / 100.0",
            "dec_deg": "16.3", "calibration_set": "'3C48_2026-02-22'", "calibration_class": "'same transit'",
            }  # fmt: skip
    filler.run("ms_index", {
        "id": "n", **tile, "path": "'/data/products/' || id || '.ms'", "mjd_start": "mjd", "mjd_end": "mjd + 0.0036",
        "missing_subbands": "'[]'", "flagged_fraction": "0.08", "calibrated_at": "at + 360", "created_at": "at + 340",
        "integrations": "24", "channels": "768", "antennas": "96", "bytes": "1900000000",
    }, f"h_tile WHERE n > {month} AND n <= {last} ORDER BY n")  # fmt: skip
    filler.run("images", {
        "id": "n", **tile, "fits_path": "'/data/products/images/' || id || '.fits'",
        "beam_fits_path": "'/data/products/images/' || id || '.pb.fits'",
        "png_path": "'/data/products/images/' || id || '.png'",
        "thumbnail_path": "'/data/products/images/' || id || '.thumb.png'",
        "rms_jy": "0.003 + (n % 100) / 1e5", "peak_jy": "0.4", "mjd": "mjd", "sources": f"'{SOURCES_JSON}'",
        "verdict": "CASE WHEN n % 50 = 0 THEN 'suspect' WHEN n % 333 = 0 THEN 'bad' ELSE 'good' END",
        "verdict_reasons": "'[]'", "catalogue_name": "'nvss'", "catalogue_flux_ratio": "0.97 + (n % 60) / 1e3",
        "created_at": "at + 380", "dynamic_range": "133", "beam_major_arcsec": "19", "beam_minor_arcsec": "15",
        "beam_angle_deg": "0", "freq_hz": "1.4e9", "pixels": "2048", "cell_arcsec": "6", "expected_rms_jy": "0.0025",
    }, f"h_tile WHERE n <= {last} AND n % 997 <> 0 ORDER BY n")  # fmt: skip
    filler.run("calibrations", {
        "path": "'/data/products/calibration/' || id || '/' || s.n || '.cal'", "set_name": "'3C48_' || id",
        "processing": "'live'", "job_id": "h_tile.n", "group_id": "id",
        "kind": "CASE s.n WHEN 0 THEN 'bandpass' WHEN 1 THEN 'gain' ELSE 'delay' END", "calibrator": "'3C48'",
        "mjd": "mjd", "valid_from_mjd": "mjd - 0.5", "valid_to_mjd": "mjd + 0.5", "dec_deg": "16.3",
        "quality": """'{"flagged_fraction": 0.011, "solution_snr": 41.0}'""",
        "grade": "CASE WHEN h_tile.n % 7 = 0 THEN 'bad' ELSE 'good' END", "reasons": "'[]'", "created_at": "at + 400",
    }, "h_tile CROSS JOIN h_ten s WHERE s.n < 3 AND h_tile.n % 93 = 0 ORDER BY h_tile.n, s.n")  # fmt: skip
    filler.run("mosaics", {
        "id": "n", "job_id": f"{history.tiles} + n", "processing": "'live'", "epoch": "key", "strip": str(STRIP),
        "reference_s": "at", "rms_jy": "0.0009", "created_at": "at + 3800", "record": f"'{_mosaic_json()}'",
        "verdict": "CASE WHEN n % 40 = 0 THEN 'suspect' ELSE 'good' END",
    }, "h_epoch ORDER BY n")  # fmt: skip
    filler.run("mosaic_inputs", {
        "mosaic_id": "e.n", "image_id": "i.id", "group_id": "i.group_id", "image_created_at": "i.created_at",
    }, "h_epoch e CROSS JOIN h_ten s JOIN images i ON i.id = e.tile + s.n ORDER BY e.n, s.n")  # fmt: skip


def _fill_activity(filler: Filler, history: History, double: str) -> None:
    filler.run("events", {
        "at": "at + 330 + 5 * s.n", "level": "CASE WHEN h_tile.n % 503 = 0 AND s.n = 0 THEN 'warning'"
        " WHEN h_tile.n % 997 = 0 AND s.n = 1 THEN 'error' ELSE 'info' END",
        "group_id": "id", "text": "'calibrated with 3C48_2026-02-22, 8.3 % flagged, in 9.5 s'",
    }, "h_tile CROSS JOIN h_ten s WHERE s.n < 8 ORDER BY h_tile.n, s.n")  # fmt: skip
    filler.run("events", {"at": "at + 60", "level": "'info'", "text": "'paused by ana'"},
               "h_tile WHERE n % 140 = 0 ORDER BY n")  # fmt: skip
    filler.run("alerts", {"rule": "'stall'", "level": "'warning'", "text": "'nothing advances'", "began_at": "at",
                          "ended_at": "at + 900"}, "h_tile WHERE n % 280 = 0 ORDER BY n")  # fmt: skip
    step_s, days = 30.0, history.detail_days
    count = round(days * 86400 / step_s)
    filler.table("h_sample", f"n INTEGER, at {double}", ((n, history.end_s - (count - n) * step_s)
                                                         for n in range(count)))  # fmt: skip
    filler.run("metrics", {"at": "at", "name": "label", "value": "40 + (h_sample.n * 7919 % 1000) / 50.0"},
               "h_metric CROSS JOIN h_sample ORDER BY at, label")  # fmt: skip
    hours = round((history.days - days) * 24)
    if hours > 0 and "metric_hours" in Base.metadata.tables:
        first = history.end_s // 3600 * 3600 - history.days * 86400
        filler.table("h_hour", f"n INTEGER, at {double}", ((n, first + 3600 * n) for n in range(hours)))
        filler.run("metric_hours", {
            "name": "label", "at": "at", "mean": "40 + (h_hour.n % 20)", "minimum": "20", "maximum": "80",
            "samples": "120",
        }, "h_metric CROSS JOIN h_hour ORDER BY label, at")  # fmt: skip
    first = history.tiles - history.detail_tiles
    filler.run("antenna_history", {
        "job_id": "h_tile.n", "processing": "'live'", "group_id": "id", "mjd": "mjd", "antenna": "a.label",
        "polarisation": "a.pol", "flagged_fraction": "0.05 + (a.n * 37 % 100) / 1000.0",
        "state": "CASE WHEN a.n / 2 IN (7, 40) THEN 'dead' ELSE 'good' END",
        "reason": "CASE WHEN a.n / 2 IN (7, 40) THEN '98% zero' END",
    }, f"h_tile CROSS JOIN h_antenna a WHERE h_tile.n > {first} AND h_tile.n <= {history.tiles - 5}"
       " ORDER BY h_tile.n, a.n")  # fmt: skip
    filler.run("antenna_outages", {
        "antenna": "'' || (n / 2000 % 96 + 1)", "state": "'dead'", "reason": "'98% zero'", "began_mjd": "mjd",
        "ended_mjd": "mjd + 0.7",
    }, "h_tile WHERE n % 2000 = 0 ORDER BY n")  # fmt: skip


def _mosaic_json() -> str:
    """The record of a mosaic of 12 tiles, as the store keeps it."""
    from contimg.epoch.products import Mosaic, MosaicMember
    from contimg.formats.records import to_plain

    paths = {name: Path(f"/data/products/mosaics/epoch{suffix}") for name, suffix in (
        ("fits_path", ".fits"), ("weight_fits_path", ".weight.fits"), ("rms_fits_path", ".rms.fits"),
        ("png_path", ".png"), ("thumbnail_path", ".thumb.png"))}  # fmt: skip
    member = MosaicMember(
        fits_path=Path("/data/products/images/a.fits"), name="a.fits", ra_deg=24.4, dec_deg=16.3, mjd=61093.9,
        freq_hz=1.405e9, rms_jy=0.0003, weight=0.08, background_jy=0.0, east_arcsec=0.1, north_arcsec=-0.1,
    )  # fmt: skip
    mosaic = Mosaic(
        **paths, qa_png_path=None, member_count=12, rms_jy=0.0002, expected_rms_jy=0.00019, peak_jy=1.0, ra_deg=24.4,
        dec_deg=16.3, width_pixels=10350, height_pixels=2180, cell_arcsec=6.0, area_deg2=38.0, mjd_start=61093.9,
        mjd_end=61093.95, freq_hz=1.405e9, bandwidth_hz=1.87e8, beam_major_arcsec=21.0, beam_minor_arcsec=15.0,
        beam_angle_deg=10.0, pb_cutoff=0.1, weight_cutoff=1e5, peak_weight=2.5e7, verdict="good", bytes=1000,
        seconds={"add": 1.0}, members=(member,) * 12,
    )  # fmt: skip
    return json.dumps(to_plain(mosaic)).replace("'", "''")
