"""Light curves of a year of one declination strip: reads, the η–V plane, an epoch more, with ratios to plain work.

    make bench-light-curves
    make bench-light-curves ARGS="--days 365 --postgres"

The store is filled with 24 epochs a day; then epochs are added, and remade, through the store. The plain work reads
the same rows without making records of them, and inserts the same rows into a table without an index. An epoch is also
added to a store with three days of history: it must not cost more with more history. Limits: 50 ms for a light curve,
1 s for the plane of 60,000 sources, and twice the time of the short history for an epoch.
"""

import argparse
import json
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine
from sqlalchemy import Index, insert, text

from contimg.epoch.photometry.products import Photometry
from contimg.epoch.windows import Window, sidereal_minutes
from contimg.instrument.time import unix_to_mjd
from contimg.sky.catalogue.pixels import pixels_of
from contimg.sky.variability.normalisation import Normalisation
from contimg.store import Store, tables
from contimg.store.sky.rows import transit_day
from contimg.store.sky.sums import POINT, RunningStatistics
from contimg.tile.image.result import Beam

MAX_CURVE_MS, MAX_PLANE_S, MAX_EPOCH_RATIO = 50.0, 1.0, 2.0
SHORT_DAYS, FIRST_MJD, CHUNK = 3, 61041.0, 500
SCALE = Normalisation(1.0, 0.005, 0.0, 200, True, "", 0.002)


class Strip:
    """Sources of a strip, and the windows that measure them from a day (MJD) on."""

    def __init__(self, count: int, first_mjd: float = FIRST_MJD) -> None:
        rng = np.random.default_rng(21)
        self.ra_deg = np.sort(rng.uniform(0, 360, count))
        self.dec_deg = rng.uniform(14.6, 18.0, count)
        self.flux_jy = 0.002 / rng.random(count) ** 0.6
        self.hour = (self.ra_deg // 15).astype(int)
        self.first_min = 60 * round(sidereal_minutes(first_mjd) / 60) // 1440 * 1440

    def window(self, day: int, hour: int) -> Window:
        """The window of an hour of right ascension on a sidereal day."""
        return Window(self.first_min + 1440 * day + 60 * hour, 60)

    def mjd(self, day: int, hour: int) -> float:
        """Middle of a window."""
        window = self.window(day, hour)
        return unix_to_mjd(0.5 * (window.start_s + window.end_s))

    def photometry(self, day: int, hour: int) -> Photometry:
        """Photometry of an epoch with noise."""
        index = np.flatnonzero(self.hour == hour)
        count, error = index.size, np.full(index.size, 0.0004)
        flux = self.flux_jy[index] + np.random.default_rng([day, hour]).normal(0, 0.0004, count)
        return Photometry(
            fits_path=Path(f"/products/mosaics/{self.window(day, hour).key(163)}.fits"), mjd=self.mjd(day, hour),
            freq_hz=1.4e9, beam=Beam(25.0, 18.0, 10.0), error_scale=1.1, calibration_class="same transit",
            source_id=np.array([f"S{number}" for number in index]), ra_deg=self.ra_deg[index],
            dec_deg=self.dec_deg[index], flux_jy=flux, flux_error_jy=error, local_rms_jy=error, pb=np.full(count, 0.9),
            edge_distance_deg=np.full(count, 0.5), centre_distance_deg=np.abs(self.ra_deg[index] % 15 - 7.5),
            blend_group=np.full(count, -1), flags=np.zeros(count, dtype=np.int64),
        )  # fmt: skip


def fill(store: Store, strip: Strip, days: int) -> None:
    """Write the history without the store's own commits, in the order of its rows."""
    engine, table = store.database.engine, tables.Measurement.__table__
    count = len(strip.ra_deg)
    pixels = pixels_of(strip.ra_deg, strip.dec_deg).tolist()
    sources = [
        {"id": number + 1, "name": f"J{number:06d}", "kind": "catalogue", "ra_deg": ra, "dec_deg": dec,
         "healpix": pixel, "created_at": 0.0}
        for number, (ra, dec, pixel) in enumerate(
            zip(strip.ra_deg.tolist(), strip.dec_deg.tolist(), pixels, strict=True)
        )
    ]  # fmt: skip
    mjd = np.array([[strip.mjd(day, hour) for hour in range(24)] for day in range(days)])
    epochs = [
        {"id": 24 * day + hour + 1, "epoch": strip.window(day, hour).key(163), "processing": "live",
         "fits_path": "/x.fits", "mjd": float(mjd[day, hour]), "error_scale": 1.1, "factor": 1.0, "factor_error": 0.005,
         "offset_jy": 0.0, "scatter": 0.002, "reference_sources": 200, "is_accepted": True, "reason": "",
         "source_count": 0, "created_at": 0.0, "calibration_class": "same transit"}
        for day in range(days) for hour in range(24)
    ]  # fmt: skip
    index = next(index for index in table.indexes if "epoch" in str(index.name))  # type: ignore[attr-defined]
    with engine.execution_options(begin="IMMEDIATE").begin() as connection:
        connection.execute(insert(tables.Source.__table__), sources)  # type: ignore[arg-type]
        identifiers = [{"catalogue": "nvss", "identifier": f"S{n}", "source_id": n + 1} for n in range(count)]
        connection.execute(insert(tables.SourceIdentifier.__table__), identifiers)  # type: ignore[arg-type]
        connection.execute(insert(tables.MeasuredEpoch.__table__), epochs)  # type: ignore[arg-type]
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT setval(pg_get_serial_sequence('sources', 'id'), :n)"), {"n": count})
            numbered = text("SELECT setval(pg_get_serial_sequence('measured_epochs', 'id'), :n)")
            connection.execute(numbered, {"n": len(epochs)})
        index.drop(connection)
    for first in range(0, count, CHUNK):
        chosen = np.arange(first, min(first + CHUNK, count))
        with engine.execution_options(begin="IMMEDIATE").begin() as connection:
            fill_chunk(connection, strip, chosen, mjd)
    with engine.execution_options(begin="IMMEDIATE").begin() as connection:
        Index(index.name, *(table.c[column.name] for column in index.columns)).create(connection, checkfirst=True)
        connection.execute(text("ANALYZE"))


def fill_chunk(connection: Any, strip: Strip, chosen: Any, mjd: Any) -> None:
    """Write the measurements and the statistics of some sources."""
    days = len(mjd)
    ids, hour = np.repeat(chosen + 1, days), np.repeat(strip.hour[chosen], days)
    day_index = np.tile(np.arange(days), len(chosen))
    points = np.zeros(len(ids), dtype=POINT)
    points["source_id"], points["mjd"] = ids, mjd[day_index, hour]
    flux = np.repeat(strip.flux_jy[chosen], days)
    flux += np.random.default_rng(int(chosen[0])).normal(0, 0.0004, len(ids))
    for number in np.unique(hour):
        for day in (0, days - 1):  # the days of a source follow one another
            is_hour = (hour == number) & (day_index == day)
            points["day"][is_hour] = transit_day(strip.ra_deg[ids[is_hour] - 1], float(mjd[day, number]))
    starts = points["day"][::days]
    points["day"] = np.repeat(starts, days) + day_index
    points["flux_jy"], points["error_jy"] = SCALE.apply(flux, np.full(len(ids), 0.0004))
    centre = np.rint(3600 * np.abs(np.repeat(strip.ra_deg[chosen], days) % 15 - 7.5)).astype(int)
    rows = zip(
        ids.tolist(), points["day"].tolist(), (24 * day_index + hour + 1).tolist(), flux.tolist(),
        np.full(len(ids), 0.0004).tolist(), centre.tolist(), strict=True,
    )  # fmt: skip
    names = (
        "source_id, day, epoch_id, flux_jy, flux_error_jy, centre_distance_arcsec, local_rms_jy, pb_permille,"
        " edge_distance_arcsec, flags, is_counted"
    )
    if connection.dialect.name == "sqlite":
        values = "(?, ?, ?, ?, ?, ?, 0.0004, 900, 1800, 0, 1)"
        driver = connection.connection.driver_connection
        driver.executemany(f"INSERT INTO measurements ({names}) VALUES {values}", rows)
    else:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        with (
            connection.connection.driver_connection.cursor() as cursor,
            cursor.copy(f"COPY measurements ({names}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row((*row, 0.0004, 900, 1800, 0, True))
    connection.execute(insert(tables.SourceStatistics.__table__), RunningStatistics.of(points).rows("live"))


def measure(work: Callable[[], Any], times: int) -> tuple[float, float, Any]:
    """Median and shortest seconds of a work, and its last result; others may be using the machine."""
    seconds, result = [], None
    for _ in range(times):
        began_s = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - began_s)
    return float(np.median(seconds)), float(np.min(seconds)), result


def add_epochs(store: Store, strip: Strip, days: int) -> tuple[float, float, float, int]:
    """Seconds to add an epoch of the next day, to remake it, and to remake one of the middle; sources of an epoch."""

    def commit(day: int, hour: int, shift_jy: float = 0.0) -> float:
        photometry = strip.photometry(day, hour)
        photometry = replace(photometry, flux_jy=photometry.flux_jy + shift_jy)
        began_s = time.perf_counter()
        store.sky.commit_measurements(strip.window(day, hour).key(163), None, photometry, SCALE, catalogue="nvss")
        return time.perf_counter() - began_s

    commit(days, 0)  # imports
    added = float(np.median([commit(days, hour) for hour in (3, 9, 15, 21)]))
    remade = float(np.median([commit(days, hour, 1e-4) for hour in (3, 9, 15, 21)]))
    middle = commit(days // 2, 3, 1e-4)
    return added, remade, middle, int(np.count_nonzero(strip.hour == 3))


def plain_insert_s(strip: Strip, directory: Path) -> float:
    """Seconds to insert the rows of an epoch into a table without an index, and to commit them."""
    photometry = strip.photometry(0, 3)
    columns = [photometry.flux_jy, photometry.flux_error_jy, photometry.local_rms_jy, photometry.pb, photometry.flags]
    with closing(sqlite3.connect(directory / "plain.sqlite3")) as connection:
        connection.execute("CREATE TABLE plain (source, flux, error, rms, pb, flags)")
        connection.commit()
        began_s = time.perf_counter()
        rows = zip(range(len(photometry)), *(column.tolist() for column in columns), strict=True)
        connection.executemany("INSERT INTO plain VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.commit()
        return time.perf_counter() - began_s


@contextmanager
def new_store(directory: Path, name: str, postgres: bool) -> Iterator[Store]:
    """A store in a file of its own, or in a PostgreSQL server of the benchmark's own."""
    if not postgres:
        store = Store.open(directory / f"{name}.sqlite3")
        yield store
        store.close()
        return
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from postgres_server import running_postgres

    with running_postgres() as server:
        store = Store.open(server.new_database())
        yield store
        store.close()


def main() -> int:
    """Print the figures; the exit status is 1 when a limit is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=60_000, help="Number of sources")
    parser.add_argument("--days", type=int, default=60, help="Days of history; 365 makes 22 million measurements")
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL in place of SQLite")
    parser.add_argument("--json", type=Path, help="write the figures to this file as JSON")
    options = parser.parse_args()
    print(machine())
    strip = Strip(options.sources)
    directory = Path(tempfile.mkdtemp(prefix="bench-light-curves-"))
    try:
        figures = run(strip, options.days, directory, options.postgres)
    finally:
        shutil.rmtree(directory)
    return report(figures, options.json)


def run(strip: Strip, days: int, directory: Path, postgres: bool) -> dict[str, float]:
    """Fill the stores and measure."""
    figures: dict[str, float] = {"measurements": float(len(strip.ra_deg) * days)}
    with new_store(directory, "short", postgres) as short:
        fill(short, strip, SHORT_DAYS)
        figures["short_epoch_s"] = add_epochs(short, strip, SHORT_DAYS)[0]
    with new_store(directory, "long", postgres) as store:
        began_s = time.perf_counter()
        fill(store, strip, days)
        figures["fill_s"] = time.perf_counter() - began_s
        path = directory / "long.sqlite3"
        figures["gigabytes"] = path.stat().st_size / 1e9 if path.exists() else float("nan")
        numbers = iter(np.random.default_rng(3).integers(1, len(strip.ra_deg), 1000).tolist())
        store.sky.light_curve(1)
        figures["curve_s"], figures["curve_min_s"], _ = measure(lambda: store.sky.light_curve(next(numbers)), 100)
        rows_of_source = text("SELECT * FROM measurements WHERE source_id = :number ORDER BY day")

        def plain_curve() -> Any:
            with store.database.read() as session:
                return session.execute(rows_of_source, {"number": next(numbers)}).all()

        figures["plain_curve_s"], _, _ = measure(plain_curve, 100)
        figures["plane_s"], figures["plane_min_s"], plane = measure(store.sky.eta_v, 5)
        figures["plane_sources"] = float(len(plane))
        plane_rows = text("SELECT source_id, n, weighted_mean_jy, eta, modulation_index, vs, m FROM source_statistics")

        def plain_plane() -> Any:
            with store.database.read() as session:
                return session.execute(plane_rows).all()

        figures["plain_plane_s"], _, _ = measure(plain_plane, 5)
        figures["cone_s"], _, _ = measure(lambda: store.sky.cone(24.4, 16.3, 0.5), 5)
        epoch_s, remade_s, middle_s, sources = add_epochs(store, strip, days)
        figures |= {"epoch_s": epoch_s, "remade_s": remade_s, "middle_s": middle_s, "epoch_sources": float(sources)}
    figures["plain_epoch_s"] = plain_insert_s(strip, directory)
    return figures


def report(figures: dict[str, float], path: Path | None) -> int:
    """Print the table and what exceeds its limit."""
    ratios = {
        "curve": figures["curve_s"] / figures["plain_curve_s"], "plane": figures["plane_s"] / figures["plain_plane_s"],
        "epoch": figures["epoch_s"] / figures["plain_epoch_s"],
    }  # fmt: skip
    growth = figures["epoch_s"] / figures["short_epoch_s"]
    print(
        f"{figures['measurements'] / 1e6:.1f} million measurements, {figures['gigabytes']:.2f} GB, filled in "
        f"{figures['fill_s']:.0f} s"
    )
    print(
        f"light curve        {1e3 * figures['curve_s']:8.1f} ms, shortest {1e3 * figures['curve_min_s']:.1f} ms; "
        f"{ratios['curve']:.1f} times the plain rows\n"
        f"plane              {1e3 * figures['plane_s']:8.0f} ms, shortest {1e3 * figures['plane_min_s']:.0f} ms, "
        f"{figures['plane_sources']:.0f} sources; "
        f"{ratios['plane']:.1f} times the plain rows\n"
        f"cone of 0.5 deg    {1e3 * figures['cone_s']:8.1f} ms\n"
        f"epoch added        {1e3 * figures['epoch_s']:8.0f} ms, {figures['epoch_sources']:.0f} sources; "
        f"{ratios['epoch']:.0f} times plain rows, {growth:.2f} times that after {SHORT_DAYS} days\n"
        f"epoch remade       {1e3 * figures['remade_s']:8.0f} ms\n"
        f"old epoch remade   {1e3 * figures['middle_s']:8.0f} ms"
    )
    faults = [
        f"{label} {value:.2f} (limit {limit:g})"
        for label, value, limit in (
            ("light curve, ms", 1e3 * figures["curve_s"], MAX_CURVE_MS),
            ("plane, s", figures["plane_min_s"], MAX_PLANE_S),
            ("epoch over that of a short history", growth, MAX_EPOCH_RATIO),
        )
        if value > limit
    ]  # fmt: skip
    print("\n".join(faults) or "all limits are met")
    if path:
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
