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
from contimg.tile.image.result import Beam, Calibration, ImagingResult, Products
from contimg.tile.image.sources.agreement import FoundSource, plain_sources
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


def make_image(path: Path, directory: Path, options: ImageOptions, thresholds: QualityThresholds) -> ImagingResult:
    """Image one Measurement Set; see `contimg.tile.image.image`."""
    steps = Steps()
    ms = read_ms_info(path)
    calibration = read_calibration(ms)
    with steps("read"):
        data, spans = _read(ms, calibration.column, options)
    pixel_arcsec = options.pixel_arcsec or pixel_size_arcsec(data)
    with steps("weight"):
        gridder = _weighted(ms, data, pixel_arcsec * ARCSEC_RAD, options)
        thermal_jy = expected_rms_jy(ms, gridder.visibilities, gridder.weights)
    if options.imager == WSCLEAN:
        picture = _wscleaned(ms, calibration.column, gridder, thermal_jy, directory, options, steps)
    else:
        picture = _picture(ms, gridder, spans, thermal_jy, options, steps)
    tile_image = _described(ms, directory, gridder, picture, calibration, steps)
    with steps("sources"):
        tile_image = _with_sources(tile_image, picture, options)
    quality = grade_image(tile_image, thresholds)
    tile_image = replace(tile_image, verdict=quality.grade, verdict_reasons=quality.reasons)
    with steps("write"):
        drawn = plots(tile_image, ms, gridder, picture.restored, options.min_uv_klambda) if options.plots else {}
        write_products(tile_image, picture.restored, picture.attenuation, options, drawn)
    log.info(
        "%s: peak %.4g Jy, rms %.3g Jy, %s",
        tile_image.fits_path, tile_image.peak_jy, tile_image.rms_jy, tile_image.verdict,
    )  # fmt: skip
    return tile_image


def _read(ms: MSInfo, column: str, options: ImageOptions) -> tuple[Visibilities, NDArray[np.int64]]:
    """The visibilities, and for each row the number of the span in which it may be averaged."""
    rows = choose_rows(ms)
    if not rows.uvw_m.size:
        raise BadInput(
            f"{ms.path}: no data left: no cross-correlation is unflagged and has weight; look at FLAG_ROW and WEIGHT"
        )
    pixel_rad = (options.pixel_arcsec or MAX_PIXEL_ARCSEC) * ARCSEC_RAD
    limit = options.smearing_percent / 100 if options.average else 0.0
    weights = foreseen_weights(ms, rows, options.size, pixel_rad, _weighting(options))
    averaging = plan(ms, rows, weights, 0.5 * options.size * pixel_rad, limit, options.channel_average)
    if ms.freqs_hz.size % averaging.channels:
        raise Misconfigured(
            f"channel_average={averaging.channels}: does not divide the {ms.freqs_hz.size} channels of "
            f"{ms.path}; give a divisor, or 0"
        )
    data = read_visibilities(ms, rows, column, averaging.channels)
    if data.samples == 0:
        raise BadInput(
            f"{ms.path}: no data left: all visibilities flagged; look at its flags, or flag less and try again"
        )
    return data, averaging.spans


def _weighting(options: ImageOptions) -> Weighting:
    taper_rad = options.taper_arcsec * ARCSEC_RAD
    return Weighting(options.weighting, options.robust, 1000 * options.min_uv_klambda, taper_rad)


def _weighted(ms: MSInfo, data: Visibilities, pixel_rad: float, options: ImageOptions) -> Gridder:
    """The visibilities with their weights in the image."""
    weights = imaging_weights(data.uvw_m, data.freqs_hz, data.weights, options.size, pixel_rad, _weighting(options))
    if not weights.any():
        raise BadInput(
            f"{ms.path}: no data left: no baseline is longer than {options.min_uv_klambda:g} kilowavelengths "
            f"and short enough for pixels of {pixel_rad / ARCSEC_RAD:g} arcsec; lower min_uv_klambda or choose "
            "smaller pixels"
        )
    return Gridder(data, weights, options.size, pixel_rad, options.threads)


def _picture(
    ms: MSInfo,
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
            raise BadInput(f"{ms.path}: {error}") from error
        attenuation = drift_attenuation(ms, gridder)
    with steps("clean"):
        cleaned = clean(bands, point_spread, 1 / longest_baseline_lambda(gridder.visibilities), thermal_jy, options)
    with steps("restore"):
        restored = restore(cleaned.model, cleaned.residual, beam, pixel_arcsec)
    return Picture(restored, attenuation, cleaned, beam, thermal_jy)


def _wscleaned(
    ms: MSInfo,
    column: str,
    gridder: Gridder,
    thermal_jy: float,
    directory: Path,
    options: ImageOptions,
    steps: Steps,
) -> Picture:
    """The same by WSClean; the gridder tells the weights that the primary beam and the thermal noise need."""
    with steps("beam"):
        attenuation = drift_attenuation(ms, gridder)
    directory.mkdir(parents=True, exist_ok=True)
    with steps("wsclean"), TemporaryDirectory(prefix=f"{ms.name}.wsclean-", dir=directory) as scratch:
        pixel_arcsec = gridder.pixel_rad / ARCSEC_RAD
        restored, cleaned, beam = run_wsclean(ms.path, column, Path(scratch), pixel_arcsec, options)
    return Picture(restored, attenuation, cleaned, beam, thermal_jy)


def _described(
    ms: MSInfo, directory: Path, gridder: Gridder, picture: Picture, calibration: Calibration, steps: Steps
) -> ImagingResult:
    """The result before its sources are compared and it is graded."""
    data, cleaned, beam = gridder.visibilities, picture.cleaned, picture.beam
    weight_by_channel = gridder.weights.sum(axis=0, dtype=np.float64)
    ra, dec = np.rad2deg(ms.phase_centre_rad)
    products = Products.of(ms.name, directory)
    rms_jy, peak_jy = robust_rms(cleaned.residual), float(picture.restored.max())
    cell_arcsec = gridder.pixel_rad / ARCSEC_RAD
    return ImagingResult(
        fits_path=products.fits,
        beam_fits_path=products.primary_beam,
        png_path=products.png,
        thumbnail_path=products.thumbnail,
        rms_jy=rms_jy,
        peak_jy=peak_jy,
        dynamic_range=peak_jy / rms_jy if rms_jy > 0 else 0.0,
        beam_major_arcsec=beam.major_arcsec,
        beam_minor_arcsec=beam.minor_arcsec,
        beam_angle_deg=beam.angle_deg,
        ra_deg=float(ra) % 360,
        dec_deg=float(dec),
        mjd=ms.mid_mjd_s / 86400,
        freq_hz=float(weight_by_channel @ data.freqs_hz / weight_by_channel.sum()),
        pixels=gridder.size,
        cell_arcsec=cell_arcsec,
        calibration_set=calibration.set,
        calibration_note=calibration.reason or None,
        expected_rms_jy=picture.thermal_jy,
        minimum_jy=float(picture.restored.min()),
        bowl_jy=bowl_jy(picture.restored, beam.major_arcsec / cell_arcsec),
        unflagged_fraction=data.unflagged_fraction,
        group=ms.name,
        ms=ms.path,
        products=products,
        calibration=calibration,
        bandwidth_hz=float(np.count_nonzero(weight_by_channel) * ms.channel_width_hz * data.averaged),
        start_mjd_s=float(ms.times_mjd_s[0] - 0.5 * ms.integration_s),
        exposure_s=float(ms.times_mjd_s.size * ms.integration_s),
        channel_average=data.averaged,
        residual_peak_jy=float(np.abs(cleaned.residual).max()),
        iterations=cleaned.iterations,
        components=cleaned.components,
        cleaned_jy=float(cleaned.model.sum(dtype=np.float64)),
        seconds=steps.seconds,
    )


def _with_sources(tile_image: ImagingResult, picture: Picture, options: ImageOptions) -> ImagingResult:
    """Compare with the catalogue and, with the option `find_sources`, find sources."""
    header = image_header(tile_image, options)
    agreement = compare(
        entries(options, tile_image.freq_hz), picture.restored, picture.attenuation, header, tile_image.rms_jy
    )
    found_sources: tuple[FoundSource, ...] = ()
    if options.find_sources:
        directory = tile_image.fits_path.parent
        directory.mkdir(parents=True, exist_ok=True)
        found_sources = find_sources(picture.restored, picture.attenuation, header, options.source_sigma, directory)
    return replace(
        tile_image,
        agreement=agreement,
        found_sources=found_sources,
        sources=plain_sources(found_sources, agreement.matches),
        catalogue_matches=len(agreement.matches),
        catalogue_offset_arcsec=agreement.offset_arcsec if agreement.matches else None,
        catalogue_flux_ratio=agreement.flux_ratio if agreement.matches else None,
    )
