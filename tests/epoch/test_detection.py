"""Blind detections in an image with known sources."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from contimg.epoch.photometry.detection import detect_sources
from contimg.epoch.photometry.image import read_restored_image

RNG = np.random.default_rng(4)
CELL_ARCSEC, BEAM_ARCSEC, RMS_JY = 6.0, 24.0, 1e-3
SOURCES = [(60.3, 70.8, 0.05), (200.0, 120.0, 0.02), (240.4, 250.2, 5.0), (255.0, 260.0, 0.03)]  # x, y, Jy


def write_image(path: Path) -> Path:
    noise = RNG.standard_normal((320, 320))
    y, x = np.indices(noise.shape)
    sigma = BEAM_ARCSEC / CELL_ARCSEC / np.sqrt(8 * np.log(2))
    data = RMS_JY * noise
    for column, row, flux_jy in SOURCES:
        data = data + flux_jy * np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * sigma**2))
    header = fits.Header()
    header.update(
        CTYPE1="RA---SIN", CTYPE2="DEC--SIN", CRVAL1=0.0, CRVAL2=16.0, CRPIX1=160.5, CRPIX2=160.5,
        CDELT1=-CELL_ARCSEC / 3600, CDELT2=CELL_ARCSEC / 3600, CUNIT1="deg", CUNIT2="deg", BUNIT="JY/BEAM",
        BMAJ=BEAM_ARCSEC / 3600, BMIN=BEAM_ARCSEC / 3600, BPA=0.0, RESTFRQ=1.4e9,
    )  # fmt: skip
    fits.writeto(path, data.astype(np.float32), header)
    fits.writeto(path.with_suffix(".rms.fits"), np.full(data.shape, RMS_JY, dtype=np.float32), header)
    return path


def test_sources_are_detected_across_ra_0h(tmp_path: Path) -> None:
    image = read_restored_image(write_image(tmp_path / "mosaic.fits"))
    detections = detect_sources(image, 6.0)
    bright = [2, 0, 1]  # the source of 30 mJy is within ten beams of 5 Jy: it may be a sidelobe
    expected = image.wcs.wcs_pix2world([SOURCES[index][:2] for index in bright], 0)
    assert len(detections) == 3
    assert detections.flux_jy == pytest.approx([SOURCES[index][2] for index in bright], abs=4 * RMS_JY)
    east = (detections.ra_deg - expected[:, 0] + 180) % 360 - 180
    assert (np.abs(east) * 3600 < 4 * detections.position_error_arcsec + 0.05).all()
    assert (np.abs(detections.dec_deg - expected[:, 1]) * 3600 < 4 * detections.position_error_arcsec + 0.05).all()
    assert sorted(ra > 180 for ra in detections.ra_deg) == [False, True, True]
    assert detections.name[1].startswith("J0000")
    assert detections.rms_jy == pytest.approx(RMS_JY, rel=0.2)


def test_all_of_many_sources_are_detected(tmp_path: Path) -> None:
    """A mosaic of an hour has more than 2,000 sources."""
    size, step = 1040, 20
    steps = np.arange(-8, 9.0)
    sigma = BEAM_ARCSEC / CELL_ARCSEC / np.sqrt(8 * np.log(2))
    beam = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * sigma**2))
    data = RMS_JY * np.random.default_rng(5).standard_normal((size, size))
    for row in range(step, size - step, step):
        for column in range(step, size - step, step):
            data[row - 8 : row + 9, column - 8 : column + 9] += 0.03 * beam
    path = write_image(tmp_path / "mosaic.fits")
    header = fits.getheader(path)
    fits.writeto(path, data.astype(np.float32), header, overwrite=True)
    fits.writeto(path.with_suffix(".rms.fits"), np.full(data.shape, RMS_JY, np.float32), header, overwrite=True)
    assert 2450 < len(detect_sources(read_restored_image(path), 6.0)) <= 2500


def test_nothing_above_the_limit(tmp_path: Path) -> None:
    image = read_restored_image(write_image(tmp_path / "mosaic.fits"))
    assert len(detect_sources(image, 1e5)) == 0
