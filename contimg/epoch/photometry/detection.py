"""Blind detections in an image, of which those without a counterpart become sources of the pipeline's own."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from contimg.common.units import FWHM_PER_SIGMA
from contimg.epoch.mosaic.noise import measure_noise_map
from contimg.epoch.mosaic.sources import find_peaks, fit_beams
from contimg.epoch.photometry.image import RestoredImage
from contimg.tile.image.sources.finding import STRONG_BEAMS, STRONG_FRACTION, position_name

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Detections:
    """Sources that an image shows, the brightest first; arrays of shape (detections,).

    Attributes
    ----------
    name : `JHHMMSS.s+DDMMSS` of the position, which no two detections share.
    ra_deg, dec_deg : ICRS.
    position_error_arcsec : standard error on each axis from the noise.
    flux_jy, rms_jy : peak and local noise, Jy per beam, divided by the primary beam.
    """

    name: NDArray[np.str_]
    ra_deg: Values
    dec_deg: Values
    position_error_arcsec: Values
    flux_jy: Values
    rms_jy: Values

    def __len__(self) -> int:
        return self.ra_deg.size

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Self:
        return type(self)(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def detect_sources(image: RestoredImage, sigma: float) -> Detections:
    """Find the isolated maxima of an image above a multiple of the local noise, without those beside strong sources.

    Parameters
    ----------
    image : with its noise map, or the noise is measured.
    sigma : least peak over the local noise.
    """
    major_pixels = image.axis_pixels[0]
    valid = np.isfinite(image.pixels)
    rms = np.ones_like(image.pixels) if image.rms is None else image.rms
    with np.errstate(invalid="ignore", divide="ignore"):
        valid &= rms > 0
        snr = np.where(valid, image.pixels / rms, np.float32(np.nan)).astype(np.float32)
    noise = measure_noise_map(snr, valid, major_pixels)
    peaks = find_peaks(snr, valid.astype(np.float32), noise, sigma, major_pixels, limit=None)
    peak_jy, x, y = fit_beams(
        image.pixels, peaks.astype(np.float64), np.zeros(peaks.shape[1]), image.beam, 3600 * image.pixel_deg
    )
    is_fitted = np.isfinite(peak_jy)
    is_fitted[is_fitted] = ~_find_beside_strong(x[is_fitted], y[is_fitted], peak_jy[is_fitted], major_pixels)
    peaks, peak_jy, x, y = peaks[:, is_fitted], peak_jy[is_fitted], x[is_fitted], y[is_fitted]
    rows, columns = peaks
    boxes = [np.clip(np.rint((axis - noise.first) / noise.step).astype(int), 0, count - 1)
             for axis, count in zip(peaks, noise.values.shape, strict=True)]  # fmt: skip
    rms_jy = rms[rows, columns].astype(np.float64) * noise.values[boxes[0], boxes[1]]
    pb = np.ones(x.size) if image.pb is None else image.pb[rows, columns].astype(np.float64)
    ra, dec = image.wcs.wcs_pix2world(np.stack([x, y], axis=-1), 0).T if x.size else (x, y)
    names = [position_name(*direction, with_tenths=True) for direction in zip(ra, dec, strict=True)]
    return Detections(
        np.array(names, dtype=np.str_), ra % 360, dec,
        image.beam.major_arcsec / FWHM_PER_SIGMA * rms_jy / peak_jy, peak_jy / pb, rms_jy / pb,
    )  # fmt: skip


def _find_beside_strong(x: Values, y: Values, peak_jy: Values, beam_pixels: float) -> NDArray[np.bool_]:
    """Whether a source is so near to one so much stronger that it may be its sidelobe."""
    is_beside = np.zeros(x.size, dtype=np.bool_)
    if x.size > 1:
        pairs = cKDTree(np.stack([x, y], axis=-1)).query_pairs(STRONG_BEAMS * beam_pixels, output_type="ndarray")
        for i, j in (pairs.T, pairs[:, ::-1].T):
            is_beside[i[peak_jy[i] < STRONG_FRACTION * peak_jy[j]]] = True
    return is_beside
