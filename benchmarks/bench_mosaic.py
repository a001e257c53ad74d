"""Mosaic 12 synthetic tile images at full size: time, memory, fluxes and positions against the truth.

    python benchmarks/bench_mosaic.py [--sizes 2048 4800] [--declination 16.3] [--ra 0.0] [--tiles 12]

The tiles are those of a drift scan with the telescope's cadence; beams, levels and positions differ between them.
The time of the processors is beside the elapsed one: other processes prolong only that.
Limits on two cores: 2048 pixels 30 s and 2 GiB, 4800 pixels 120 s and 4 GiB; fluxes 1 % in the median and 2 % rms after
noise, positions 0.1 beams, noise within 10 % of the prediction and 1.5 times lower than in a tile's half-power disk
(1.4 times south of +30 deg, where tiles overlap less).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import machine
from tile_images import Sky, measure_truth, random_sky, strip, write_strip

CELL_ARCSEC = {2048: 6.0, 4800: 3.0}
LIMITS = {2048: (30.0, 2.0), 4800: (120.0, 4.0)}  # seconds, GiB
SOURCES_PER_DEG2 = 12  # above 3 mJy, none within 0.1 deg of another

# In a process of its own, whose highest memory is the stage's; the first run compiles, the second is measured.
CHILD = """
import json, resource, sys, time
from pathlib import Path
from contimg.epoch.mosaic import make_mosaic
tiles = [Path(path) for path in sys.argv[2:]]
start, cpu = time.perf_counter(), time.process_time()
mosaic = make_mosaic(tiles, Path(sys.argv[1]))
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps({"seconds": seconds, "cpu": cpu, "gib": memory,
                  "steps": dict(mosaic.seconds), "verdict": mosaic.verdict,
                  "noise": mosaic.rms_jy / mosaic.expected_rms_jy, "rms": mosaic.rms_jy,
                  "tile_rms": mosaic.members[len(mosaic.members) // 2].rms_jy,
                  "shape": [mosaic.width_pixels, mosaic.height_pixels],
                  "seam": mosaic.flux_seam, "reasons": mosaic.verdict_reasons}))
"""


def run(output: Path, tiles: list[Path]) -> dict[str, float]:
    """Run the stage in a process of its own and return its time, memory and numbers."""
    command = [sys.executable, "-c", CHILD, str(output), *map(str, tiles)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # type: ignore[no-any-return]


def write_tiles(directory: Path, size: int, declination: float, ra: float, count: int) -> tuple[list[Path], Sky]:
    """Write the tiles of a strip that differ in beam, level and position."""
    cell = CELL_ARCSEC.get(size, 6.0 * 2048 / size)
    specs = [
        replace(
            spec, beam=(44 + number % 5, 28 - number % 3, 12.0 + 3 * number), background_jy=2e-5 * (number % 4 - 1.5),
            shift_arcsec=(1.5 * (number % 2) - 0.7, 1.2 * (number % 3) - 1.2),
        )
        for number, spec in enumerate(strip(ra, declination, count, size=size, cell_arcsec=cell))
    ]  # fmt: skip
    width = count * 1.29 * np.cos(np.deg2rad(declination)) + 2.5
    sky = random_sky(ra, declination, width, 3.4, round(SOURCES_PER_DEG2 * width * 3.4))
    return write_strip(directory, specs, sky), sky


def main() -> int:
    """Print the table; the exit status is 1 when a limit is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2048, 4800], help="Pixels of the images")
    parser.add_argument("--declination", type=float, default=16.3, help="Declination of the strip, deg")
    parser.add_argument("--ra", type=float, default=0.0, help="Right ascension of its middle, deg")
    parser.add_argument("--tiles", type=int, default=12, help="Number of tile images")
    options = parser.parse_args()
    print(machine())
    print(
        "pixels  mosaic         time s   CPU s  memory GiB  noise/predicted  tile/mosaic  flux ratio  rms     position"
    )
    failed = False
    for size in options.sizes:
        with tempfile.TemporaryDirectory(prefix="bench-mosaic-") as directory:
            tiles, sky = write_tiles(Path(directory), size, options.declination, options.ra, options.tiles)
            output = Path(directory) / "mosaic.fits"
            run(output, tiles[:2])  # compiles
            result = run(output, tiles)
            truth = measure_truth(output, sky, (tiles[len(tiles) // 2], result["tile_rms"]))
            shape = " x ".join(map(str, result["shape"]))  # type: ignore[arg-type]
            print(
                f"{size:6d}  {shape:13s}  {result['seconds']:6.1f}  {result['cpu']:6.1f}  "
                f"{result['gib']:10.2f}  {result['noise']:15.3f}  "
                f"{truth.depth_gain:11.2f}  {truth.ratio:10.4f}  {truth.rms:7.4f}  "
                f"{truth.offset_beams:.3f} beams"
            )
            print(
                f"        {result['verdict']}, {truth.sources} sources; steps {result['steps']}; seam {result['seam']}"
            )
            seconds, gib = LIMITS.get(size, (np.inf, np.inf))
            failed |= result["seconds"] > seconds or result["gib"] > gib
            failed |= abs(truth.ratio - 1) > 0.01 or truth.rms > 0.02 or truth.offset_beams > 0.1
            failed |= abs(result["noise"] - 1) > 0.1 or truth.depth_gain < (1.4 if options.declination < 30 else 1.5)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
