"""The drifting primary beam against a plain average over integrations and channels."""

import numpy as np
import pytest
from astropy.io import fits
from point_source_ms import SOURCES, direction_cosines, separation_rad

from contimg.formats.ms.info import read_ms_info
from contimg.instrument import dsa110 as telescope
from contimg.instrument.beam_table import BeamEntry, install_entry
from contimg.tile.image import ImageOptions, image
from contimg.tile.image.fits_image import compute_flat_sky_weight
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


def test_half_power_mask_is_beside_corrected_image(tile):
    with fits.open(tile.products.corrected) as units, fits.open(tile.products.primary_beam) as pb_units:
        mask, pb = units["HALFPOWER"], np.squeeze(pb_units[0].data)
        np.testing.assert_array_equal(mask.data, pb >= 0.5)
        assert 0 < mask.data.mean() <= 1
        names = ("CTYPE1", "CRVAL1", "CRPIX2", "CDELT2")
        assert [mask.header[name] for name in names] == [units[0].header[name] for name in names]
        assert pb_units[0].header["PBWIDTH"] == 1.0


def test_flat_sky_weight_is_inverse_variance(tile):
    with fits.open(tile.products.corrected) as units, fits.open(tile.products.primary_beam) as pb_units:
        weight, corrected, pb = units["WEIGHT"], np.squeeze(units[0].data), np.squeeze(pb_units[0].data)
        np.testing.assert_array_equal(weight.data > 0, np.isfinite(corrected))
        y, x = 200, 500
        assert weight.data[y, x] == pytest.approx((pb[y, x] / tile.rms_jy) ** 2, rel=1e-5)
        assert weight.header["CRVAL1"] == units[0].header["CRVAL1"]
        # Corrected noise over that of the weights; sources are the tail that the median does not see.
        pulls = (corrected * np.sqrt(weight.data))[weight.data > 0]
        assert 1.4826 * np.median(np.abs(pulls)) == pytest.approx(1.0, abs=0.05)
    unknown = np.full((4, 4), np.nan, np.float32)
    assert not compute_flat_sky_weight(unknown, 1e-3).any()
    assert not compute_flat_sky_weight(np.ones((4, 4), np.float32), 0.0).any()


def test_installed_width_widens_primary_beam_of_image(tile_ms, tmp_path, monkeypatch):
    ms = read_ms_info(tile_ms)
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(tmp_path))
    distance_rad = np.deg2rad(1.2)
    before = float(telescope.primary_beam(distance_rad, 1.4e9, ms.dish_diameter_m, ms.mid_mjd))
    install_entry(BeamEntry(1.15, 0.01, ms.mid_mjd - 1, ms.mid_mjd + 1, ms.mid_mjd, 5, 20))
    options = ImageOptions(size=256, pixel_arcsec=40.0, iterations=1)
    tile_image = image(tile_ms, tmp_path / "images", options)
    with fits.open(tile_image.products.primary_beam) as units:
        assert units[0].header["PBWIDTH"] == 1.15
        pb = np.squeeze(units[0].data)
    column = 128 + round(1.2 * 3600 / 40)
    after = float(telescope.primary_beam(distance_rad, 1.4e9, ms.dish_diameter_m, ms.mid_mjd))
    assert after > before + 0.07
    assert pb[128, column] == pytest.approx(after, abs=0.01)
