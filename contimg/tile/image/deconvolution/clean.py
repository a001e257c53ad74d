"""CLEAN: minor cycles by Radler (the deconvolution of WSClean; Offringa et al. 2014), major cycles by ducc0."""

import logging
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Protocol

import numpy as np
import radler
from numpy.typing import NDArray

from contimg.quality.image import NOISE
from contimg.tile.image.gridding.gridder import Image
from contimg.tile.image.gridding.noise import measure_rms
from contimg.tile.image.options import ImageOptions

log = logging.getLogger(__name__)

DIVERGED = 1.5  # a cycle whose residual is this many times higher than before has diverged
MIN_PROGRESS = 0.05  # masked cycles end when one takes less than this fraction of all iterations
NOISE_FALLS = 0.85  # below this fraction of the previous noise, fainter sources may have come above the mask
# Peaks over the noise above which components are predicted with the w term (which costs up to 0.5 % of a source at a
# corner of the field) and with the changes within the tile (sidelobes of up to a few percent around a source).
W_SNR, CHANGES_SNR = 100.0, 20.0
MAX_PENDING = 0.05  # part of the flux that may be predicted without them in the end
NOISE_STEP = 3  # of pixels of which the noise is measured; neighbours are not independent


class Bands(Protocol):
    """The visibilities of parts of the band, as clean uses them; images have the shape (parts, rows, columns)."""

    @property
    def pixel_rad(self) -> float:
        """Size of a pixel, radians."""

    @property
    def weight_fractions(self) -> NDArray[np.float64]:
        """Fraction of the total weight in each part, shape (parts,)."""

    @property
    def edges_hz(self) -> NDArray[np.float64]:
        """Lower and upper edge of each part, shape (parts, 2)."""

    def image(self, models: Image, with_w: bool, with_changes: bool) -> Image:
        """Return the residual images that models of the parts leave, as `Residuals.image`."""

    def pending_fraction(self, models: Image) -> float:
        """Return the part of the models' flux that was not predicted with the w term and the changes."""

    def exact_image(self) -> Image:
        """Return the residual images of the components predicted so far, gridded with the w term."""

    def mean(self, images: Image) -> Image:
        """Return the weighted mean of the parts' images."""


@dataclass(frozen=True)
class CleanResult:
    """Model and residual of a clean.

    Attributes
    ----------
    model : Jy per pixel, shape (rows, columns).
    residual : Jy per beam, shape (rows, columns).
    iterations : minor iterations used.
    stopped_by : `noise`, or the limit that ended the cleaning before it: `iterations`, `major cycles` or
        `divergence`; None where no cleaning was requested.
    """

    model: Image
    residual: Image
    iterations: int
    stopped_by: str | None

    @property
    def components(self) -> int:
        """Number of pixels with a clean component."""
        return int(np.count_nonzero(self.model))


def clean(
    bands: Bands, psf: Image, beam_rad: float, thermal_rms_jy: float | None, options: ImageOptions
) -> CleanResult:
    """Clean everywhere to `mask_sigma` times the noise, then where components were found to `threshold_sigma`.

    The noise is measured in every major cycle, because sidelobes of bright sources fill the first dirty image and a
    mask at its noise would leave out the other sources. Several parts of the band are cleaned together: components are
    found in their mean, and their spectra are fitted with a polynomial (Offringa & Smirnov 2017).

    Parameters
    ----------
    bands : the visibilities, by part of the band.
    psf : point-spread functions of the parts, shape (parts, rows, columns).
    beam_rad : approximate size of the synthesized beam.
    thermal_rms_jy : noise below which nothing is cleaned; None where it is not known.
    options : iterations, gains and thresholds.
    """
    state = _Clean(bands, psf, beam_rad, thermal_rms_jy or 0.0, options)
    is_complete = state.run_cycles(masked=False)
    # What the cycles without the w term and the changes have missed is not taken for divergence of a later cycle.
    state.update_residual()
    is_complete = is_complete and state.run_cycles(masked=False)
    if state.models.any() and options.threshold_sigma < options.mask_sigma:
        is_complete = state.run_cycles(masked=True) and is_complete
    state.finish()
    stopped_by = state.find_limit(is_complete) if options.iterations else None
    return CleanResult(bands.mean(state.models), state.residual, state.iterations, stopped_by)


class _Clean:
    """State of a clean: models, residuals, noise, and the cycles and iterations used."""

    def __init__(self, bands: Bands, psf: Image, beam_rad: float, thermal_rms_jy: float, options: ImageOptions) -> None:
        self.bands, self.psf, self.options = bands, psf, options
        self.beam_rad, self.thermal_rms_jy = beam_rad, thermal_rms_jy
        self.models = np.zeros_like(psf)
        self.residuals = self.bands.image(self.models, with_w=False, with_changes=False)
        self.rms_jy = self._measure_noise()
        self.iterations = self.cycles = 0
        self.has_diverged = False

    @property
    def residual(self) -> Image:
        """Residual of the whole band."""
        return self.bands.mean(self.residuals)

    def run_cycles(self, masked: bool) -> bool:
        """Run major cycles to the end of a phase.

        Parameters
        ----------
        masked : whether components are confined to pixels that the models have already.

        Returns
        -------
        False where a limit ends the phase.
        """
        options = self.options
        while masked or self.peak_jy() > options.mask_sigma * self.rms_jy:
            if self.has_diverged or self.iterations >= options.iterations or self.cycles >= options.major_cycles:
                return False
            if not self.run(masked):
                break
        return self.iterations < options.iterations and not self.has_diverged

    def find_limit(self, is_complete: bool) -> str:
        """Return what ended the cleaning.

        Parameters
        ----------
        is_complete : whether every phase came to its end.
        """
        if is_complete:
            return NOISE
        if self.has_diverged:
            return "divergence"
        return "iterations" if self.iterations >= self.options.iterations else "major cycles"

    def peak_jy(self) -> float:
        """Largest absolute residual."""
        residual = self.residual
        return float(max(residual.max(), -residual.min()))

    def run(self, masked: bool) -> bool:
        """Run one major cycle: minor iterations, then residuals from the visibilities; one that diverges is undone.

        Parameters
        ----------
        masked : whether components are confined to pixels that the models have already.

        Returns
        -------
        Whether another cycle would make progress.
        """
        iterations, rms_jy, peak_jy = self.iterations, self.rms_jy, self.peak_jy()
        models, residuals = self.models.copy(), self.residuals.copy()
        unfinished = self._run_minor(masked)
        self.cycles += 1
        if self.iterations == iterations:
            self.residuals[:] = residuals
            return False
        snr = peak_jy / rms_jy
        self._grid_residual(masked or snr > W_SNR, masked or snr > CHANGES_SNR)
        cleaned_jy = self.bands.mean(self.models).sum()
        log.debug("major cycle %d: %d iterations, %.6g Jy", self.cycles, self.iterations, cleaned_jy)
        if self.peak_jy() > DIVERGED * peak_jy:
            log.warning("clean diverged in major cycle %d; its components are discarded", self.cycles)
            self.models[:], self.residuals[:] = models, residuals
            self.has_diverged = True
            return False
        if masked:
            return unfinished and self.iterations - iterations > MIN_PROGRESS * self.iterations
        return unfinished or self.rms_jy < NOISE_FALLS * rms_jy

    def update_residual(self) -> None:
        """Predict all components with the w term and the changes, where too many were predicted without them."""
        if self.bands.pending_fraction(self.models) > MAX_PENDING:
            self._grid_residual(with_w=True, with_changes=True)

    def finish(self) -> None:
        """Bring the residual up to date where it is not, and grid it with the w term where nothing was cleaned."""
        self.update_residual()
        if not self.models.any():
            self.residuals[:] = self.bands.exact_image()

    def _grid_residual(self, with_w: bool, with_changes: bool) -> None:
        self.residuals[:] = self.bands.image(self.models, with_w, with_changes)
        self.rms_jy = self._measure_noise()

    def _measure_noise(self) -> float:
        return max(measure_rms(self.residual[::NOISE_STEP, ::NOISE_STEP]), self.thermal_rms_jy)

    def _run_minor(self, masked: bool) -> bool:
        """Run minor iterations on the residuals; return whether Radler requests another major cycle."""
        settings, parts = self._settings(masked), len(self.models)
        minor = radler.Radler(
            settings, self.psf, self.residuals, self.models, self.beam_rad, parts, self.bands.edges_hz,
            self.bands.weight_fractions,
        )  # fmt: skip
        minor.worker_thread_count = self.options.threads
        with redirect_stdout(StringIO()) as output:
            unfinished = bool(minor.perform(0))
        log.debug("%s", output.getvalue().rstrip())
        self.iterations += int(minor.iteration_number)
        return unfinished

    def _settings(self, masked: bool) -> radler.Settings:
        options, settings, parts = self.options, radler.Settings(), len(self.models)
        algorithms = radler.AlgorithmType
        settings.algorithm_type = algorithms.multiscale if options.multiscale else algorithms.generic_clean
        settings.trimmed_image_height, settings.trimmed_image_width = self.models.shape[1:]
        settings.pixel_scale.x = settings.pixel_scale.y = self.bands.pixel_rad
        settings.minor_iteration_count = options.iterations - self.iterations
        settings.minor_loop_gain = options.gain
        settings.major_loop_gain = options.major_gain
        settings.auto_mask_sigma = options.mask_sigma if masked else None
        depth_sigma = options.threshold_sigma if masked else options.mask_sigma
        settings.auto_threshold_sigma = depth_sigma
        settings.absolute_threshold = depth_sigma * self.thermal_rms_jy
        if options.local_noise:
            settings.local_rms.method = radler.LocalRmsMethod.rms_window
        if parts > 1:
            settings.channels_out = parts
            settings.spectral_fitting.mode = radler.SpectralFittingMode.polynomial
            settings.spectral_fitting.terms = min(options.spectral_terms, parts)
        settings.thread_count = options.threads
        return settings
