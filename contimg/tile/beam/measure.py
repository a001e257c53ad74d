"""The primary beam's width from sources that are in several tile images of one declination strip.

A source has one flux, and each tile shows it at another distance from the centre: the ratios of its uncorrected fluxes
are ratios of the beam. The model is the Airy disk with its axes scaled, averaged over the tile's drift and band as in
the image; each source's flux is eliminated, since the model is linear in it. Ratios of a source that drifts from east
to west say little about the beam's width from north to south; with a catalogue of true fluxes that is measured too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.optimize import least_squares
from scipy.special import j1

from contimg.common.errors import BadInput
from contimg.instrument.beam_table import ALWAYS_MJD, BeamEntry
from contimg.instrument.coordinates import separation_rad
from contimg.instrument.dsa110 import C_M_S, DISH_DIAMETER_M
from contimg.instrument.time import EARTH_RAD_S
from contimg.sky.comparison.statistics import MAD_TO_SIGMA
from contimg.tile.image.sources.matches import CatalogueSource
from contimg.tile.image.sources.photometry import measure_in_image

MIN_SNR = 25.0  # of a source in the image that shows it brightest
MIN_RESPONSE = 0.12  # of the Airy disk, where a flux is used
FLUX_ERROR = 0.02  # of each flux, besides the noise: calibration and clean
CATALOGUE_ERROR = 0.07  # variability and resolution, fraction of a flux
ISOLATION_BEAMS = 4.0  # no second maximum above a tenth of the peak within this distance
MIN_CHI2 = 0.1  # errors follow the scatter of the fluxes, down to this
STRIP_DEG = 0.3
TIMES, FREQUENCIES = 9, 5  # of the averages over drift and band


@dataclass(frozen=True)
class Passage:
    """Fluxes of sources in the images of a strip.

    Attributes
    ----------
    source, tile : indices, shape (fluxes,).
    apparent_jy, error_jy : uncorrected flux and its standard error, shape (fluxes,).
    east, north : direction cosines from the pointing through the tile, shape (fluxes, times).
    true_jy : catalogued flux of each source; NaN where not known, shape (sources,).
    freqs_hz : of the average over the band, shape (frequencies,).
    """

    source: NDArray[np.int64]
    tile: NDArray[np.int64]
    apparent_jy: NDArray[np.float64]
    error_jy: NDArray[np.float64]
    east: NDArray[np.float64]
    north: NDArray[np.float64]
    true_jy: NDArray[np.float64]
    freqs_hz: NDArray[np.float64]


@dataclass(frozen=True)
class BeamMeasurement:
    """The measured primary beam.

    Attributes
    ----------
    width, width_error : FWHM over that of the Airy disk, the mean of both axes when they were measured.
    ellipticity, ellipticity_error : half of the difference of the axes from north to south and from east to west, over
        the width; None without a catalogue.
    east_arcmin, east_error_arcmin : pointing offset to the east.
    reduced_chi2 : of the fit, from the median residual.
    mjd : mean time of the images.
    images, sources, fluxes : their numbers.
    distance_deg, response : distance from the centre, and flux over the source's fitted flux, shape (fluxes,).
    """

    width: float
    width_error: float
    ellipticity: float | None
    ellipticity_error: float | None
    east_arcmin: float
    east_error_arcmin: float
    reduced_chi2: float
    mjd: float
    images: int
    sources: int
    fluxes: int
    distance_deg: tuple[float, ...]
    response: tuple[float, ...]

    def entry(self) -> BeamEntry:
        """Return the entry of the table of beams, valid at all times."""
        return BeamEntry(self.width, self.width_error, *ALWAYS_MJD, self.mjd, self.images, self.sources)


def measure_beam(paths: Sequence[Path], catalogue: Iterable[CatalogueSource] = ()) -> BeamMeasurement:
    """Measure the primary beam in tile images.

    Parameters
    ----------
    paths : uncorrected FITS images of the image stage, of one declination strip, overlapping in right ascension.
    catalogue : sources with true fluxes, of any part of the sky.

    Raises
    ------
    BadInput : there are too few images, of different strips, or too few sources in more than one of them.
    """
    if len(paths) < 2:
        raise BadInput(f"{len(paths)} image: a beam is measured in two or more overlapping tile images")
    headers = [fits.getheader(path) for path in paths]
    declinations = [header["CRVAL2"] for header in headers]
    if np.ptp(declinations) > STRIP_DEG:
        raise BadInput(
            f"declinations from {min(declinations):.2f} to {max(declinations):.2f} deg: images of different strips "
            f"(limit {STRIP_DEG:g} deg); give those of one strip"
        )
    passage = collect_passage(paths, headers, list(catalogue))
    if np.unique(passage.source).size < 3:
        raise BadInput(
            f"{np.unique(passage.source).size} sources of S/N {MIN_SNR:g} are in two or more images (limit 3); "
            "give more images of the strip"
        )
    return fit_beam_width(passage, float(np.mean([header["MJD-AVG"] for header in headers])), len(paths))


def collect_passage(
    paths: Sequence[Path], headers: Sequence[fits.Header], catalogue: Sequence[CatalogueSource]
) -> Passage:
    """Measure each bright, isolated source in every image that covers it.

    Parameters
    ----------
    paths, headers : of the images.
    catalogue : sources with true fluxes.
    """
    images = [np.squeeze(fits.getdata(path)).astype(np.float64) for path in paths]
    positions_rad = _merge([_find_peaks(image, header) for image, header in zip(images, headers, strict=True)])
    directions = np.deg2rad([[source.ra_deg, source.dec_deg] for source in catalogue]).reshape(-1, 2)
    low_hz, high_hz = (
        headers[0]["CRVAL3"] + sign * 0.5 * headers[0]["CDELT3"] * (1 - 1 / FREQUENCIES) for sign in (-1, 1)
    )
    rows: list[tuple[Any, ...]] = []
    true_jy: list[float] = []
    for position in positions_rad:
        fluxes = [
            (tile, *flux)
            for tile, (image, header) in enumerate(zip(images, headers, strict=True))
            if (flux := _measure(image, header, position)) is not None
        ]
        reach_rad = np.deg2rad(headers[0]["BMAJ"])
        near = separation_rad(directions, position) < reach_rad if len(directions) else np.zeros(0, dtype=bool)
        flux_jy = catalogue[int(np.flatnonzero(near)[0])].flux_jy if near.sum() == 1 else np.nan
        if len(fluxes) >= 2 or (fluxes and np.isfinite(flux_jy)):
            rows += [(len(true_jy), *flux) for flux in fluxes]
            true_jy.append(flux_jy)
    columns = [np.array([row[column] for row in rows]) for column in range(6)] if rows else [np.zeros(0)] * 6
    return Passage(
        columns[0].astype(np.int64), columns[1].astype(np.int64), columns[2], columns[3],
        columns[4].reshape(-1, TIMES), columns[5].reshape(-1, TIMES), np.array(true_jy),
        np.linspace(low_hz, high_hz, FREQUENCIES),
    )  # fmt: skip


def _find_peaks(image: NDArray[np.float64], header: fits.Header) -> NDArray[np.float64]:
    """Positions (radians), shape (peaks, 2), of isolated maxima above MIN_SNR."""
    reach = round(ISOLATION_BEAMS * header["BMAJ"] / abs(header["CDELT2"]))
    finite = np.where(np.isfinite(image), image, -np.inf)
    beam = max(1, round(header["BMAJ"] / abs(header["CDELT2"])))
    maxima = (finite == maximum_filter(finite, 2 * beam + 1)) & (finite > MIN_SNR * header["RMS"])
    rows, columns = np.nonzero(maxima)
    bright = np.argsort(-finite[rows, columns])
    rows, columns = rows[bright], columns[bright]
    isolated = []
    for index, (row, column) in enumerate(zip(rows, columns, strict=True)):
        near = np.hypot(rows - row, columns - column) < reach
        near[index] = False
        if not np.any(finite[rows[near], columns[near]] > 0.1 * finite[row, column]):
            isolated.append(index)
    ra_deg, dec_deg = WCS(header).celestial.all_pix2world(columns[isolated], rows[isolated], 0)
    return np.asarray(np.deg2rad(np.stack([ra_deg, dec_deg], axis=-1)))


def _merge(peaks_rad: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """One position for the peaks of all images within 20 arcsec of each other."""
    merged: list[NDArray[np.float64]] = []
    for position in np.concatenate(peaks_rad):
        if not merged or separation_rad(np.array(merged), position).min() > np.deg2rad(20 / 3600):
            merged.append(position)
    return np.array(merged).reshape(-1, 2)


def _measure(
    image: NDArray[np.float64], header: fits.Header, position_rad: NDArray[np.float64]
) -> tuple[float, float, NDArray[np.float64], NDArray[np.float64]] | None:
    """Flux, its error and the source's path through the beam; None outside the part of the beam that is used."""
    east, north = beam_path(header, position_rad)
    freq_hz = np.array([header["CRVAL3"]])
    if airy_mean(east[np.newaxis], north[np.newaxis], freq_hz, (1.0, 1.0), 0.0)[0] < MIN_RESPONSE:
        return None
    try:
        ra_deg, dec_deg = (float(angle) for angle in np.rad2deg(position_rad))
        measured = measure_in_image(image, None, header, ra_deg, dec_deg, search_beams=0.5)
    except BadInput:
        return None
    error_jy = float(np.hypot(header["RMS"], FLUX_ERROR * measured.apparent_jy))
    return measured.apparent_jy, error_jy, east, north


def beam_path(
    header: fits.Header, position_rad: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a source's direction cosines from the pointing during a tile, to the east and north, shape (times,).

    Parameters
    ----------
    header : of a tile image, whose centre is the pointing at mid-tile.
    position_rad : ICRS.
    """
    span_rad = EARTH_RAD_S * header["EXPTIME"]
    turned = span_rad * ((np.arange(TIMES) + 0.5) / TIMES - 0.5)
    centre = np.deg2rad([header["CRVAL1"], header["CRVAL2"]])
    hour = position_rad[0] - centre[0] - turned
    east = np.cos(position_rad[1]) * np.sin(hour)
    north = np.sin(position_rad[1]) * np.cos(centre[1]) - np.cos(position_rad[1]) * np.sin(centre[1]) * np.cos(hour)
    return east, north


def airy_mean(
    east: NDArray[np.float64], north: NDArray[np.float64], freqs_hz: NDArray[np.float64], widths: tuple[float, float],
    east_offset: float,
) -> NDArray[np.float64]:  # fmt: skip
    """Return the mean of a scaled Airy disk over paths and a band, shape (fluxes,).

    Parameters
    ----------
    east, north : direction cosines, shape (fluxes, times).
    freqs_hz : shape (frequencies,).
    widths : factors from east to west and from north to south.
    east_offset : of the pointing.
    """
    radius = np.hypot((east - east_offset) / widths[0], north / widths[1])[..., np.newaxis]
    argument = np.maximum(np.pi * DISH_DIAMETER_M / C_M_S * radius * freqs_hz, 1e-9)
    return np.asarray(np.mean((2 * j1(argument) / argument) ** 2, axis=(1, 2)))


def fit_beam_width(passage: Passage, mjd: float, images: int) -> BeamMeasurement:
    """Fit the Airy disk's widths and the pointing offset to fluxes.

    Parameters
    ----------
    passage : the fluxes.
    mjd, images : mean time and number of the images.
    """
    has_truth = np.isfinite(passage.true_jy)
    with_catalogue = bool(has_truth.sum() >= 5)

    def model(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        north = parameters[2] if with_catalogue else parameters[0]
        widths = (float(np.exp(parameters[0])), float(np.exp(north)))
        return airy_mean(passage.east, passage.north, passage.freqs_hz, widths, parameters[1])

    def misfit(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        response = model(parameters)
        fitted_jy = _fit_fluxes(passage, response)
        residuals = (passage.apparent_jy - fitted_jy[passage.source] * response) / passage.error_jy
        if not with_catalogue:
            return np.asarray(residuals)
        ratios = np.log(np.maximum(fitted_jy[has_truth], 1e-9) / passage.true_jy[has_truth])
        return np.append(residuals, (ratios - np.median(ratios)) / CATALOGUE_ERROR)

    start = np.zeros(3 if with_catalogue else 2)
    fit = least_squares(misfit, start, x_scale=[0.1, 0.002, 0.1][: start.size], loss="soft_l1", diff_step=1e-4)
    # Residuals of the fluxes' own scatter; blends and edges are outliers, which the loss function keeps small.
    freedom = max(1, passage.source.size - np.unique(passage.source).size - start.size) / passage.source.size
    chi2 = float((MAD_TO_SIGMA * np.median(np.abs(fit.fun[: passage.source.size]))) ** 2 / freedom)
    covariance = np.linalg.pinv(fit.jac.T @ fit.jac) * max(MIN_CHI2, chi2)
    response = model(fit.x)
    fitted_jy = _fit_fluxes(passage, response)
    mean = np.array([0.5, 0.0, 0.5]) if with_catalogue else np.array([1.0, 0.0])
    half = np.array([-0.5, 0.0, 0.5])
    width = float(np.exp(mean @ fit.x))
    middle = TIMES // 2
    arcmin = 180 * 60 / np.pi
    return BeamMeasurement(
        width=width,
        width_error=width * float(np.sqrt(mean @ covariance @ mean)),
        ellipticity=float(half @ fit.x) if with_catalogue else None,
        ellipticity_error=float(np.sqrt(half @ covariance @ half)) if with_catalogue else None,
        east_arcmin=float(fit.x[1]) * arcmin,
        east_error_arcmin=float(np.sqrt(covariance[1, 1])) * arcmin,
        reduced_chi2=chi2,
        mjd=mjd,
        images=images,
        sources=int(np.unique(passage.source).size),
        fluxes=int(passage.source.size),
        distance_deg=tuple(np.rad2deg(np.hypot(passage.east[:, middle], passage.north[:, middle])).tolist()),
        response=tuple((passage.apparent_jy / fitted_jy[passage.source]).tolist()),
    )


def _fit_fluxes(passage: Passage, response: NDArray[np.float64]) -> NDArray[np.float64]:
    """The flux of each source that fits its apparent fluxes best, shape (sources,)."""
    weight = response / passage.error_jy**2
    count = passage.true_jy.size
    return np.asarray(
        np.bincount(passage.source, weight * passage.apparent_jy, count)
        / np.maximum(np.bincount(passage.source, weight * response, count), 1e-30)
    )
