"""Compile the numba kernels of the stages into numba's cache, so that the first tiles are not delayed by it.

    .venv/bin/python scripts/compile_kernels.py

Two small tiles are simulated in a temporary directory and pass through the stages of tile and epoch; what is compiled
there stays beside the package, or in NUMBA_CACHE_DIR. `scripts/setup.sh` runs it.
"""

import tempfile
import time
from pathlib import Path

from contimg.epoch.mosaic import MosaicOptions, make_mosaic
from contimg.epoch.photometry.run import measure_fluxes
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.simulation import SimulateOptions, plan_tiles, simulate_tile
from contimg.simulation.catalogue import write_sky_catalogue
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.run import calibrate
from contimg.tile.convert import ConvertOptions, convert
from contimg.tile.image import ImageOptions, image

# A neighbouring tile whose gains have changed enough for phases and amplitudes from the sky.
SCENE = SimulateOptions(
    groups=2, antennas=24, channels=48, seed=202, dead=1, rfi=True, phase_walk_deg=60.0, amplitude_walk=0.4
)
PICTURED = ImageOptions(size=512, pixel_arcsec=12.0)


def compile_kernels(directory: Path) -> None:
    """Run every stage once on small tiles.

    Parameters
    ----------
    directory : for the tiles and their products.
    """
    plans = plan_tiles(SCENE)
    catalogue = write_sky_catalogue(directory / "sky.catalogue", plans, SCENE)
    options = CalibrateOptions(catalogue=str(catalogue.path))
    sets: list[CaltableSet] = []
    images = []
    for plan in plans:
        tile = simulate_tile(plan, SCENE, directory / "subbands")
        ms = convert(tile.files, directory / f"{plan.group}.ms", ConvertOptions()).path
        calibrated = calibrate(ms, sets, directory / "calibration", options)
        sets += [calibrated.new_set] if calibrated.new_set else []
        images.append(image(ms, directory / "images", PICTURED).fits_path)
    mosaic = make_mosaic(images, directory / "mosaic.fits", MosaicOptions(), reference_catalogue=catalogue.path)
    measure_fluxes(mosaic.fits_path, catalogue.path)


if __name__ == "__main__":
    start_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="contimg-kernels-") as scratch:
        compile_kernels(Path(scratch))
    print(f"compile_kernels: numba's cache is complete after {time.perf_counter() - start_s:.0f} s")
