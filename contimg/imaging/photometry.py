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
from contimg.imaging.product import Beam
from contimg.imaging.restoring import gaussian

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
    beam, pixel_arcsec = _beam(fits_path, header)
    wcs = WCS(header).celestial
    asked = np.array(wcs.all_world2pix(ra_deg, dec_deg, 0), dtype=np.float64)
    brightest = _brightest(image, asked, search_beams * beam.major_arcsec / pixel_arcsec)
    if brightest is None:
        raise BadInput(f"{fits_path}: {ra_deg:.5f} {dec_deg:.5f} deg is not in the image; ask for a position inside")
    apparent, place = _fit(image, brightest, beam, pixel_arcsec)
    ra, dec = (float(value) for value in wcs.all_pix2world(*place, 0))
    away = place - asked
    attenuation = _attenuation(fits_path, place)
    return Measured(
        apparent_jy=apparent,
        flux_jy=apparent / attenuation,
        attenuation=attenuation,
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


def _beam(path: Path, header: fits.Header) -> tuple[Beam, float]:
    try:
        beam = Beam(header["BMAJ"] * 3600, header["BMIN"] * 3600, header["BPA"])
    except KeyError:
        raise BadInput(f"{path}: no restored image, its header lacks BMAJ, BMIN, BPA or CDELT2") from None
    return beam, abs(float(header["CDELT2"])) * 3600


def _brightest(image: NDArray[np.float64], asked: NDArray[np.float64], reach: float) -> NDArray[np.float64] | None:
    """The brightest pixel (x, y) within `reach` pixels of a place, or None when the place is outside."""
    height, width = image.shape
    if not (np.isfinite(asked).all() and -0.5 <= asked[0] < width - 0.5 and -0.5 <= asked[1] < height - 0.5):
        return None
    y, x = np.ogrid[:height, :width]
    near = (x - asked[0]) ** 2 + (y - asked[1]) ** 2 <= max(reach, 1.0) ** 2
    found = np.unravel_index(int(np.where(near, image, -np.inf).argmax()), image.shape)
    return np.array([found[1], found[0]], dtype=np.float64)


def _fit(
    image: NDArray[np.float64], brightest: NDArray[np.float64], beam: Beam, pixel_arcsec: float
) -> tuple[float, NDArray[np.float64]]:
    """Peak and place (x, y) of the beam that fits the pixels around the brightest one best."""
    y, x = np.indices(image.shape, sparse=True)
    near = gaussian(beam, pixel_arcsec, x - brightest[0], y - brightest[1]) > FITTED
    y, x = np.nonzero(near)
    values = image[y, x]
    peak = values.max()

    def left(source: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(source[0] * gaussian(beam, pixel_arcsec, x - source[1], y - source[2]) - values / peak)

    found = least_squares(left, np.array([1.0, *brightest])).x
    return float(found[0] * peak), found[1:]


def _attenuation(fits_path: Path, place: NDArray[np.float64]) -> float:
    beside = fits_path.with_name(fits_path.name.removesuffix(".fits") + ".pb.fits")
    if not beside.exists():
        return float("nan")
    image, _ = _read(beside)
    return float(map_coordinates(image, place[::-1, None], order=1)[0])


def _in_beams(away: NDArray[np.float64], beam: Beam, pixel_arcsec: float) -> float:
    """A distance in pixels over the beam's full width along it: 0.5 on its half-maximum contour."""
    response = gaussian(beam, pixel_arcsec, away[:1], away[1:])[0]
    return float(np.sqrt(-np.log(max(response, 1e-300)) / np.log(2)) / 2)
