"""Strips of synthetic tile images and their mosaics; the images are arithmetic and astropy's coordinates alone."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))

from tile_images import SMALL, random_sky, strip, write_strip

from contimg.epoch.mosaic import make_mosaic

STRIPS = {"+16 across 0h": (0.4, 16.3), "+37": (150.0, 37.0), "+68": (210.0, 68.0)}


@pytest.fixture(
    scope="session", params=["+16 across 0h", *(pytest.param(name, marks=pytest.mark.long) for name in ("+37", "+68"))]
)
def hour(request, tmp_path_factory):
    """Five tiles that differ in beam, level, noise and position; their sky, specifications and mosaic."""
    ra, dec = STRIPS[request.param]
    directory = tmp_path_factory.mktemp("hour")
    specs = [
        replace(
            spec, beam=(110.0 + 3 * number, 84.0 - 2 * number, 20.0 + 5 * number), rms_jy=3e-4 + 3e-5 * (number % 2),
            background_jy=1e-4 * (number - 2), shift_arcsec=(8.0 * (number % 2), -5.0 * (number % 3)),
        )
        for number, spec in enumerate(strip(ra, dec, 5))
    ]  # fmt: skip
    sky = random_sky(ra, dec, 8.5, 3.3, 300)
    paths = write_strip(directory, specs, sky)
    return sky, specs, paths, make_mosaic(paths, directory / "hour.fits")


@pytest.fixture(scope="session")
def small_sky():
    return random_sky(80.0, 20.0, 6.0, 3.2, 30)


@pytest.fixture
def small_tiles(tmp_path, small_sky):
    """Three small tiles of one strip, for tests that change one of them."""
    return write_strip(tmp_path, strip(80.0, 20.0, 3, **SMALL), small_sky)
