"""A restored FITS image, read for photometry: pixels, primary beam, noise, coordinates, beam, and what its header says.

Images of contimg, WSClean and CASA are read, of two to four axes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from astropy.wcs.utils import local_partial_pixel_derivatives
from numpy.typing import NDArray

from contimg.common.errors import BadInput
from contimg.epoch.mosaic.members import read_celestial
from contimg.epoch.photometry.options import MeasureOptions
from contimg.epoch.photometry.products import MeasurementFlag
from contimg.quality.calibration import CalibrationClass
from contimg.quality.grades import BAD
from contimg.sky.comparison.astrometry import SHIFT_KEYWORDS
from contimg.tile.image.result import Beam
from contimg.tile.image.sources.forced import read_frequency_hz
from contimg.tile.image.sources.photometry import read_image

Image = NDArray[np.float32]
MIN_PB = 0.05  # an image has no data where the primary beam is below
MAX_OFFSET_BEAMS = 0.5  # of an image's positions from the catalogue's
_UNITS_JY = {"jy": 1.0, "mjy": 1e-3, "ujy": 1e-6, "\N{MICRO SIGN}jy": 1e-6}
_PER_BEAM = ("/beam", "beam-1", ".beam-1", "*beam-1", "beam^-1", "beam**-1", "/bm")
_ZENITHAL = ("SIN", "TAN", "ZEA", "ARC", "STG", "NCP")


@dataclass(frozen=True)
class RestoredImage:
    """An image and the files beside it.

    Attributes
    ----------
    path : of the image.
    pixels : Jy per beam, shape (rows, columns); NaN where the image has no data.
    pb : primary beam that the fluxes are to be divided by; None of an image of true fluxes.
    rms : local noise from `.rms.fits`, Jy per beam; None where it is to be measured.
    wcs : celestial coordinates.
    beam : restoring beam.
    form : a, b, c of the beam exp(-(a x² + 2 b x y + c y²)), x and y in pixels.
    header : of the image.
    """

    path: Path
    pixels: Image
    pb: Image | None
    rms: Image | None
    wcs: WCS
    beam: Beam
    form: tuple[float, float, float]
    header: fits.Header

    @property
    def axis_pixels(self) -> tuple[float, float]:
        """Full widths at half maximum of the beam's major and minor axis, pixels."""
        a, b, c = self.form
        narrow, wide = np.linalg.eigvalsh(np.array([[a, b], [b, c]]))[::-1]
        return float(2 * np.sqrt(np.log(2) / wide)), float(2 * np.sqrt(np.log(2) / narrow))

    @property
    def pixel_deg(self) -> float:
        """Side of a square of a pixel's area."""
        return float(np.sqrt(abs(np.linalg.det(self.wcs.pixel_scale_matrix))))


def read_restored_image(path: Path) -> RestoredImage:
    """Read an image, and `.pb.fits` and `.rms.fits` beside it.

    Parameters
    ----------
    path : FITS image in Jy per beam, of one frequency and Stokes I.

    Raises
    ------
    BadInput : the file is no such image, has no restoring beam, or a file beside it has another shape.
    """
    values, header = read_image(path)
    beam, wcs = _read_beam(path, header), read_celestial(path, header)
    if not wcs.wcs.ctype[0].startswith("RA") or str(wcs.wcs.radesys).startswith("FK4"):
        kind = f"{'/'.join(wcs.wcs.ctype)} {wcs.wcs.radesys}".strip()
        raise BadInput(f"{path}: its coordinates are {kind}; give an image in right ascension and declination, J2000")
    pixels = (values * _unit_jy(path, header)).astype(np.float32)
    pb, rms = (_read_beside(path, end, pixels.shape) for end in (".pb.fits", ".rms.fits"))
    if pb is not None:
        with np.errstate(invalid="ignore"):
            pixels[~(pb >= MIN_PB)] = np.nan
    if not np.isfinite(pixels).any():
        raise BadInput(f"{path}: every pixel is blank, or its primary beam is below {MIN_PB:g} everywhere")
    return RestoredImage(path, pixels, pb, rms, wcs, beam, _beam_form(beam, wcs, pixels.shape), header)


def read_mjd(header: fits.Header) -> float | None:
    """Return the middle of an observation, MJD, UTC; its beginning where the header has no more; None without times.

    Parameters
    ----------
    header : of the image.
    """
    for keyword in ("MJD-AVG", "DATE-AVG", "MJD-OBS", "DATE-OBS"):
        value = header.get(keyword)
        try:
            mjd = float(value) if isinstance(value, (int, float)) else float(Time(value, scale="utc").mjd)
        except (ValueError, TypeError):
            continue
        exposure_s = header.get("EXPTIME")
        is_middle = keyword.endswith("AVG") or not isinstance(exposure_s, (int, float))
        return mjd if is_middle else mjd + exposure_s / 2 / 86400
    return None


def read_frequency(header: fits.Header) -> float | None:
    """Return the frequency of an image, Hz; None where its header has none.

    Parameters
    ----------
    header : of the image.
    """
    try:
        return read_frequency_hz("", header)
    except BadInput:
        return None


def read_calibration_class(header: fits.Header) -> str | None:
    """Return the class of an image's calibration, of a mosaic the most distant one of its tiles; None where unknown.

    Parameters
    ----------
    header : of the image.
    """
    if header.get("CALSET") == "none":
        return str(CalibrationClass.NONE)
    classes = [header.get("CALCLASS")] + [header.get(f"MCAL{number:03d}") for number in range(1, _members(header) + 1)]
    order = [str(name) for name in CalibrationClass]
    ranked = [str(name) for name in classes if name in order]
    return max(ranked, key=order.index) if ranked else None


def find_image_flags(header: fits.Header, beam: Beam, options: MeasureOptions) -> MeasurementFlag:
    """Return the flags that all fluxes of an image have, from its header.

    Parameters
    ----------
    header : of the image.
    beam : its restoring beam.
    options : limits of the flags.
    """
    flags = MeasurementFlag(0)
    if read_calibration_class(header) == CalibrationClass.NONE:
        flags |= MeasurementFlag.UNCALIBRATED
    if str(header.get("VERDICT", "")).strip() == BAD:
        flags |= MeasurementFlag.BAD_IMAGE
    offset_arcsec = header.get("CATOFFS")
    is_shifted = any(keyword in header for keyword in SHIFT_KEYWORDS)
    if _is_number(offset_arcsec) and not is_shifted and offset_arcsec > MAX_OFFSET_BEAMS * beam.minor_arcsec:
        flags |= MeasurementFlag.BAD_POSITIONS
    unflagged = header.get("UNFLAG")
    if _is_number(unflagged) and 1 - unflagged > options.max_flagged:
        flags |= MeasurementFlag.HIGH_FLAG_FRACTION
    if beam.major_arcsec > options.max_beam_arcsec:
        flags |= MeasurementFlag.LARGE_BEAM
    if "GROUP" in header and not _members(header):
        flags |= MeasurementFlag.TILE
    return flags


def _members(header: fits.Header) -> int:
    return int(header.get("NMEMBERS") or 0)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and bool(np.isfinite(value))


def _unit_jy(path: Path, header: fits.Header) -> float:
    """The image's unit in Jy per beam."""
    text = str(header.get("BUNIT", "")).lower().replace(" ", "")
    for end in _PER_BEAM:
        if text.endswith(end) and text.removesuffix(end) in _UNITS_JY:
            return _UNITS_JY[text.removesuffix(end)]
    raise BadInput(f"{path}: unit {header.get('BUNIT') or 'missing'}; give an image in Jy/beam")


def _read_beam(path: Path, header: fits.Header) -> Beam:
    values = [header.get(keyword) for keyword in ("BMAJ", "BMIN", "BPA")]
    major, minor, angle = values
    if not (_is_number(major) and _is_number(minor)) or not major >= minor > 0:
        raise BadInput(f"{path}: its header has no restoring beam (BMAJ, BMIN, BPA); give a restored image")
    return Beam(major * 3600, minor * 3600, float(angle) if _is_number(angle) else 0.0)


def _read_beside(path: Path, end: str, shape: tuple[int, ...]) -> Image | None:
    stem = path.name.removesuffix(".fits")
    paths = [path.with_name(name + end) for name in (stem, stem.removesuffix(".image"))]  # CASA's name.image.fits
    beside = next((path for path in paths if path.exists()), None)
    if beside is None:
        return None
    values = read_image(beside)[0]
    if values.shape != shape:
        sizes = [" x ".join(map(str, size[::-1])) for size in (values.shape, shape)]
        raise BadInput(f"{beside}: has {sizes[0]} pixels, the image {sizes[1]}; give files of one image")
    return values.astype(np.float32)


def _beam_form(beam: Beam, wcs: WCS, shape: tuple[int, ...]) -> tuple[float, float, float]:
    """The beam in pixels: the sky's offsets to the east and north are a linear function of them around the centre.

    In a zenithal projection the centre is the reference pixel, where a synthesized beam is the same in all pixels.
    """
    angle = np.deg2rad(beam.angle_deg)
    axes = np.array([[np.sin(angle), np.cos(angle)], [np.cos(angle), -np.sin(angle)]])
    widths_deg = np.array([beam.major_arcsec, beam.minor_arcsec]) / 3600
    on_sky = axes.T @ np.diag(4 * np.log(2) / widths_deg**2) @ axes
    scales = wcs.pixel_scale_matrix
    if wcs.wcs.ctype[0][-3:] not in _ZENITHAL:
        x, y = (shape[1] - 1) / 2, (shape[0] - 1) / 2
        scales = np.array(local_partial_pixel_derivatives(wcs, x, y, normalize_by_world=False))
        scales[0] *= np.cos(np.deg2rad(wcs.wcs_pix2world(x, y, 0)[1]))
    form = scales.T @ on_sky @ scales
    return float(form[0, 0]), float(form[0, 1]), float(form[1, 1])
