"""The flux and position of a point source in a product: apparent, and corrected for the primary beam."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.optimize import least_squares

from contimg.errors import BadInput
from contimg.tile.image.deconvolution.restoring import gaussian
from contimg.tile.image.result import Beam

FITTED = 0.5  # the fit takes the pixels where the beam, put on the brightest one, is above this


@dataclass(frozen=True)
class Measured:
    """One source as an image shows it.

    Attributes
    ----------
    apparent_jy : peak of the beam fitted to it, Jy per beam.
    flux_jy : the same over the primary beam's attenuation there; nan when the product has no primary beam.
    attenuation : of the primary beam, nan when there is none.
    ra_deg, dec_deg : fitted position, ICRS.
    offset_arcsec : its distance from the position asked for.
    offset_beams : the same in units of the beam's full width in that direction.
    noise_jy : the image's noise (keyword RMS), nan if it does not say.
    """

    apparent_jy: float
    flux_jy: float
    attenuation: float
    ra_deg: float
    dec_deg: float
    offset_arcsec: float
    offset_beams: float
    noise_jy: float


def measure(fits_path: Path, ra_deg: float, dec_deg: float, search_beams: float = 1.0) -> Measured:
    """Fit the restoring beam to the brightest pixel within `search_beams` major axes of a position (ICRS, degrees).

    Raises BadInput when the position is not in the image or the file is no restored image.
    """
    image, header = _read(fits_path)
    beside = fits_path.with_name(fits_path.name.removesuffix(".fits") + ".pb.fits")
    attenuation = _read(beside)[0] if beside.exists() else None
    return measure_in(image, attenuation, header, ra_deg, dec_deg, search_beams, str(fits_path))


def measure_in(
    image: NDArray[np.floating],
    attenuation: NDArray[np.floating] | None,
    header: fits.Header,
    ra_deg: float,
    dec_deg: float,
    search_beams: float = 1.0,
    name: str = "the image",
) -> Measured:
    """`measure` in pictures of shape (y, x) that are in memory already."""
    beam, pixel_arcsec = _beam(name, header)
    wcs = WCS(header).celestial
    asked = np.array(wcs.all_world2pix(ra_deg, dec_deg, 0), dtype=np.float64)
    brightest = _brightest(image, asked, search_beams * beam.major_arcsec / pixel_arcsec)
    if brightest is None:
        raise BadInput(f"{name}: {ra_deg:.5f} {dec_deg:.5f} deg is not in the image; ask for a position inside")
    apparent, place = _fit(image, brightest, beam, pixel_arcsec)
    ra, dec = (float(value) for value in wcs.all_pix2world(*place, 0))
    away = place - asked
    passed = _at(attenuation, place)
    return Measured(
        apparent_jy=apparent,
        flux_jy=apparent / passed,
        attenuation=passed,
        ra_deg=ra % 360,
        dec_deg=dec,
        offset_arcsec=float(np.hypot(*away)) * pixel_arcsec,
        offset_beams=_in_beams(away, beam, pixel_arcsec),
        noise_jy=float(header.get("RMS", np.nan)),
    )


def _read(path: Path) -> tuple[NDArray[np.float64], fits.Header]:
    try:
        with fits.open(path, memmap=False) as units:
            image, header = np.squeeze(units[0].data), units[0].header
    except OSError as error:
        raise BadInput(f"{path}: not a readable FITS image ({error}); make it again") from error
    if image.ndim != 2:
        raise BadInput(f"{path}: no picture in its first unit; give a FITS image of one frequency and Stokes I")
    return np.asarray(image, dtype=np.float64), header


def _beam(name: str, header: fits.Header) -> tuple[Beam, float]:
    try:
        beam = Beam(header["BMAJ"] * 3600, header["BMIN"] * 3600, header["BPA"])
    except KeyError:
        raise BadInput(f"{name}: no restored image, its header lacks BMAJ, BMIN, BPA or CDELT2") from None
    return beam, abs(float(header["CDELT2"])) * 3600


def _brightest(image: NDArray[np.floating], asked: NDArray[np.float64], reach: float) -> NDArray[np.float64] | None:
    """The brightest pixel (x, y) within `reach` pixels of a place, or None when the place is outside."""
    height, width = image.shape
    if not (np.isfinite(asked).all() and -0.5 <= asked[0] < width - 0.5 and -0.5 <= asked[1] < height - 0.5):
        return None
    reach = max(reach, 1.0)
    left, low = (max(0, int(value - reach)) for value in asked)
    around = image[low : int(asked[1] + reach) + 2, left : int(asked[0] + reach) + 2]
    y, x = np.indices(around.shape, sparse=True)
    near = (x + left - asked[0]) ** 2 + (y + low - asked[1]) ** 2 <= reach**2
    found = np.unravel_index(int(np.where(near, around, -np.inf).argmax()), around.shape)
    return np.array([found[1] + left, found[0] + low], dtype=np.float64)


def _fit(
    image: NDArray[np.floating], brightest: NDArray[np.float64], beam: Beam, pixel_arcsec: float
) -> tuple[float, NDArray[np.float64]]:
    """Peak and place (x, y) of the beam that fits the pixels around the brightest one best."""
    reach = int(np.ceil(beam.major_arcsec / pixel_arcsec)) + 1
    left, low = (max(0, int(value) - reach) for value in brightest)
    around = image[low : int(brightest[1]) + reach + 1, left : int(brightest[0]) + reach + 1].astype(np.float64)
    y, x = np.indices(around.shape, sparse=True)
    x, y = x + left, y + low
    near = gaussian(beam, pixel_arcsec, x - brightest[0], y - brightest[1]) > FITTED
    rows, columns = np.nonzero(near)
    values, x, y = around[near], columns + left, rows + low
    peak = values.max()

    def misfit(source: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(source[0] * gaussian(beam, pixel_arcsec, x - source[1], y - source[2]) - values / peak)

    found = least_squares(misfit, np.array([1.0, *brightest])).x
    return float(found[0] * peak), found[1:]


def _at(attenuation: NDArray[np.floating] | None, place: NDArray[np.float64]) -> float:
    """The primary beam at a place (x, y), nan without one."""
    if attenuation is None:
        return float("nan")
    corner = np.maximum(np.floor(place).astype(np.int64) - 1, 0)
    around = attenuation[corner[1] : corner[1] + 4, corner[0] : corner[0] + 4]
    return float(map_coordinates(around, (place - corner)[::-1, None], order=1, mode="nearest")[0])


def _in_beams(away: NDArray[np.float64], beam: Beam, pixel_arcsec: float) -> float:
    """A distance in pixels over the beam's full width along it: 0.5 on its half-maximum contour."""
    response = gaussian(beam, pixel_arcsec, away[:1], away[1:])[0]
    return float(np.sqrt(-np.log(max(response, 1e-300)) / np.log(2)) / 2)
