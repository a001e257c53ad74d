"""Mosaics of a smooth sky, with weights that taper like a primary beam; arithmetic and astropy's coordinates alone."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

SOURCES = ((0.3, 16.4, 0.5), (359.2, 15.7, 0.2), (358.9, 16.6, 1.0), (1.1, 15.9, 0.05))  # ra, dec (deg), peak (Jy)
FWHM_ARCSEC = 300.0


def true_flux(ra_deg, dec_deg, scale=1.0):
    """Jy per beam at directions: Gaussian sources of `FWHM_ARCSEC`, on the sphere."""
    flux = np.zeros(np.shape(ra_deg))
    for ra, dec, peak in SOURCES:
        x = ((np.asarray(ra_deg) - ra + 180) % 360 - 180) * np.cos(np.deg2rad(dec)) * 3600
        y = (np.asarray(dec_deg) - dec) * 3600
        flux += scale * peak * np.exp(-4 * np.log(2) * (x**2 + y**2) / FWHM_ARCSEC**2)
    return flux


def write_mosaic(
    path: Path, ra_deg=0.0, dec_deg=16.2, *, shape=(160, 260), cell_arcsec=60.0, scale=1.0, peak_weight=1e7
) -> Path:
    """Write `path` and its weights; blank where the weight is below 3 % of the highest."""
    wcs = WCS(naxis=4)
    wcs.wcs.ctype = ["RA---ZEA", "DEC--ZEA", "FREQ", "STOKES"]
    wcs.wcs.crval, wcs.wcs.crpix = [ra_deg, dec_deg, 1.405e9, 1], [shape[1] / 2, shape[0] / 2, 1, 1]
    wcs.wcs.cdelt, wcs.wcs.cunit = [-cell_arcsec / 3600, cell_arcsec / 3600, 1.875e8, 1], ["deg", "deg", "Hz", ""]
    wcs.wcs.radesys = "ICRS"
    y, x = np.indices(shape)
    flux = true_flux(*wcs.celestial.wcs_pix2world(x, y, 0), scale).astype(np.float32)
    radius = np.hypot(2 * x / shape[1] - 1, 2 * y / shape[0] - 1)
    weight = (peak_weight * np.exp(-4 * radius**2)).astype(np.float32)
    weight[weight < 0.03 * peak_weight] = 0
    flux[weight == 0] = np.nan
    header = wcs.to_header()
    header.update({"RMS": 3e-4, "RESTFRQ": 1.405e9, "MJD-BEG": 61093.1, "MJD-END": 61093.15})
    for target, data in ((path, flux), (path.with_name(f"{path.stem}.weight.fits"), weight)):
        fits.PrimaryHDU(data[None, None], header).writeto(target, overwrite=True, checksum=True)
    return path
