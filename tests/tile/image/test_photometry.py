"""Photometry on pictures whose sources are put in by hand."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from contimg.common.errors import BadInput
from contimg.tile.image.sources.photometry import measure_source


def write(path, x, y, flux, minor_arcsec=16.0, beam=True):
    header = fits.Header()
    for key, value in (("CTYPE1", "RA---SIN"), ("CTYPE2", "DEC--SIN"), ("CRVAL1", 359.99), ("CRVAL2", 55.0)):
        header[key] = value
    header["CRPIX1"] = header["CRPIX2"] = 129.0
    header["CDELT1"], header["CDELT2"] = -6 / 3600, 6 / 3600
    if beam:
        header["BMAJ"], header["BMIN"], header["BPA"] = 30 / 3600, minor_arcsec / 3600, 0.0
    rows, columns = np.indices((256, 256))
    sigma = np.array([minor_arcsec, 30.0]) / 6 / np.sqrt(8 * np.log(2))
    picture = flux * np.exp(-(((columns - x) / sigma[0]) ** 2) / 2 - ((rows - y) / sigma[1]) ** 2 / 2)
    fits.writeto(path, picture[None, None].astype(np.float32), header)
    return WCS(header).celestial


@pytest.mark.parametrize(("x", "y"), [(130.0, 120.0), (20.4, 200.37), (127.5, 12.5)])
def test_flux_of_source_between_pixels(tmp_path, x, y):
    wcs = write(tmp_path / "a.fits", x, y, 0.7)
    ra, dec = wcs.pixel_to_world_values(x, y)
    measured = measure_source(tmp_path / "a.fits", ra, dec)
    assert measured.apparent_jy == pytest.approx(0.7, rel=1e-3)
    assert measured.offset_arcsec < 0.01
    assert np.isnan(measured.flux_jy)


def test_offsets_in_arcseconds_and_beams(tmp_path):
    wcs = write(tmp_path / "a.fits", 100.0, 100.0, 1.0)
    across = measure_source(tmp_path / "a.fits", *wcs.pixel_to_world_values(101.0, 100.0))
    along = measure_source(tmp_path / "a.fits", *wcs.pixel_to_world_values(100.0, 101.0))
    assert (across.offset_arcsec, along.offset_arcsec) == pytest.approx((6.0, 6.0), abs=0.02)
    assert (across.offset_beams, along.offset_beams) == pytest.approx((6 / 16, 6 / 30), abs=0.002)


def test_flux_is_corrected_for_primary_beam(tmp_path):
    wcs = write(tmp_path / "a.fits", 40.3, 60.0, 0.5)
    slope = np.tile(np.linspace(0.2, 0.2 + 255 * 0.002, 256, dtype=np.float32), (256, 1))
    fits.writeto(tmp_path / "a.pb.fits", slope[None, None])
    measured = measure_source(tmp_path / "a.fits", *wcs.pixel_to_world_values(40.3, 60.0))
    assert measured.pb == pytest.approx(0.2 + 40.3 * 0.002, rel=1e-3)
    assert measured.flux_jy == pytest.approx(0.5 / measured.pb, rel=1e-3)


def test_unmeasurable_position_is_bad_input(tmp_path):
    write(tmp_path / "a.fits", 40.0, 60.0, 0.5)
    with pytest.raises(BadInput, match=r"a\.fits\b.*\b10\.0.*\b55\.0"):
        measure_source(tmp_path / "a.fits", 10.0, 55.0)
    with pytest.raises(BadInput, match=r"a\.fits\b.*\b180\.0.*-55\.0"):
        measure_source(tmp_path / "a.fits", 180.0, -55.0)
    write(tmp_path / "b.fits", 40.0, 60.0, 0.5, beam=False)
    with pytest.raises(BadInput, match=r"b\.fits\b.*BMAJ"):
        measure_source(tmp_path / "b.fits", 359.99, 55.0)
    (tmp_path / "c.fits").write_bytes(b"not FITS")
    with pytest.raises(BadInput, match=r"c\.fits\b"):
        measure_source(tmp_path / "c.fits", 359.99, 55.0)
