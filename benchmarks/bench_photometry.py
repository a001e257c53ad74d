"""Measure 10,000 positions of an epoch's mosaic: core seconds, memory, fluxes against the truth.

    python benchmarks/bench_photometry.py [--positions 10000] [--shape 2200 10300]

The image is noise convolved with the beam, with point sources at half of the positions. It is measured with its noise
in `.rms.fits` beside it, as the mosaic stage writes it, and without. Plain work is to read the same files and take the
nearest pixel at each position. The time of the processors is beside the elapsed one: other processes prolong only that.
Limits: 10 s on two cores, 2 GiB; median of the fluxes over the true ones within 1 %, pulls of unit width within 10 %.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from machine import machine
from numpy.typing import NDArray
from scipy.signal import oaconvolve
from scipy.spatial import cKDTree

CELL_ARCSEC, RMS_JY = 6.0, 3e-4
BEAM = 46.0, 28.0, 20.0  # arcsec, arcsec, deg
REACH = 20  # pixels around a source
LIMIT_S, LIMIT_GIB = 10.0, 2.0

# In a process of its own, whose highest memory is the measurement's; the first run compiles, the second is measured.
CHILD = """
import json, resource, sys, time
from pathlib import Path
import numpy as np
from contimg.epoch.photometry.run import measure_fluxes
start, cpu = time.perf_counter(), time.process_time()
measured = measure_fluxes(Path(sys.argv[1]), Path(sys.argv[2]))
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
np.save(sys.argv[3], np.stack([measured.flux_jy, measured.flux_error_jy, measured.flags]))
print(json.dumps({"seconds": seconds, "cpu": cpu, "gib": memory, "scale": measured.error_scale}))
"""
PLAIN = """
import json, sys, time
from pathlib import Path
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
start, cpu = time.perf_counter(), time.process_time()
path, table = Path(sys.argv[1]), np.loadtxt(sys.argv[2], delimiter=",", skiprows=1)
header, image = fits.getheader(path), np.squeeze(fits.getdata(path)).astype(np.float32)
x, y = np.rint(WCS(header).celestial.wcs_world2pix(table, 0)).astype(int).T
values, rms_path = image[y, x], path.with_name(path.name.removesuffix(".fits") + ".rms.fits")
if rms_path.exists():
    values = values / np.squeeze(fits.getdata(rms_path)).astype(np.float32)[y, x]
print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}))
"""


def beam_at(dx: NDArray[np.float64], dy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the beam at offsets in pixels, x to the west."""
    angle = np.deg2rad(BEAM[2])
    east, north = -dx * CELL_ARCSEC, dy * CELL_ARCSEC
    along, across = east * np.sin(angle) + north * np.cos(angle), east * np.cos(angle) - north * np.sin(angle)
    return np.asarray(2.0 ** (-4 * ((along / BEAM[0]) ** 2 + (across / BEAM[1]) ** 2)))


def write_mosaic(directory: Path, shape: tuple[int, int], count: int) -> tuple[Path, Path, NDArray[np.float64]]:
    """Write the image, the positions, and return both paths and the true fluxes."""
    rng = np.random.default_rng(1)
    steps = np.arange(-REACH, REACH + 1.0)
    kernel = beam_at(steps[None, :], steps[:, None])
    white = rng.standard_normal([length + 2 * REACH for length in shape]).astype(np.float32)
    image = oaconvolve(white, (kernel / np.sqrt(np.sum(kernel**2))).astype(np.float32), mode="valid") * RMS_JY
    # None nearer than a beam to another: the flux of two positions in one beam is that of both.
    pixels = rng.uniform(REACH + 1, np.array(shape[::-1]) - REACH - 2, (2 * count, 2))
    pairs = cKDTree(pixels).query_pairs(BEAM[0] / CELL_ARCSEC, output_type="ndarray")
    pixels = np.delete(pixels, np.unique(pairs[:, 1]), axis=0)[:count]
    flux_jy = np.where(np.arange(count) % 2, 0.0, RMS_JY * 5 / (1 - rng.uniform(0, 0.995, count)))
    for (x, y), flux in zip(pixels, flux_jy, strict=True):
        column, row = round(x), round(y)
        part = slice(row - REACH, row + REACH + 1), slice(column - REACH, column + REACH + 1)
        image[part] += flux * beam_at(column + steps[None, :] - x, row + steps[:, None] - y)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ("RA---ZEA", "DEC--ZEA"), (0.0, 33.0)
    wcs.wcs.crpix, wcs.wcs.cdelt = (shape[1] / 2, shape[0] / 2), (-CELL_ARCSEC / 3600, CELL_ARCSEC / 3600)
    header = wcs.to_header()
    header.update({"BUNIT": "JY/BEAM", "BMAJ": BEAM[0] / 3600, "BMIN": BEAM[1] / 3600, "BPA": BEAM[2]})
    path, table = directory / "mosaic.fits", directory / "positions.csv"
    fits.writeto(path, image.astype(">f4"), header)
    rows = (f"{ra:.8f},{dec:.8f}" for ra, dec in wcs.wcs_pix2world(pixels, 0))
    table.write_text("ra_deg,dec_deg\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path, table, flux_jy


def run(program: str, *arguments: Path) -> dict[str, float]:
    """Run a program in a process of its own and return its numbers."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # type: ignore[no-any-return]


def main() -> int:
    """Print the table; the exit status is 1 when a limit is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", type=int, default=10_000, help="Number of positions")
    parser.add_argument("--shape", type=int, nargs=2, default=[2200, 10_300], help="Rows and columns of the image")
    options = parser.parse_args()
    print(machine())
    print("noise       time s   CPU s  memory GiB  plain CPU s  ratio  flux ratio  pulls  blended")
    failed = False
    with tempfile.TemporaryDirectory(prefix="bench-photometry-") as scratch:
        path, table, flux_jy = write_mosaic(Path(scratch), tuple(options.shape), options.positions)
        output = Path(scratch) / "measured.npy"
        for name in ("measured", "rms.fits"):
            if name == "rms.fits":
                noise = np.full(options.shape, RMS_JY, dtype=">f4")
                fits.writeto(path.with_name("mosaic.rms.fits"), noise, fits.getheader(path))
            run(CHILD, path, table, output)  # compiles
            result, plain = run(CHILD, path, table, output), run(PLAIN, path, table)
            flux, error, flags = np.load(output)
            is_bright = flux_jy > 30 * RMS_JY
            chosen = is_bright & (flags == 0)
            ratio = float(np.median(flux[chosen] / flux_jy[chosen]))
            pulls = float(np.std(((flux - flux_jy) / error)[np.isfinite(error)]))
            print(
                f"{name:<10}  {result['seconds']:6.1f}  {result['cpu']:6.1f}  {result['gib']:10.2f}  "
                f"{plain['cpu']:11.2f}  {result['cpu'] / plain['cpu']:5.1f}  {ratio:10.4f}  {pulls:5.3f}  "
                f"{np.count_nonzero(flags):7d}"
            )
            failed |= result["cpu"] > 2 * LIMIT_S or result["gib"] > LIMIT_GIB
            failed |= abs(ratio - 1) > 0.01 or abs(pulls - 1) > 0.1
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
