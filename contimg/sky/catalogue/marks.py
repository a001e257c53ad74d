"""Marks of sources by their neighbours: confused, isolated; and whether a size is resolved."""

import numpy as np
from numpy.typing import NDArray

from contimg.instrument.coordinates import unit_vectors

ISOLATION_BEAMS = 3.0
CONFUSING_FRACTION = 0.01  # of a source's flux: what a neighbour within a beam adds to its peak
DISTURBING_FRACTION = 0.1  # of a source's flux: a neighbour farther away that shifts a fit or fills the noise box

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


def mark_neighbours(
    ra_deg: Numbers, dec_deg: Numbers, flux_jy: Numbers, neighbour_ra_deg: Numbers, neighbour_dec_deg: Numbers,
    neighbour_flux_jy: Numbers, beam_deg: float,
) -> tuple[Flags, Flags]:  # fmt: skip
    """Mark sources by what lies around them.

    Parameters
    ----------
    ra_deg, dec_deg, flux_jy : sources, shape (sources,).
    neighbour_ra_deg, neighbour_dec_deg, neighbour_flux_jy : all sources around them, themselves among them, shape
        (neighbours,).
    beam_deg : full width at half maximum.

    Returns
    -------
    is_confused : another source of at least `CONFUSING_FRACTION` of the flux lies within a beam; shape (sources,).
    is_isolated : neither that, nor a source of at least `DISTURBING_FRACTION` within `ISOLATION_BEAMS`.
    """
    from scipy.spatial import cKDTree  # slow to import, and every command reads the settings, which find catalogues

    vectors = unit_vectors(np.deg2rad(ra_deg), np.deg2rad(dec_deg))
    tree = cKDTree(unit_vectors(np.deg2rad(neighbour_ra_deg), np.deg2rad(neighbour_dec_deg)))
    beam, reach = (2 * np.sin(0.5 * np.deg2rad(width)) for width in (beam_deg, ISOLATION_BEAMS * beam_deg))
    pairs = cKDTree(vectors).sparse_distance_matrix(tree, reach, output_type="coo_matrix")
    source, neighbour, chord = pairs.row, pairs.col, pairs.data
    fraction = neighbour_flux_jy[neighbour] / np.maximum(flux_jy[source], 1e-30)
    is_self = _is_self(source, neighbour, ra_deg, dec_deg, neighbour_ra_deg, neighbour_dec_deg)
    is_confused, is_isolated = np.zeros(len(ra_deg), dtype=bool), np.ones(len(ra_deg), dtype=bool)
    is_confused[source[~is_self & (chord <= beam) & (fraction >= CONFUSING_FRACTION)]] = True
    is_isolated[source[~is_self & (fraction >= DISTURBING_FRACTION)]] = False
    return is_confused, is_isolated & ~is_confused


def _is_self(
    source: NDArray[np.int32], neighbour: NDArray[np.int32], ra_deg: Numbers, dec_deg: Numbers,
    neighbour_ra_deg: Numbers, neighbour_dec_deg: Numbers,
) -> Flags:  # fmt: skip
    """Whether a pair is a source with itself: the same position, and the first such pair of the source."""
    is_same = (ra_deg[source] == neighbour_ra_deg[neighbour]) & (dec_deg[source] == neighbour_dec_deg[neighbour])
    is_self = np.zeros(len(source), dtype=bool)
    indices = np.flatnonzero(is_same)
    _, first = np.unique(source[indices], return_index=True)
    is_self[indices[first]] = True
    return is_self
