"""FITS images with a celestial SIN projection and their provenance (FITS standard 4.0; Calabretta & Greisen 2002)."""

import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.time import Time

import contimg
from contimg.instrument.beam_table import beam_width
from contimg.instrument.dsa110 import is_own_dish
from contimg.sky.comparison.astrometry import shift_header
from contimg.sky.comparison.cards import write_comparison
from contimg.tile.image.deconvolution.wsclean import PROGRAM
from contimg.tile.image.gridding.gridder import Image
from contimg.tile.image.options import WSCLEAN, ImageOptions
from contimg.tile.image.result import ImagingResult

HALF_POWER = 0.5
MIN_PB = 0.05
SOFTWARE = {"DUCC0": "ducc0", "RADLER": "radler", "CASACORE": "python-casacore", "NUMPY": "numpy"}

# Keyword, field of the result and comment; a value of None is an undefined keyword.
IMAGE_CARDS = (
    ("RMS", "rms_jy", "[Jy/beam] noise of the residual (MAD)"),
    ("RMSTHERM", "expected_rms_jy", "[Jy/beam] thermal noise expected"),
    ("RMSHIST", "history_rms_jy", "[Jy/beam] noise of earlier images"),
    ("EDGERMS", "edge_noise_ratio", "noise at the edge over that inside"),
    ("BEAMPIX", "beam_pixels", "pixels across the minor axis of the beam"),
    ("PEAK", "peak_jy", "[Jy/beam] brightest pixel"),
    ("DYNRANGE", "dynamic_range", "peak over noise"),
    ("MINIMUM", "minimum_jy", "[Jy/beam] faintest pixel"),
    ("BOWL", "bowl_jy", "[Jy/beam] median around the brightest source"),
    ("SRCFOUND", "sources_found", "sources found blindly"),
    ("VERDICT", "verdict", "quality"),
    ("CALGRADE", "calibration_grade", "quality of the calibration"),
    ("CALCLASS", "calibration_class", "origin of the gains"),
    ("CALSET2", "second_set", "set that the gains are interpolated with"),
    ("CALAGE", "bandpass_age_h", "[h] since the bandpass"),
    ("GAINAGE", "gain_age_h", "[h] since the gains"),
    ("GAINSNR", "gain_snr", "median signal to noise of the gains"),
    ("PHASERES", "phase_residual_deg", "[deg] rms phase against the set"),
    ("FLUXLOSS", "flux_loss_fraction", "fraction of the flux that this costs"),
    ("CHANAVG", "channel_average", "native channels averaged into one"),
    ("NITER", "iterations", "clean iterations"),
    ("CLEANEND", "clean_stopped_by", "what ended the cleaning"),
    ("UNCLEAN", "uncleaned_jy", "[Jy] residual above MASKSIG"),
    ("SUBTRNUM", "subtracted_count", "sources outside the image, subtracted"),
    ("SUBTRJY", "subtracted_jy", "[Jy] their apparent flux"),
    ("UNFLAG", "unflagged_fraction", "fraction of samples unflagged"),
    ("SUNDIST", "sun_distance_deg", "[deg] of the Sun from the pointing"),
    ("SUNJY", "sun_jy", "[Jy] estimate of its flux on a baseline"),
    ("HANDS", "hands", "correlations in the image"),
    ("HANDRAT", "hand_ratio", "flux in the first hand over the second"),
    ("HANDERR", "hand_ratio_error", "its standard error"),
    ("GAINRAT", "gain_hand_ratio", "|g|^2 of the first hand over the second"),
)
OPTION_CARDS = (
    ("WEIGHT", "weighting", "weighting"),
    ("ROBUST", "robust", "Briggs robustness"),
    ("MINUVKL", "min_uv_klambda", "[klambda] shortest baseline"),
    ("TAPER", "taper_arcsec", "[arcsec] taper, 0 for none"),
    ("GAIN", "gain", "clean gain"),
    ("MASKSIG", "mask_sigma", "[noise] cleaned freely down to this"),
    ("THRSIG", "threshold_sigma", "[noise] cleaned within the mask down to this"),
)


def image_header(tile_image: ImagingResult, options: ImageOptions) -> fits.Header:
    """Make the header of an image in Jy per beam.

    Parameters
    ----------
    tile_image : geometry, times, numbers and calibration of the image.
    options : that it was made with.
    """
    header = _geometry(tile_image)
    header.update({"BUNIT": "JY/BEAM", "BTYPE": "Intensity"})
    header["BMAJ"] = (tile_image.beam_major_arcsec / 3600, "[deg] restoring beam, major axis FWHM")
    header["BMIN"] = (tile_image.beam_minor_arcsec / 3600, "[deg] minor axis FWHM")
    header["BPA"] = (tile_image.beam_angle_deg, "[deg] position angle, north through east")
    cards = [(keyword, getattr(tile_image, name), comment) for keyword, name, comment in IMAGE_CARDS]
    cards += [(keyword, getattr(options, name), comment) for keyword, name, comment in OPTION_CARDS]
    header.update({keyword: (value, comment) for keyword, value, comment in cards})
    missing = " ".join(map(str, tile_image.missing_subbands)) or "none"
    header["MISSSUBB"] = (missing, "subbands without data")
    write_comparison(header, tile_image)
    header["IMAGER"] = (_imager_version(options), "what gridded and cleaned")
    return header


def write_pb_corrected(path: Path, image: Image, pb: Image, header: fits.Header) -> None:
    """Write the image over the primary beam, with true fluxes; blank where the primary beam is below `MIN_PB`.

    The extension HALFPOWER is 1 inside half power, where fluxes hardly depend on the width of the primary beam; WEIGHT
    is the inverse variance of each pixel, with which images of the same sky are added.

    Parameters
    ----------
    path : the file.
    image, pb : apparent image and primary beam, shape (size, size).
    header : the header of the apparent image.
    """
    corrected = np.full_like(image, np.nan)
    np.divide(image, pb, out=corrected, where=pb >= MIN_PB)
    header = header.copy()
    header["COMMENT"] = "Corrected for the primary beam: true fluxes; RMS and PEAK are of the apparent image"
    header["PBCUT"] = (MIN_PB, "blank where the primary beam is below this")
    mask = _extension("HALFPOWER", (pb >= HALF_POWER).astype(np.uint8), header)
    mask.header["COMMENT"] = "1 where the primary beam is at least 0.5"
    weight = _extension("WEIGHT", compute_flat_sky_weight(pb, header["RMS"]), header)
    weight.header["BUNIT"] = ("Jy-2.beam2", "inverse variance of the corrected image")
    weight.header["COMMENT"] = "The primary beam squared over RMS squared; 0 where the corrected image is blank"
    write_fits(path, corrected, header, mask, weight)


def compute_flat_sky_weight(pb: Image, rms_jy: float) -> Image:
    """Return the inverse variance of an image over its primary beam, pb²/σ²; 0 where that image is blank.

    Parameters
    ----------
    pb : primary beam, shape (size, size); NaN where it is not known.
    rms_jy : noise of the apparent image, Jy per beam; without noise no pixel has weight.
    """
    usable = (pb >= MIN_PB) & (rms_jy > 0)
    return np.where(usable, np.square(pb / rms_jy if rms_jy > 0 else pb), 0).astype(np.float32)


def _extension(name: str, data: Image, header: fits.Header) -> fits.ImageHDU:
    """An image extension with the celestial coordinates of an image."""
    unit = fits.ImageHDU(data, name=name)
    names = (f"{key}{axis}" for axis in (1, 2) for key in ("CTYPE", "CRPIX", "CRVAL", "CDELT", "CUNIT"))
    unit.header.update({key: header[key] for key in (*names, "RADESYS")})
    return unit


def write_primary_beam(path: Path, pb: Image, tile_image: ImagingResult) -> None:
    """Write the primary beam, shape (size, size): the image divided by it has true fluxes.

    Parameters
    ----------
    path : the file.
    pb : response of the primary beam, 0 to 1, averaged as in the image.
    tile_image : geometry and times of the image.
    """
    header = _geometry(tile_image)
    header.update({"BUNIT": "", "BTYPE": "Primary beam"})
    if tile_image.dish_diameter_m is None:
        header["COMMENT"] = "Blank: the diameters of the dishes differ or are not known"
    else:
        header["COMMENT"] = "Airy disk averaged over the tile's drift and band with the image's weights"
        width = beam_width(tile_image.mjd) if is_own_dish(tile_image.dish_diameter_m) else 1.0
        header["PBWIDTH"] = (width, "width over that of the dish's Airy disk")
    write_fits(path, pb, header)


def write_fits(path: Path, image: Image, header: fits.Header, *extensions: fits.ImageHDU) -> None:
    """Write an image as a FITS image of four axes; the file may have any name.

    The axes are right ascension, declination, frequency and Stokes (FITS standard 4.0); the last two have length 1.

    Parameters
    ----------
    path : the file; one that exists is overwritten.
    image : shape (size, size), y to the north; written as 32-bit floats. The array is not changed.
    header : coordinates and the rest, for all four axes.
    extensions : further units of the file.
    """
    # In FITS byte order: astropy would swap the bytes of the caller's array in place while other threads read it.
    data = image.astype(">f4")[None, None]
    with path.open("wb") as file:
        fits.HDUList([fits.PrimaryHDU(data, header), *extensions]).writeto(file, checksum=True)


def _geometry(tile_image: ImagingResult) -> fits.Header:
    """Axes, times and provenance that an image and its primary beam share."""
    header = fits.Header()
    reference = tile_image.pixels // 2 + 1
    step = tile_image.cell_arcsec / 3600
    axes = (
        ("RA---SIN", tile_image.ra_deg, reference, -step, "deg"),
        ("DEC--SIN", tile_image.dec_deg, reference, step, "deg"),
        ("FREQ", tile_image.freq_hz, 1, tile_image.bandwidth_hz, "Hz"),
        ("STOKES", 1.0, 1, 1.0, ""),
    )
    for number, (kind, value, pixel, delta, unit) in enumerate(axes, start=1):
        header.update({f"CTYPE{number}": kind, f"CRPIX{number}": float(pixel), f"CRVAL{number}": value})
        header.update({f"CDELT{number}": delta, f"CUNIT{number}": unit})
    header.update({"RADESYS": "ICRS", "SPECSYS": "TOPOCENT"})
    if tile_image.shift_east_arcsec is not None and tile_image.shift_north_arcsec is not None:
        shift_header(header, tile_image.shift_east_arcsec, tile_image.shift_north_arcsec)
    header["RESTFRQ"] = (tile_image.freq_hz, "[Hz] weighted mean")
    start = Time(tile_image.start_mjd_s / 86400, format="mjd", scale="utc")
    header["TIMESYS"] = "UTC"
    header["DATE-OBS"] = (start.isot, "beginning of the observation")
    middle = Time(tile_image.mjd, format="mjd", scale="utc")
    header["DATE-AVG"] = (middle.isot, "its middle")
    header.update({"MJD-OBS": start.mjd, "MJD-AVG": middle.mjd, "EXPTIME": (tile_image.exposure_s, "[s]")})
    header.update({"TELESCOP": _ascii(tile_image.telescope), "ORIGIN": "contimg"})
    header["DISHDIAM"] = (tile_image.dish_diameter_m, "[m] dishes of the primary beam, an Airy disk")
    header.update({"OBJECT": tile_image.group, "GROUP": tile_image.group})
    header["DATACOL"] = (tile_image.calibration.column, "column of the Measurement Set")
    header["CALSET"] = (_ascii(tile_image.calibration.set or "none"), "calibration set")
    if tile_image.calibration.calibrator:
        header["CALNAME"] = (_ascii(tile_image.calibration.calibrator), "calibrator")
    if tile_image.calibration.mjd is not None:
        header["CALMJD"] = (tile_image.calibration.mjd, "[d] time of the calibration")
    if tile_image.calibration.reason:
        header["CALWHY"] = _ascii(tile_image.calibration.reason)
    header["CONTIMG"] = (contimg.__version__, "version")
    for keyword, package in SOFTWARE.items():
        header[keyword] = (version(package), "version")
    return header


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii").replace("\n", " ")


def _imager_version(options: ImageOptions) -> str:
    if options.imager != WSCLEAN:
        return f"ducc0 {version('ducc0')} and Radler {version('radler')}"
    output = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"WSClean version (\S+)", output)
    return f"WSClean {match[1] if match else 'of unknown version'}"
