"""Compare an image with the truth of its simulation: peaks, positions, completeness, reliability, resolved sources.

The truth of an apparent flux is the mean over the tile's integrations and the band. Peaks are fitted at the true
position with the restoring beam, which is linear in the image and has no bias from seeking a peak.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.instrument.coordinates import separation_rad
from contimg.tile.image.deconvolution.restoring import evaluate_beam
from contimg.tile.image.result import Beam
from contimg.tile.image.sources.finding import EDGE
from contimg.tile.image.sources.matches import FoundSource
from contimg.tile.image.sources.photometry import measure_in_image

SNR_BINS = ((7.0, 12.0), (12.0, 25.0), (25.0, 60.0), (60.0, np.inf))
RADIUS_BINS_DEG = ((0.0, 0.5), (0.5, 1.0), (1.0, 1.5), (1.5, 2.0))
LIST_BINS = ((5.0, 7.0), (7.0, 10.0), (10.0, 15.0), (15.0, 25.0), (25.0, 60.0), (60.0, np.inf))
MIN_SNR = 7.0
ISOLATION_BEAMS, ISOLATION_FRACTION = 3.0, 0.03  # no neighbour above this fraction of the flux within this distance
MATCH_BEAMS = 0.75
EDGE_PIXELS = 12
APERTURE_WIDTHS = 1.3  # radius of the aperture in convolved major axes


@dataclass(frozen=True)
class Comparison:
    """One simulated source in an image.

    Attributes
    ----------
    name : of the source.
    true_jy : apparent flux.
    ratio : fitted peak over it.
    snr : apparent flux over the image's noise.
    radius_deg : distance from the pointing at mid-tile.
    offset_beams : of the fitted position, in widths of the beam.
    """

    name: str
    true_jy: float
    ratio: float
    snr: float
    radius_deg: float
    offset_beams: float


@dataclass(frozen=True)
class TruthTable:
    """Sources of a truth file that are inside an image.

    Attributes
    ----------
    names : of the sources.
    positions_rad : ICRS, shape (sources, 2).
    pixels : x and y, shape (sources, 2).
    apparent_jy, major_arcsec, radius_deg : shape (sources,).
    """

    names: tuple[str, ...]
    positions_rad: NDArray[np.float64]
    pixels: NDArray[np.float64]
    apparent_jy: NDArray[np.float64]
    major_arcsec: NDArray[np.float64]
    radius_deg: NDArray[np.float64]


def sources_inside(sources: Iterable[dict[str, Any]], header: Any, shape: tuple[int, int]) -> TruthTable:
    """Select the sources of a truth file that are not at the edge of an image."""
    rows = list(sources)
    positions_deg = np.array([[row["ra_deg"], row["dec_deg"]] for row in rows])
    pixels = np.stack(WCS(header).celestial.all_world2pix(*positions_deg.T, 0), axis=-1)
    limits = np.array([shape[1], shape[0]]) - 1 - EDGE_PIXELS
    inside = np.flatnonzero(np.all((pixels >= EDGE_PIXELS) & (pixels <= limits), axis=1))
    columns = [
        np.array([rows[i][name] for i in inside])
        for name in ("band_apparent_flux_jy", "major_arcsec", "separation_deg")
    ]
    names = tuple(str(rows[i]["name"]) for i in inside)
    return TruthTable(names, np.deg2rad(positions_deg[inside]), pixels[inside], *columns)


def isolated(truth: TruthTable, index: int, reach_arcsec: float) -> bool:
    """Whether no neighbour within a distance has more than ISOLATION_FRACTION of the source's flux."""
    away = separation_rad(truth.positions_rad, truth.positions_rad[index])
    near = away < np.deg2rad(reach_arcsec / 3600)
    near[index] = False
    return not np.any(truth.apparent_jy[near] > ISOLATION_FRACTION * truth.apparent_jy[index])


def read_beam(header: Any) -> tuple[Beam, float]:
    """Return the restoring beam and the size of a pixel in arcsec."""
    return Beam(header["BMAJ"] * 3600, header["BMIN"] * 3600, header["BPA"]), abs(header["CDELT2"]) * 3600


def peak_at(image: NDArray[Any], beam: Beam, pixel_arcsec: float, pixel: NDArray[np.float64]) -> float:
    """Fit the beam's height at a position by least squares over the pixels above half of it."""
    reach = int(np.ceil(beam.major_arcsec / pixel_arcsec)) + 1
    left, low = (max(0, int(np.rint(value)) - reach) for value in pixel)
    cutout = image[low : low + 2 * reach + 1, left : left + 2 * reach + 1].astype(np.float64)
    y, x = np.indices(cutout.shape, sparse=True)
    kernel = np.asarray(evaluate_beam(beam, pixel_arcsec, x + left - pixel[0], y + low - pixel[1]))
    kernel = np.where(kernel > 0.5, kernel, 0.0)
    return float(np.sum(cutout * kernel) / np.sum(kernel**2))


def compare_points(image: NDArray[Any], header: Any, truth: TruthTable, rms_jy: float) -> list[Comparison]:
    """Compare the isolated point sources of S/N 7 and more."""
    beam, pixel_arcsec = read_beam(header)
    comparisons = []
    for index in np.flatnonzero((truth.apparent_jy >= MIN_SNR * rms_jy) & (truth.major_arcsec == 0)):
        if not isolated(truth, int(index), ISOLATION_BEAMS * beam.major_arcsec):
            continue
        true_jy, position = float(truth.apparent_jy[index]), np.rad2deg(truth.positions_rad[index])
        measured = measure_in_image(image, None, header, *position, search_beams=0.4)
        ratio = peak_at(image, beam, pixel_arcsec, truth.pixels[index]) / true_jy
        radius_deg = float(truth.radius_deg[index])
        comparisons.append(
            Comparison(truth.names[index], true_jy, ratio, true_jy / rms_jy, radius_deg, measured.offset_beams)
        )
    return comparisons


def median_ratios(comparisons: Sequence[Comparison]) -> dict[tuple[float, float], list[tuple[float, int]]]:
    """Return, for each S/N bin, the median ratio and number of sources over all radii and in each radius bin."""
    table = {}
    for low, high in SNR_BINS:
        members = [source for source in comparisons if low <= source.snr < high]
        columns = [members]
        columns += [[source for source in members if near <= source.radius_deg < far] for near, far in RADIUS_BINS_DEG]
        table[low, high] = [
            (float(np.median([source.ratio for source in column])) if column else np.nan, len(column))
            for column in columns
        ]
    return table


def fraction_in_place(comparisons: Sequence[Comparison]) -> float:
    """Return the fraction of sources with positions right within 0.05 + 1.2 / (S/N) beams, two sigma of the noise."""
    in_place = [source.offset_beams <= 0.05 + 1.2 / source.snr for source in comparisons]
    return float(np.mean(in_place)) if in_place else np.nan


def list_scores(sources: Sequence[FoundSource], truth: TruthTable, rms_jy: float, beam: Beam) -> tuple[float, float]:
    """Return completeness and reliability of a source list at S/N 7 and more.

    A true source counts as found, and a found one as true, when there is one of the other list within 0.75 beams; a
    found one needs a fifth of its flux in true sources there. True sources that are blended into a brighter
    neighbour are left out, and listed ones at the edge of the image, which the truth does not reach.
    """
    found_rad = np.deg2rad([[source.ra_deg, source.dec_deg] for source in sources]).reshape(-1, 2)
    reach_rad = np.deg2rad(MATCH_BEAMS * beam.major_arcsec / 3600)
    bright = [
        index
        for index in np.flatnonzero(truth.apparent_jy >= MIN_SNR * rms_jy)
        if isolated(truth, int(index), 1.5 * beam.major_arcsec)
    ]
    is_found = [
        bool(np.any(separation_rad(found_rad, truth.positions_rad[index]) < reach_rad)) if len(found_rad) else False
        for index in bright
    ]
    confirmed = []
    for position, source in zip(found_rad, sources, strict=True):
        if source.peak_jy >= MIN_SNR * source.local_rms_jy and source.mark != EDGE:
            near = separation_rad(truth.positions_rad, position) < reach_rad
            confirmed.append(bool(truth.apparent_jy[near].sum() > 0.2 * source.peak_jy))
    completeness = float(np.mean(is_found)) if bright else np.nan
    return completeness, float(np.mean(confirmed)) if confirmed else np.nan


@dataclass(frozen=True)
class ListBin:
    """A source list against the truth in a bin of signal to noise.

    Attributes
    ----------
    low, high : peak over noise, of the truth for completeness and of the list for the others.
    true, listed : number of true sources that are not blended, and of listed ones.
    completeness, reliability : fraction of the true ones that are listed, and of the listed ones that are true.
    false_marked : of the listed ones that are not true, the number that carry a mark, and their number.
    peak_pull, flux_pull : median and width of (measured - true) / error of isolated point sources.
    """

    low: float
    high: float
    true: int
    listed: int
    completeness: float
    reliability: float
    false_marked: tuple[int, int]
    peak_pull: tuple[float, float]
    flux_pull: tuple[float, float]


def measure_list(sources: Sequence[FoundSource], truth: TruthTable, rms_jy: float, beam: Beam) -> list[ListBin]:
    """Compare a source list with the truth, by signal to noise; matches are those of `list_scores`."""
    reach_rad = np.deg2rad(MATCH_BEAMS * beam.major_arcsec / 3600)
    found_rad = np.deg2rad([[source.ra_deg, source.dec_deg] for source in sources]).reshape(-1, 2)
    away = np.array([separation_rad(truth.positions_rad, position) for position in found_rad]).reshape(
        len(sources), len(truth.names)
    )
    is_near = away < reach_rad
    rows = []
    for low, high in LIST_BINS:
        members = [
            index
            for index in np.flatnonzero((truth.apparent_jy >= low * rms_jy) & (truth.apparent_jy < high * rms_jy))
            if isolated(truth, int(index), 1.5 * beam.major_arcsec)
        ]
        listed = [
            i
            for i, source in enumerate(sources)
            if low <= source.peak_jy / source.local_rms_jy < high and source.mark != EDGE
        ]
        is_true = [bool(truth.apparent_jy[is_near[i]].sum() > 0.2 * sources[i].peak_jy) for i in listed]
        false = [sources[i] for i, confirmed in zip(listed, is_true, strict=True) if not confirmed]
        peak_pulls, flux_pulls = [], []
        for i in listed:
            j = int(away[i].argmin())
            if is_near[i, j] and truth.major_arcsec[j] == 0 and isolated(truth, j, ISOLATION_BEAMS * beam.major_arcsec):
                source, true_jy = sources[i], float(truth.apparent_jy[j])
                peak_pulls.append((source.peak_jy - true_jy) / source.peak_error_jy)
                flux_pulls.append((source.flux_jy - true_jy) / source.flux_error_jy)
        rows.append(
            ListBin(
                low, high, len(members), len(listed),
                float(np.mean(is_near[:, members].any(axis=0))) if members else np.nan,
                float(np.mean(is_true)) if listed else np.nan,
                (sum(bool(source.mark) for source in false), len(false)), _spread(peak_pulls), _spread(flux_pulls),
            )
        )  # fmt: skip
    return rows


def _spread(pulls: Sequence[float]) -> tuple[float, float]:
    """Median, and width from the median absolute deviation."""
    if not pulls:
        return np.nan, np.nan
    middle = float(np.median(pulls))
    return middle, float(1.4826 * np.median(np.abs(np.array(pulls) - middle)))


def resolved_ratios(
    image: NDArray[Any], header: Any, truth: TruthTable, rms_jy: float
) -> list[tuple[str, float, float]]:
    """Return name, size in arcsec, and flux in an aperture over the true one of isolated resolved sources of S/N 25."""
    beam, pixel_arcsec = read_beam(header)
    beam_pixels = np.pi / (4 * np.log(2)) * beam.major_arcsec * beam.minor_arcsec / pixel_arcsec**2
    ratios = []
    for index in np.flatnonzero((truth.major_arcsec > 0) & (truth.apparent_jy > 25 * rms_jy)):
        width_arcsec = np.hypot(truth.major_arcsec[index], beam.major_arcsec)
        radius = APERTURE_WIDTHS * width_arcsec / pixel_arcsec
        if not isolated(truth, int(index), 2.5 * width_arcsec):
            continue
        y, x = np.indices(image.shape, sparse=True)
        inside = np.hypot(x - truth.pixels[index, 0], y - truth.pixels[index, 1]) <= radius
        flux_jy = float(image[inside].sum() / beam_pixels)
        ratios.append((truth.names[index], float(truth.major_arcsec[index]), flux_jy / float(truth.apparent_jy[index])))
    return ratios
