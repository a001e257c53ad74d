"""The image stage: read, weight, grid, clean, restore, judge, write."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadInput, Misconfigured
from contimg.formats.ms.info import MSInfo, read_ms_info
from contimg.quality.grades import QualityGrade
from contimg.quality.image import QualityThresholds, grade_image
from contimg.tile.image.deconvolution.clean import Cleaned, clean
from contimg.tile.image.deconvolution.restoring import fit_beam, restore
from contimg.tile.image.deconvolution.wsclean import run_wsclean
from contimg.tile.image.fits_image import image_header
from contimg.tile.image.gridding.averaging import average_in_time, plan
from contimg.tile.image.gridding.gridding import Bands, Gridder, Image
from contimg.tile.image.gridding.noise import bowl_jy, expected_rms_jy, robust_rms
from contimg.tile.image.gridding.pixel_size import (
    ARCSEC_RAD,
    MAX_PIXEL_ARCSEC,
    longest_baseline_lambda,
    pixel_size_arcsec,
)
from contimg.tile.image.gridding.primary_beam import drift_attenuation
from contimg.tile.image.gridding.visibilities import Visibilities, choose_rows, read_visibilities
from contimg.tile.image.gridding.weighting import Weighting, foreseen_weights, imaging_weights
from contimg.tile.image.options import WSCLEAN, ImageOptions
from contimg.tile.image.plots.uv_spectrum import plots
from contimg.tile.image.provenance import read_calibration
from contimg.tile.image.result import Beam, Calibration, Products, QuickLook
from contimg.tile.image.sources.catalogue import compare, entries
from contimg.tile.image.sources.finding import find_sources
from contimg.tile.image.writing import write_products

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Steps:
    """Seconds by step."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Time a block under a step's name."""
        begun = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - begun, 3)
        log.debug("%s took %.2f s", step, self.seconds[step])


@dataclass(frozen=True)
class Picture:
    """What was imaged, before it is judged and written."""

    restored: Image
    attenuation: Image
    cleaned: Cleaned
    beam: Beam
    thermal_jy: float


def make_image(ms: Path, directory: Path, options: ImageOptions, thresholds: QualityThresholds) -> QuickLook:
    """Image one Measurement Set; see `contimg.tile.image.image`."""
    steps = Steps()
    description = read_ms_info(ms)
    calibration = read_calibration(description)
    with steps("read"):
        data, spans = _read(description, calibration.column, options)
    pixel_arcsec = options.pixel_arcsec or pixel_size_arcsec(data)
    with steps("weight"):
        gridder = _weighted(description, data, pixel_arcsec * ARCSEC_RAD, options)
        thermal_jy = expected_rms_jy(description, gridder.visibilities, gridder.weights)
    if options.imager == WSCLEAN:
        picture = _wscleaned(description, calibration.column, gridder, thermal_jy, directory, options, steps)
    else:
        picture = _picture(description, gridder, spans, thermal_jy, options, steps)
    look = _look(description, directory, gridder, picture, calibration, steps)
    with steps("sources"):
        look = _with_sources(look, picture, options)
    look = replace(look, quality=grade_image(look, thresholds))
    with steps("write"):
        wanted = plots(look, description, gridder, picture.restored, options.min_uv_klambda) if options.plots else {}
        write_products(look, picture.restored, picture.attenuation, options, wanted)
    log.info("%s: peak %.4g Jy, rms %.3g Jy, %s", look.products.fits, look.peak_jy, look.rms_jy, look.quality.grade)
    return look


def _read(description: MSInfo, column: str, options: ImageOptions) -> tuple[Visibilities, NDArray[np.int64]]:
    """The visibilities, and for each row the number of the span in which it may be averaged."""
    rows = choose_rows(description)
    if not rows.uvw_m.size:
        raise BadInput(
            f"{description.path}: no data left: no cross-correlation is unflagged and has weight; look at FLAG_ROW and "
            "WEIGHT"
        )
    pixel_rad = (options.pixel_arcsec or MAX_PIXEL_ARCSEC) * ARCSEC_RAD
    limit = options.smearing_percent / 100 if options.average else 0.0
    weights = foreseen_weights(description, rows, options.size, pixel_rad, _weighting(options))
    averaging = plan(description, rows, weights, 0.5 * options.size * pixel_rad, limit, options.channel_average)
    if description.freqs_hz.size % averaging.channels:
        raise Misconfigured(
            f"channel_average={averaging.channels}: does not divide the {description.freqs_hz.size} channels of "
            f"{description.path}; give a divisor, or 0"
        )
    data = read_visibilities(description, rows, column, averaging.channels)
    if data.samples == 0:
        raise BadInput(
            f"{description.path}: no data left: all visibilities flagged; look at its flags, or flag less and try again"
        )
    return data, averaging.spans


def _weighting(options: ImageOptions) -> Weighting:
    taper_rad = options.taper_arcsec * ARCSEC_RAD
    return Weighting(options.weighting, options.robust, 1000 * options.min_uv_klambda, taper_rad)


def _weighted(description: MSInfo, data: Visibilities, pixel_rad: float, options: ImageOptions) -> Gridder:
    """The visibilities with their weights in the image."""
    weights = imaging_weights(data.uvw_m, data.freqs_hz, data.weights, options.size, pixel_rad, _weighting(options))
    if not weights.any():
        raise BadInput(
            f"{description.path}: no data left: no baseline is longer than {options.min_uv_klambda:g} kilowavelengths "
            f"and short enough for pixels of {pixel_rad / ARCSEC_RAD:g} arcsec; lower min_uv_klambda or choose "
            "smaller pixels"
        )
    return Gridder(data, weights, options.size, pixel_rad, options.threads)


def _picture(
    description: MSInfo,
    gridder: Gridder,
    spans: NDArray[np.int64],
    thermal_jy: float,
    options: ImageOptions,
    steps: Steps,
) -> Picture:
    pixel_arcsec = gridder.pixel_rad / ARCSEC_RAD
    with steps("average"):
        samples, weights = average_in_time(gridder.visibilities, gridder.weights, spans)
        bands = Bands.of(replace(gridder, visibilities=samples, weights=weights), options.band_parts)
    with steps("beam"):
        point_spread = bands.point_spread()
        try:
            beam = fit_beam(bands.mean(point_spread), pixel_arcsec)
        except BadInput as error:
            raise BadInput(f"{description.path}: {error}") from error
        attenuation = drift_attenuation(description, gridder)
    with steps("clean"):
        cleaned = clean(bands, point_spread, 1 / longest_baseline_lambda(gridder.visibilities), thermal_jy, options)
    with steps("restore"):
        restored = restore(cleaned.model, cleaned.residual, beam, pixel_arcsec)
    return Picture(restored, attenuation, cleaned, beam, thermal_jy)


def _wscleaned(
    description: MSInfo,
    column: str,
    gridder: Gridder,
    thermal_jy: float,
    directory: Path,
    options: ImageOptions,
    steps: Steps,
) -> Picture:
    """The same by WSClean; the gridder tells the weights that the primary beam and the thermal noise need."""
    with steps("beam"):
        attenuation = drift_attenuation(description, gridder)
    directory.mkdir(parents=True, exist_ok=True)
    with steps("wsclean"), TemporaryDirectory(prefix=f"{description.name}.wsclean-", dir=directory) as scratch:
        pixel_arcsec = gridder.pixel_rad / ARCSEC_RAD
        restored, cleaned, beam = run_wsclean(description.path, column, Path(scratch), pixel_arcsec, options)
    return Picture(restored, attenuation, cleaned, beam, thermal_jy)


def _look(
    description: MSInfo,
    directory: Path,
    gridder: Gridder,
    picture: Picture,
    calibration: Calibration,
    steps: Steps,
) -> QuickLook:
    data, cleaned, beam = gridder.visibilities, picture.cleaned, picture.beam
    by_channel = gridder.weights.sum(axis=0, dtype=np.float64)
    ra, dec = np.rad2deg(description.phase_centre_rad)
    return QuickLook(
        group=description.name,
        ms=description.path,
        products=Products.of(description.name, directory),
        phase_centre_deg=(float(ra) % 360, float(dec)),
        size=gridder.size,
        pixel_arcsec=gridder.pixel_rad / ARCSEC_RAD,
        beam=beam,
        rms_jy=robust_rms(cleaned.residual),
        expected_rms_jy=picture.thermal_jy,
        peak_jy=float(picture.restored.max()),
        minimum_jy=float(picture.restored.min()),
        residual_peak_jy=float(np.abs(cleaned.residual).max()),
        iterations=cleaned.iterations,
        components=cleaned.components,
        cleaned_jy=float(cleaned.model.sum(dtype=np.float64)),
        freq_hz=float(by_channel @ data.freqs_hz / by_channel.sum()),
        bandwidth_hz=float(np.count_nonzero(by_channel) * description.channel_width_hz * data.averaged),
        start_mjd_s=float(description.times_mjd_s[0] - 0.5 * description.integration_s),
        mid_mjd_s=description.mid_mjd_s,
        exposure_s=float(description.times_mjd_s.size * description.integration_s),
        unflagged_fraction=data.unflagged_fraction,
        channel_average=data.averaged,
        calibration=calibration,
        quality=QualityGrade(),
        seconds=steps.seconds,
        bowl_jy=bowl_jy(picture.restored, beam.major_arcsec / (gridder.pixel_rad / ARCSEC_RAD)),
    )


def _with_sources(look: QuickLook, picture: Picture, options: ImageOptions) -> QuickLook:
    """Compare with the catalogue and, if asked for, find sources."""
    header = image_header(look, options)
    wanted = entries(options, look.freq_hz)
    agreement = compare(wanted, picture.restored, picture.attenuation, header, look.rms_jy)
    if not options.find_sources:
        return replace(look, agreement=agreement)
    look.products.fits.parent.mkdir(parents=True, exist_ok=True)
    directory = look.products.fits.parent
    found = find_sources(picture.restored, picture.attenuation, header, options.source_sigma, directory)
    return replace(look, agreement=agreement, sources=found)
