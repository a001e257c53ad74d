"""Blind detections against known sources, on the sphere, and whether an earlier epoch could have shown a new one.

Two positions are one source where their separation over their combined errors, the de Ruiter radius (de Ruiter et al.
1977, A&AS 28, 211; Swinbank et al. 2015), is below a limit. The errors have a systematic part, which does not shrink
with the flux: without it a bright source becomes two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contimg.common.errors import BadInput
from contimg.instrument.coordinates import separation_rad, unit_vectors
from contimg.sky.variability.options import AssociationOptions

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
_MAX_FROM_CENTRE_DEG = 60.0  # of a projection; beyond it pixels of the far side of the sphere may repeat


@dataclass(frozen=True)
class Positions:
    """Positions on the sky, ICRS; arrays of shape (positions,).

    Attributes
    ----------
    ra_deg, dec_deg : right ascension of any turn.
    error_arcsec : standard error on each axis, without the systematic part; NaN counts as 0.
    """

    ra_deg: Values
    dec_deg: Values
    error_arcsec: Values

    @classmethod
    def of(cls, ra_deg: ArrayLike, dec_deg: ArrayLike, error_arcsec: ArrayLike = 0.0) -> "Positions":
        """Make positions of any sequences; an error for all, or of each.

        Parameters
        ----------
        ra_deg, dec_deg, error_arcsec : as of the class.
        """
        arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(axis, float)) for axis in (ra_deg, dec_deg)))
        return cls(
            arrays[0], arrays[1], np.nan_to_num(np.broadcast_to(np.asarray(error_arcsec, float), arrays[0].shape))
        )

    def __len__(self) -> int:
        return self.ra_deg.size

    @property
    def vectors(self) -> Values:
        """Unit vectors, shape (positions, 3)."""
        return unit_vectors(np.deg2rad(self.ra_deg), np.deg2rad(self.dec_deg))


@dataclass(frozen=True)
class Association:
    """Every pair of a detection and a source that may be one; arrays of shape (pairs,), ordered by detection.

    A detection with several sources, and a source with several detections, keep all their pairs.

    Attributes
    ----------
    detection, source : indices of the pair.
    separation_arcsec : between both.
    radius : separation over its error.
    is_nearest : whether the source is that of the smallest radius of the detection.
    has_source : shape (detections,): whether a detection has a pair.
    """

    detection: NDArray[np.int64]
    source: NDArray[np.int64]
    separation_arcsec: Values
    radius: Values
    is_nearest: Mask
    has_source: Mask


class Novelty(StrEnum):
    """What earlier epochs say of a detection without a counterpart."""

    NEW = "new"  # an earlier epoch would have shown it
    TOO_FAINT = "too faint"  # earlier epochs cover the position, and none was deep enough
    NOT_COVERED = "not covered"  # no earlier epoch has the position


def associate(
    detections: Positions, sources: Positions, beam_arcsec: float, options: AssociationOptions | None = None
) -> Association:
    """Find the sources that each detection may be.

    Parameters
    ----------
    detections, sources : on the sphere.
    beam_arcsec : major axis of the restoring beam of the detections.
    options : limits and the systematic error.
    """
    options = options or AssociationOptions()
    has_source = np.zeros(len(detections), dtype=np.bool_)
    if not len(detections) or not len(sources):
        nothing = np.zeros(0, dtype=np.int64)
        return Association(nothing, nothing, np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.bool_), has_source)
    from scipy.spatial import cKDTree  # heavy, and the store imports this module

    reach_arcsec = max(options.max_beams, options.same_beams) * beam_arcsec
    chord = 2 * np.sin(np.deg2rad(reach_arcsec / 3600) / 2) * (1 + 1e-9)
    lists = cKDTree(sources.vectors).query_ball_point(detections.vectors, chord)
    detection = np.repeat(np.arange(len(detections)), [len(indices) for indices in lists])
    source = np.array([index for indices in lists for index in indices], dtype=np.int64)
    separation = _separations_arcsec(detections, detection, sources, source)
    error = np.sqrt(
        detections.error_arcsec[detection] ** 2 + sources.error_arcsec[source] ** 2 + 2 * options.systematic_arcsec**2
    )
    radius = separation / np.maximum(error, 1e-9)
    is_pair = (radius <= options.max_radius) | (separation <= options.same_beams * beam_arcsec)
    order = np.lexsort((radius[is_pair], detection[is_pair]))
    detection, source, separation, radius = (
        values[is_pair][order] for values in (detection, source, separation, radius)
    )
    has_source[detection] = True
    is_nearest = np.ones(detection.size, dtype=np.bool_)
    is_nearest[1:] = detection[1:] != detection[:-1]
    return Association(detection, source, separation, radius, is_nearest, has_source)


def read_noise_at(rms_path: Path, ra_deg: ArrayLike, dec_deg: ArrayLike) -> Values:
    """Return the noise of a mosaic at positions.

    Parameters
    ----------
    rms_path : the mosaic's noise map, a FITS image (`NAME.rms.fits`).
    ra_deg, dec_deg : ICRS, shape (positions,).

    Returns
    -------
    Jy per beam, shape (positions,): the largest value of the 3 x 3 pixels around a position; NaN outside the image and
    beside blank pixels, where a source would not have been searched for.

    Raises
    ------
    BadInput : the map cannot be read.
    """
    from astropy.io import fits
    from astropy.wcs import WCS

    ra, dec = (np.atleast_1d(np.asarray(axis, float)) for axis in (ra_deg, dec_deg))
    noise = np.full(ra.size, np.nan)
    try:
        with fits.open(rms_path, memmap=True) as file:
            header, data = file[0].header, file[0].data
            if data is None:
                raise BadInput(f"{rms_path}: has no image; give the noise map of a mosaic")
            plane, wcs = data.reshape(data.shape[-2:]), WCS(header).celestial
            centre_deg = wcs.wcs_pix2world([[(plane.shape[1] - 1) / 2, (plane.shape[0] - 1) / 2]], 0)
            away_rad = separation_rad(np.deg2rad(np.stack([ra, dec], axis=-1)), np.deg2rad(centre_deg))
            near = np.flatnonzero(away_rad < np.deg2rad(_MAX_FROM_CENTRE_DEG))
            pixels = wcs.wcs_world2pix(ra[near], dec[near], 0) if near.size else (np.zeros(0), np.zeros(0))
            x, y = (np.nan_to_num(np.rint(axis), nan=-1.0).astype(np.int64) for axis in pixels)
            inside = (x >= 1) & (y >= 1) & (x < plane.shape[1] - 1) & (y < plane.shape[0] - 1)
            x, y = x[inside], y[inside]
            steps = np.array([-1, 0, 1])
            around = plane[y[:, None, None] + steps[:, None], x[:, None, None] + steps]
            noise[near[inside]] = np.where(around > 0, around, np.nan).max(axis=(1, 2))  # NaN stays
    except OSError as error:
        raise BadInput(f"{rms_path}: cannot be read as a noise map ({error}); give the one of the mosaic") from error
    return noise


def judge_novelty(
    flux_jy: ArrayLike, error_jy: ArrayLike, ra_deg: ArrayLike, dec_deg: ArrayLike, rms_paths: Sequence[Path],
    options: AssociationOptions | None = None,
) -> tuple[NDArray[np.str_], NDArray[np.int64]]:  # fmt: skip
    """Compare detections without a counterpart with the noise of every earlier epoch at their positions.

    Parameters
    ----------
    flux_jy, error_jy : of the detections, shape (detections,).
    ra_deg, dec_deg : ICRS, shape (detections,).
    rms_paths : noise maps of the accepted earlier epochs; one at a time is open.
    options : the flux over the noise that counts as visible.

    Returns
    -------
    The value of `Novelty` of each detection, and the number of earlier epochs that would have shown it.
    """
    options = options or AssociationOptions()
    flux, error = (np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in (flux_jy, error_jy))
    covered, visible = np.zeros(flux.size, dtype=np.int64), np.zeros(flux.size, dtype=np.int64)
    for path in rms_paths:
        noise = read_noise_at(path, ra_deg, dec_deg)
        covered += np.isfinite(noise)
        with np.errstate(invalid="ignore"):
            visible += flux >= options.new_sigma * noise + options.new_margin_sigma * np.hypot(noise, error)
    novelty = np.select([visible > 0, covered > 0], [Novelty.NEW, Novelty.TOO_FAINT], Novelty.NOT_COVERED)
    return novelty.astype(np.str_), visible


def _separations_arcsec(first: Positions, i: NDArray[np.int64], second: Positions, j: NDArray[np.int64]) -> Values:
    ends = [np.deg2rad(np.stack([p.ra_deg[k], p.dec_deg[k]], axis=-1)) for p, k in ((first, i), (second, j))]
    return np.asarray(np.rad2deg(separation_rad(*ends)) * 3600)
