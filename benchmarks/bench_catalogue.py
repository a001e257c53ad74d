"""Build a catalogue of 2 million sources from a table as published, query cones, and compare both with plain work.

    make bench-catalogue
    make bench-catalogue ARGS="--sources 200000"

The table has the layout of nvss.dat (CDS VIII/65) and sources of the counts at 1.4 GHz, without an order. The build is
compared with the plain work of reading the same lines and writing the same columns to an SQLite table without an order
or marks; a cone with the separation of every source, held in memory. Each runs in a process of its own, whose highest
memory is measured. Limits at 2 million sources: 60 core seconds for the build, 50 ms for a cone of 2 degrees, and a
memory that grows by at most 60 MB from a tenth of the sources.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine

from contimg.sky.catalogue.counts import COUNTS_MJY, COUNTS_PER_DEG2

MAX_BUILD_S, MAX_CONE_MS, MAX_GROWTH_MB = 60.0, 50.0, 60.0
ROWS = 50_000  # of a batch
MIN_DEC_DEG = -40.0

CHILD = """
import json, resource, sys, time
start_cpu_s, start_s = time.process_time(), time.perf_counter()
{work}
memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({{"core_s": time.process_time() - start_cpu_s, "seconds": time.perf_counter() - start_s,
                  "mb": memory_mb, "result": result}}))
"""
BUILD = """
from pathlib import Path
from contimg.sky.catalogue.build import BuildOptions, build_catalogue
result = build_catalogue(Path(sys.argv[2]), "nvss", Path(sys.argv[1]), BuildOptions(preset="nvss")).n_sources
"""
PLAIN_BUILD = """
import sqlite3
def rows():
    with open(sys.argv[1], encoding="utf-8") as file:
        for line in file:
            ra_deg = 15 * (float(line[40:42]) + float(line[43:45]) / 60 + float(line[46:51]) / 3600)
            sign = -1 if line[52] == "-" else 1
            dec_deg = sign * (float(line[53:55]) + float(line[56:58]) / 60 + float(line[59:63]) / 3600)
            yield (line[25:39], ra_deg, dec_deg, float(line[64:69]), float(line[70:74]), float(line[75:83]),
                   float(line[84:91]), float(line[93:98]), float(line[100:105]))
connection = sqlite3.connect(sys.argv[2])
connection.execute("CREATE TABLE sources (source_id, ra, dec, ra_error, dec_error, flux, flux_error, major, minor)")
connection.executemany("INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows())
connection.commit()
(result,) = connection.execute("SELECT count(*) FROM sources").fetchone()
"""
CONES = """
import numpy as np
from contimg.sky.catalogue import open_catalogue
catalogue, rng, times, counts = open_catalogue(sys.argv[2]), np.random.default_rng(1), [], []
for ra_deg, dec_deg in zip(rng.uniform(0, 360, 40), rng.uniform(-38, 90, 40)):
    began_s = time.perf_counter()
    counts.append(len(catalogue.cone(ra_deg, dec_deg, 2.0)))
    times.append(1e3 * (time.perf_counter() - began_s))
result = [float(np.median(times)), float(np.max(times)), float(np.median(counts))]
"""
PLAIN_CONES = """
import numpy as np
from contimg.sky.catalogue import open_catalogue
batches = [(batch.ra_deg, batch.dec_deg) for batch in open_catalogue(sys.argv[2]).batches()]
ra, dec = np.deg2rad(np.concatenate(batches, axis=1))
rng, times, counts = np.random.default_rng(1), [], []
for ra0, dec0 in np.deg2rad(np.stack([rng.uniform(0, 360, 40), rng.uniform(-38, 90, 40)], axis=1)):
    began_s = time.perf_counter()
    cosines = np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(ra - ra0)
    counts.append(int(np.count_nonzero(cosines >= np.cos(np.deg2rad(2.0)))))
    times.append(1e3 * (time.perf_counter() - began_s))
result = [float(np.median(times)), float(np.max(times)), float(np.median(counts))]
"""


def write_table(path: Path, count: int) -> None:
    """Write a table in the layout of nvss.dat."""
    rng = np.random.default_rng(18)
    low = np.sin(np.deg2rad(MIN_DEC_DEG))
    per_deg2 = count / (360 * np.rad2deg(1 - low))
    with path.open("w", encoding="utf-8") as file:
        for first in range(0, count, ROWS):
            size = min(ROWS, count - first)
            density = per_deg2 * rng.random(size)
            flux_mjy = np.exp(np.interp(-np.log(density), -np.log(COUNTS_PER_DEG2), np.log(COUNTS_MJY)))
            ra_s = rng.uniform(0, 86400, size)
            dec_arcsec = 3600 * np.rad2deg(np.arcsin(rng.uniform(low, 1.0, size)))
            columns = zip(
                range(first, first + size), ra_s.tolist(), dec_arcsec.tolist(), flux_mjy.tolist(), strict=True
            )
            file.writelines(format_line(*row) for row in columns)


def format_line(number: int, ra_s: float, dec_arcsec: float, flux_mjy: float) -> str:
    """A line of the table; the minor axis is an upper limit, as the major one."""
    hundredths, tenths = min(int(100 * ra_s), 8_639_999), int(10 * abs(dec_arcsec))
    hours, minutes, seconds = hundredths // 360_000, hundredths // 6000 % 60, hundredths % 6000 / 100
    degrees, arcminutes, arcseconds = tenths // 36_000, tenths // 600 % 60, tenths % 600 / 10
    return (
        f"C0000P00{'':17}{number:014d} {hours:02d} {minutes:02d} {seconds:05.2f} {'-' if dec_arcsec < 0 else '+'}"
        f"{degrees:02d} {arcminutes:02d} {arcseconds:04.1f} {0.1:5.2f}  {1.5:3.1f} {flux_mjy:8.1f} "
        f"{0.45 + 0.03 * flux_mjy:7.1f} <{60.0:5.1f}  {50.0:5.1f}".ljust(158)
        + "\n"
    )


def run(work: str, *paths: Path) -> dict[str, Any]:
    """Run a contestant in a process of its own; return its core seconds, seconds, memory and result."""
    command = [sys.executable, "-c", CHILD.format(work=work), *map(str, paths)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # type: ignore[no-any-return]


def main() -> int:
    """Print the table; the exit status is 1 when a limit is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=2_000_000, help="Number of sources")
    parser.add_argument("--json", type=Path, help="write the figures to this file as JSON")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="bench-catalogue-") as name:
        directory = Path(name)
        table, small, catalogue = directory / "nvss.dat", directory / "small.dat", directory / "nvss.catalogue"
        write_table(table, options.sources)
        write_table(small, options.sources // 10)
        tenth = run(BUILD, small, directory / "small.catalogue")
        build, plain = run(BUILD, table, catalogue), run(PLAIN_BUILD, table, directory / "plain.sqlite")
        cones, plain_cones = run(CONES, table, catalogue), run(PLAIN_CONES, table, catalogue)
    growth_mb = build["mb"] - tenth["mb"]
    print(f"{options.sources} sources          core s  seconds  peak MB   ratio")
    for label, figures in (("a tenth of them", tenth), ("build", build), ("plain table", plain)):
        ratio = build["core_s"] / figures["core_s"]
        print(f"{label:22} {figures['core_s']:8.1f} {figures['seconds']:8.1f} {figures['mb']:8.0f} {ratio:7.2f}")
    print("cone of 2 deg        median ms   max ms  sources   ratio")
    for label, figures in (("cone", cones), ("all separations", plain_cones)):
        median_ms, max_ms, sources = figures["result"]
        ratio = cones["result"][0] / median_ms
        print(f"{label:20} {median_ms:10.1f} {max_ms:8.1f} {sources:8.0f} {ratio:7.2f}   {figures['mb']:.0f} MB")
    faults = [
        f"{label} {value:.0f} {unit} (limit {limit:g} {unit})"
        for label, value, limit, unit in (
            ("build", build["core_s"], MAX_BUILD_S, "core s"), ("cone", cones["result"][0], MAX_CONE_MS, "ms"),
            ("growth of the memory", growth_mb, MAX_GROWTH_MB, "MB"),
        )
        if value > limit
    ]  # fmt: skip
    print("\n".join(faults) or f"all limits are met; the memory grows by {growth_mb:.0f} MB from a tenth")
    if options.json:
        figures = {"build": build, "plain_build": plain, "cone": cones, "plain_cone": plain_cones, "tenth": tenth}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
