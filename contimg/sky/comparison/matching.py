"""Catalogued sources beside their measurements: which of them are compared."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from contimg.instrument.coordinates import unit_vectors
from contimg.sky.catalogue import CatalogueSources

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_SNR = 7.0  # predicted peak over noise of a source that is compared
DETECTED_SNR = 5.0
MIN_PB = 0.2  # below it the primary beam is not known well enough to compare fluxes
CATALOGUE_LIMITS = (
    3.0  # flux over the catalogue's limit: near it, errors of the flux select sources that are too bright
)
NEIGHBOUR_LEVEL = 0.01  # largest part of a source's peak that a neighbour may add where the source is fitted
NEIGHBOUR_BEAMS = 3.0  # distance up to which neighbours are considered
FLUX_FLOOR = 0.03  # relative error that no table lists: flux scale, primary beam, deconvolution
POSITION_FLOOR_ARCSEC = 0.1
BEAM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))


@dataclass(frozen=True)
class Measurements:
    """What an image shows at the positions of catalogued sources; arrays of shape (sources,), NaN where it is blank.

    Attributes
    ----------
    apparent_jy : peak of the synthesized beam fitted there, Jy per beam.
    rms_jy : local noise, Jy per beam.
    pb : the primary beam; 1 where the image is corrected for it.
    offset_east_arcsec, offset_north_arcsec : fitted minus catalogued position.
    east_deg, north_deg : position relative to the image's centre.
    """

    apparent_jy: Values
    rms_jy: Values
    pb: Values
    offset_east_arcsec: Values
    offset_north_arcsec: Values
    east_deg: Values
    north_deg: Values


@dataclass(frozen=True)
class MatchedSources:
    """Catalogued sources that the image should show and that are unresolved and isolated; arrays of shape (sources,).

    Attributes
    ----------
    index : number of the source in the list given.
    flux_jy : catalogued flux at the image's frequency.
    snr : predicted peak over the local noise.
    pb, east_deg, north_deg, offset_east_arcsec, offset_north_arcsec : as of `Measurements`.
    offset_error_arcsec : error of an offset on an axis, of image and catalogue.
    flux_ratio, flux_ratio_error : measured over catalogued flux, and its error.
    is_detected : whether the fitted peak exceeds `DETECTED_SNR` times the noise.
    is_compared : whether the source is above the limits of image and catalogue, so that its ratio is unbiased.
    """

    index: NDArray[np.intp]
    flux_jy: Values
    snr: Values
    pb: Values
    east_deg: Values
    north_deg: Values
    offset_east_arcsec: Values
    offset_north_arcsec: Values
    offset_error_arcsec: Values
    flux_ratio: Values
    flux_ratio_error: Values
    is_detected: Mask
    is_compared: Mask

    @property
    def radius_deg(self) -> Values:
        """Distances from the image's centre."""
        return np.hypot(self.east_deg, self.north_deg)


def match_sources(
    measured: Measurements, sources: CatalogueSources, frequency_hz: float, flux_limit_jy: float,
    beam_arcsec: tuple[float, float],
) -> MatchedSources:  # fmt: skip
    """Choose the catalogued sources that can be compared with an image.

    Parameters
    ----------
    measured : at the positions of the sources.
    sources : a part of the catalogue, with all sources around those that are in the image.
    frequency_hz : of the image.
    flux_limit_jy : of the catalogue, at its own frequency.
    beam_arcsec : major and minor axis of the synthesized beam, full widths at half maximum.
    """
    flux_jy = sources.flux_at(frequency_hz)
    is_single = sources.is_isolated & ~sources.is_resolved & ~sources.is_confused
    is_single &= ~find_blended(sources.ra_deg, sources.dec_deg, flux_jy, beam_arcsec[0] / 3600)
    with np.errstate(invalid="ignore"):
        is_shown = np.isfinite(measured.apparent_jy) & (measured.rms_jy > 0) & (measured.pb >= MIN_PB) & (flux_jy > 0)
    index = np.flatnonzero(is_shown & is_single)
    rms_jy, pb, flux_jy = measured.rms_jy[index], measured.pb[index], flux_jy[index]
    snr, measured_snr = flux_jy * pb / rms_jy, measured.apparent_jy[index] / rms_jy
    fit_error = BEAM_TO_SIGMA * float(np.sqrt(beam_arcsec[0] * beam_arcsec[1])) / np.maximum(measured_snr, 1.0)
    catalogue_error = np.nan_to_num(sources.position_error_deg[index]) * 3600
    flux_error = np.nan_to_num(sources.flux_error_jy[index]) / sources.flux_jy[index]
    is_above_limit = sources.flux_jy[index] >= CATALOGUE_LIMITS * flux_limit_jy
    return MatchedSources(
        index=index, flux_jy=flux_jy, snr=snr, pb=pb, east_deg=measured.east_deg[index],
        north_deg=measured.north_deg[index], offset_east_arcsec=measured.offset_east_arcsec[index],
        offset_north_arcsec=measured.offset_north_arcsec[index],
        offset_error_arcsec=np.sqrt(fit_error**2 + catalogue_error**2 + POSITION_FLOOR_ARCSEC**2),
        flux_ratio=measured.apparent_jy[index] / (pb * flux_jy),
        flux_ratio_error=np.sqrt(snr**-2 + flux_error**2 + FLUX_FLOOR**2),
        is_detected=measured_snr >= DETECTED_SNR, is_compared=is_above_limit & (snr >= MIN_SNR),
    )  # fmt: skip


def find_blended(ra_deg: Values, dec_deg: Values, flux_jy: Values, beam_deg: float) -> Mask:
    """Return which sources have a neighbour that changes their peak in an image of a beam.

    A Gaussian beam of full width b falls by 2^(-4 d²/b²) at a distance d. The fit of a source extends to b/2, so a
    neighbour counts with its response there.

    Parameters
    ----------
    ra_deg, dec_deg, flux_jy : shape (sources,).
    beam_deg : major axis of the synthesized beam.

    Returns
    -------
    shape (sources,).
    """
    is_blended = np.zeros(ra_deg.size, dtype=np.bool_)
    if ra_deg.size < 2:
        return is_blended
    vectors = unit_vectors(np.deg2rad(ra_deg), np.deg2rad(dec_deg))
    pairs = cKDTree(vectors).query_pairs(np.deg2rad(NEIGHBOUR_BEAMS * beam_deg), output_type="ndarray")
    beams = np.rad2deg(np.linalg.norm(vectors[pairs[:, 0]] - vectors[pairs[:, 1]], axis=1)) / beam_deg
    response = 2.0 ** (-4 * np.maximum(0, beams - 0.5) ** 2)
    for i, j in (pairs.T, pairs[:, ::-1].T):
        is_blended[i[flux_jy[j] * response > NEIGHBOUR_LEVEL * flux_jy[i]]] = True
    return is_blended
