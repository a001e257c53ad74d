"""Measure what the image viewer waits for: a view of a FITS image, averaged to the pixels of the screen.

    python benchmarks/bench_viewer.py [--sides 2400 4800] [--columns 390 740 1400]

A view is a request of the panel: file, area average and encoding. The ratio is to a plain read of the same pixels.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from astropy.io import fits
from machine import machine

from web.tiles.pixels import Region, encode_bfloat16, open_plane

LIMIT_MS = 100.0
REPEATS = 7


def measure_ms(run: Callable[[], object]) -> tuple[float, float]:
    """Return the median of the elapsed and of the processor time of a call, after a first one that is not counted."""
    run()
    elapsed, processor = [], []
    for _ in range(REPEATS):
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        run()
        elapsed.append(1e3 * (time.perf_counter() - start_s))
        processor.append(1e3 * (time.process_time() - start_cpu_s))
    return statistics.median(elapsed), statistics.median(processor)


def read_plain(path: Path, width: int) -> float:
    """Read a square of pixels and sum it."""
    return float(fits.getdata(path)[0, 0, :width, :width].sum())


def send_view(path: Path, region: Region) -> bytes:
    """Return what the panel sends for a view."""
    return encode_bfloat16(open_plane(path).average(region))


def main() -> int:
    """Print the times; the exit status is 1 when the processor time of a view is above `LIMIT_MS`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[2400, 4800], help="Pixels of the images")
    parser.add_argument("--columns", type=int, nargs="+", default=[390, 740, 1400], help="Pixels of the screen")
    options = parser.parse_args()
    print(machine())
    print("pixels  view        screen  elapsed ms  processor ms  over a plain read     kB")
    slowest_ms = 0.0
    with tempfile.TemporaryDirectory(prefix="bench-viewer-") as directory:
        for side in options.sides:
            path = Path(directory) / f"{side}.fits"
            data = np.random.default_rng(side).standard_normal((side, side), dtype=np.float32)
            fits.PrimaryHDU(data[None, None]).writeto(path)
            for name, width in (("whole", side), ("a quarter", side / 2)):
                plain_ms, _ = measure_ms(partial(read_plain, path, int(width)))
                for columns in options.columns:
                    shown = min(columns, int(width))
                    send = partial(send_view, path, Region(0, 0, width, width, shown, shown))
                    elapsed_ms, cpu_ms = measure_ms(send)
                    slowest_ms = max(slowest_ms, cpu_ms)
                    print(
                        f"{side:6d}  {name:10s}  {shown:6d}  {elapsed_ms:10.1f}  {cpu_ms:12.1f}"
                        f"  {elapsed_ms / plain_ms:17.1f}  {len(send()) / 1e3:5.0f}"
                    )
    print(f"slowest view: {slowest_ms:.1f} ms of processor time, limit {LIMIT_MS:.0f} ms")
    return int(slowest_ms > LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
