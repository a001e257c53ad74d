"""The drifting primary beam against a plain average over integrations and channels."""

import numpy as np
import pytest
from astropy.io import fits
from point_source_ms import SOURCES, direction_cosines, separation_rad

from contimg.formats.ms.info import read_ms_info
from contimg.instrument import dsa110 as telescope
from contimg.tile.image.gridding.gridder import Gridder
from contimg.tile.image.gridding.primary_beam import average_primary_beam
from contimg.tile.image.gridding.visibilities import read_visibilities, select_rows


def test_primary_beam_is_average_over_drift(tile_ms):
    ms = read_ms_info(tile_ms)
    data = read_visibilities(ms, select_rows(ms), "DATA", 1)
    # Half of the tile's time has hardly any weight, so that an average without weights would be off.
    weights = data.weights * np.where(data.times < 3, 1.0, 0.01)[:, None].astype(np.float32)
    gridder = Gridder(data, weights, 1280, np.deg2rad(6 / 3600), 1)
    picture = average_primary_beam(ms, gridder)
    by_time = np.bincount(data.times, weights.sum(axis=1))
    by_channel = weights.sum(axis=0)
    for source in SOURCES:
        place = source.direction()
        expected = sum(
            share * (telescope.primary_beam(separation_rad(place, np.rad2deg(at)), data.freqs_hz) @ by_channel)
            for share, at in zip(by_time, ms.pointing_rad, strict=True)
        ) / (by_time.sum() * by_channel.sum())
        x, y = _pixel(source, 1280)
        assert picture[y, x] == pytest.approx(expected, abs=1e-3)
    assert 0.9 < picture.max() < 1.0


def test_primary_beam_file_has_image_geometry(tile):
    image, beam = (fits.getheader(path) for path in (tile.products.fits, tile.products.primary_beam))
    for key in ("NAXIS1", "CTYPE1", "CRVAL1", "CRPIX1", "CDELT1", "CRVAL2", "CDELT2", "CALSET"):
        assert image[key] == beam[key]


def _pixel(source, size):
    east, north, _ = direction_cosines(*source.direction())
    scale = np.deg2rad(6 / 3600)
    return size // 2 - round(east / scale), size // 2 + round(north / scale)
