"""Clean: Radler's minor cycles (van der Tol et al., the deconvolution of WSClean) between ducc0's major cycles."""

import logging
from dataclasses import dataclass

import numpy as np
import radler

from contimg.imaging.chatter import chatter_logged
from contimg.imaging.gridding import Gridder, Image
from contimg.imaging.options import ImageOptions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cleaned:
    """What clean took out of an image and what it left.

    Attributes
    ----------
    model : Jy per pixel, shape (size, size).
    residual : Jy per beam, shape (size, size).
    iterations, cycles : minor iterations and major cycles used.
    """

    model: Image
    residual: Image
    iterations: int
    cycles: int

    @property
    def components(self) -> int:
        """Number of pixels that hold a clean component."""
        return int(np.count_nonzero(self.model))


def clean(gridder: Gridder, point_spread: Image, beam_rad: float, options: ImageOptions) -> Cleaned:
    """Clean to `mask_sigma` anywhere, then to `threshold_sigma` where components were found.

    `beam_rad` is the rough size of the beam.
    """
    residual = gridder.dirty(gridder.visibilities.stokes_i)
    model = np.zeros_like(residual)
    if options.iterations == 0:
        return Cleaned(model, residual, 0, 0)
    minor = radler.Radler(_settings(gridder, options), point_spread, residual, model, beam_rad)
    minor.worker_thread_count = options.threads
    cycle, more = 0, True
    while more and cycle < options.major_cycles:
        with chatter_logged(log):
            more = minor.perform(cycle)
        cycle += 1
        residual[:] = gridder.residual(model)
        log.debug("major cycle %d: %d iterations, %.6g Jy cleaned", cycle, minor.iteration_number, model.sum())
    return Cleaned(model, residual, int(minor.iteration_number), cycle)


def _settings(gridder: Gridder, options: ImageOptions) -> radler.Settings:
    settings = radler.Settings()
    settings.algorithm_type = radler.AlgorithmType.generic_clean
    settings.trimmed_image_width = settings.trimmed_image_height = gridder.size
    settings.pixel_scale.x = settings.pixel_scale.y = gridder.pixel_rad
    settings.minor_iteration_count = options.iterations
    settings.major_iteration_count = options.major_cycles
    settings.minor_loop_gain = options.gain
    settings.major_loop_gain = options.major_gain
    settings.auto_mask_sigma = options.mask_sigma
    settings.auto_threshold_sigma = options.threshold_sigma
    settings.thread_count = options.threads
    return settings
