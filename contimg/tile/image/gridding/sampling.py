"""Choice of the pixels' size: the longest baseline's fringe and the synthesized beam are sampled."""

from dataclasses import replace

import numpy as np

from contimg.common.errors import BadInput
from contimg.tile.image.deconvolution.restoring import fit_beam
from contimg.tile.image.gridding.gridder import Gridder
from contimg.tile.image.gridding.visibilities import ARCSEC_RAD, MAX_PIXEL_ARCSEC, Visibilities

PIXELS_PER_FRINGE = 2.6  # of the longest baseline; the Nyquist limit is 2
PIXELS_PER_BEAM = 4.1  # across the beam's minor axis, with a margin over the limit of the grade
STEP_ARCSEC = 0.5  # of pixels that the beam gives: the tiles of a strip have the same
PSF_SIZE, PSF_SAMPLES = 256, 4_000_000


def choose_pixel_arcsec(visibilities: Visibilities) -> float:
    """Choose a pixel that samples the longest baseline's fringe, rounded down to 0.1 arcsec, at most 6 arcsec.

    Parameters
    ----------
    visibilities : their longest baseline with weight counts, in wavelengths.
    """
    pixel_arcsec = 1 / (PIXELS_PER_FRINGE * visibilities.longest_baseline_lambda) / ARCSEC_RAD
    return float(min(MAX_PIXEL_ARCSEC, max(0.1, np.floor(pixel_arcsec * 10) / 10)))


def refine_pixel_arcsec(gridder: Gridder) -> float:
    """Return a pixel of which the synthesized beam has `PIXELS_PER_BEAM` across; the gridder's where it has more.

    The beam is that of a part of the samples.

    Parameters
    ----------
    gridder : the visibilities with their imaging weights and pixels.
    """
    pixel_arcsec = round(gridder.pixel_rad / ARCSEC_RAD, 6)
    step = max(1, gridder.weights.size // PSF_SAMPLES)
    part = replace(gridder.select_rows(np.arange(0, gridder.weights.shape[0], step)), size=min(PSF_SIZE, gridder.size))
    try:
        beam = fit_beam(part.psf(), pixel_arcsec)
    except BadInput:  # without weight, or without a peak: the whole data have the same fault
        return pixel_arcsec
    finer_arcsec = beam.minor_arcsec / PIXELS_PER_BEAM
    if finer_arcsec >= pixel_arcsec:
        return pixel_arcsec
    steps = np.floor(finer_arcsec / STEP_ARCSEC)
    return float(steps * STEP_ARCSEC if steps > 1 else max(0.1, np.floor(finer_arcsec * 10) / 10))
