"""Clean: minor cycles by Radler (the deconvolution of WSClean; Offringa et al. 2014), major cycles by ducc0."""

import logging
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO

import numpy as np
import radler

from contimg.tile.image.gridding.gridding import Bands, Image
from contimg.tile.image.gridding.noise import robust_rms
from contimg.tile.image.options import ImageOptions

log = logging.getLogger(__name__)

DIVERGED = 1.5  # a cycle that leaves a residual this many times higher than it found made things worse
FEW = 0.05  # a masked cycle that took less than this part of all iterations has nothing left to find
NOISE_FALLS = 0.9  # a cycle that brings the noise below this part of what it was may have uncovered sources


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


def clean(bands: Bands, point_spread: Image, beam_rad: float, thermal_jy: float, options: ImageOptions) -> Cleaned:
    """Clean anywhere to `mask_sigma` times the noise, then where components were found to `threshold_sigma`.

    The noise is measured anew in every major cycle, because the sidelobes of bright sources fill the first dirty
    image: a mask drawn at its noise would leave out all but those. Several parts of the band are cleaned together:
    components are found in their mean, and their spectra are fitted with a polynomial (Offringa & Smirnov 2017).

    Parameters
    ----------
    point_spread : of the parts, shape (parts, size, size).
    beam_rad : the rough size of the beam.
    thermal_jy : the noise expected, below which nothing is cleaned, whatever the residual looks like.
    """
    cycles = _Cycles(bands, point_spread, beam_rad, thermal_jy, options)
    while cycles.left() and cycles.peak_jy() > options.mask_sigma * cycles.noise_jy and cycles.run(masked=False):
        pass
    if cycles.models.any() and options.threshold_sigma < options.mask_sigma:
        while cycles.left() and cycles.run(masked=True):
            pass
    return Cleaned(bands.mean(cycles.models), cycles.residual, cycles.iterations, cycles.number)


class _Cycles:
    """The state of a clean: the models so far, the residuals that they leave, the effort spent."""

    def __init__(
        self, bands: Bands, point_spread: Image, beam_rad: float, thermal_jy: float, options: ImageOptions
    ) -> None:
        self.bands, self.point_spread, self.options = bands, point_spread, options
        self.beam_rad, self.thermal_jy = beam_rad, thermal_jy
        self.residuals = bands.dirty()
        self.models = np.zeros_like(self.residuals)
        self.noise_jy = max(robust_rms(self.residual), thermal_jy)
        self.iterations = self.number = 0

    @property
    def residual(self) -> Image:
        """The residual of the whole band."""
        return self.bands.mean(self.residuals)

    def left(self) -> bool:
        """Whether iterations and major cycles are left."""
        return self.iterations < self.options.iterations and self.number < self.options.major_cycles

    def peak_jy(self) -> float:
        """The residual's largest absolute value."""
        residual = self.residual
        return float(max(residual.max(), -residual.min()))

    def run(self, masked: bool) -> bool:
        """One major cycle, perhaps within the models' pixels alone; whether another one would help."""
        iterations, noise_jy, peak_jy = self.iterations, self.noise_jy, self.peak_jy()
        before = self.models.copy(), self.residuals.copy()
        more = self._minor(masked)
        self.number += 1
        if self.iterations == iterations:
            self.residuals[:] = before[1]
            return False
        self.residuals[:] = self.bands.residual(self.models)
        self.noise_jy = max(robust_rms(self.residual), self.thermal_jy)
        cleaned_jy = self.bands.mean(self.models).sum()
        log.debug("major cycle %d: %d iterations, %.6g Jy", self.number, self.iterations, cleaned_jy)
        if self.peak_jy() > DIVERGED * peak_jy:
            log.warning("clean diverged in cycle %d: stopped before it", self.number)
            self.models[:], self.residuals[:] = before
            self.iterations = self.options.iterations
            return False
        if masked:
            return more and self.iterations - iterations > FEW * self.iterations
        return more or self.noise_jy < NOISE_FALLS * noise_jy

    def _minor(self, masked: bool) -> bool:
        """Minor iterations on the residuals; whether Radler wants another major cycle."""
        settings, parts = self._settings(masked), len(self.bands.parts)
        minor = radler.Radler(
            settings, self.point_spread, self.residuals, self.models, self.beam_rad, parts, self.bands.edges_hz,
            self.bands.shares,
        )  # fmt: skip
        minor.worker_thread_count = self.options.threads
        with redirect_stdout(StringIO()) as said:  # Radler prints its progress there
            more = bool(minor.perform(0))
        log.debug("%s", said.getvalue().rstrip())
        self.iterations += int(minor.iteration_number)
        return more

    def _settings(self, masked: bool) -> radler.Settings:
        options, settings = self.options, radler.Settings()
        kinds = radler.AlgorithmType
        settings.algorithm_type = kinds.multiscale if options.multiscale else kinds.generic_clean
        settings.trimmed_image_width = settings.trimmed_image_height = self.models.shape[-1]
        settings.pixel_scale.x = settings.pixel_scale.y = self.bands.parts[0].pixel_rad
        settings.minor_iteration_count = options.iterations - self.iterations
        settings.minor_loop_gain = options.gain
        settings.major_loop_gain = options.major_gain
        settings.auto_mask_sigma = options.mask_sigma if masked else None
        depth_sigma = options.threshold_sigma if masked else options.mask_sigma
        settings.auto_threshold_sigma = depth_sigma
        settings.absolute_threshold = depth_sigma * self.thermal_jy
        if options.local_noise:
            settings.local_rms.method = radler.LocalRmsMethod.rms_window
        if len(self.bands.parts) > 1:
            settings.channels_out = len(self.bands.parts)
            settings.spectral_fitting.mode = radler.SpectralFittingMode.polynomial
            settings.spectral_fitting.terms = min(options.spectral_terms, len(self.bands.parts))
        settings.thread_count = options.threads
        return settings
