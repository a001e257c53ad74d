"""The image stage: read, weight, grid, clean, restore, compare, grade, write."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from contimg.common.errors import BadInput, Misconfigured
from contimg.formats.ms.info import MSInfo, read_ms_info
from contimg.formats.tables import open_table
from contimg.instrument.dsa110 import C_M_S
from contimg.instrument.sun import describe_sun
from contimg.quality.image import NOISE, QualityThresholds, grade_image
from contimg.sky.comparison.astrometry import with_shift
from contimg.sky.comparison.matching import MatchedSources
from contimg.tile.image.deconvolution.clean import CleanResult, clean
from contimg.tile.image.deconvolution.memory import retain_freed_memory
from contimg.tile.image.deconvolution.residuals import Residuals
from contimg.tile.image.deconvolution.restoring import fit_beam, restore
from contimg.tile.image.deconvolution.wsclean import run_wsclean
from contimg.tile.image.fits_image import image_header
from contimg.tile.image.gridding.averaging import average_in_time, plan_averaging
from contimg.tile.image.gridding.gridder import BandParts, Gridder, Image
from contimg.tile.image.gridding.hands import choose_hands, measure_hand_ratio
from contimg.tile.image.gridding.modes import Field, find_modes
from contimg.tile.image.gridding.noise import (
    compute_thermal_rms_jy,
    measure_bowl_jy,
    measure_edge_noise_ratio,
    measure_rms,
    measure_uncleaned_jy,
)
from contimg.tile.image.gridding.primary_beam import average_primary_beam
from contimg.tile.image.gridding.sampling import PIXELS_PER_BEAM, choose_pixel_arcsec, refine_pixel_arcsec
from contimg.tile.image.gridding.slant import Slant
from contimg.tile.image.gridding.visibilities import (
    ARCSEC_RAD,
    MAX_PIXEL_ARCSEC,
    Visibilities,
    find_missing_subbands,
    read_calibration,
    read_visibilities,
    select_rows,
)
from contimg.tile.image.gridding.weighting import compute_imaging_weights, estimate_row_weights
from contimg.tile.image.options import WSCLEAN, ImageOptions
from contimg.tile.image.result import Beam, Calibration, ImagingResult, Products
from contimg.tile.image.sources.catalogue import match_catalogue, read_catalogue
from contimg.tile.image.sources.finding import find_sources
from contimg.tile.image.sources.forced import compare_image
from contimg.tile.image.sources.matches import (
    FoundSource,
    SubtractedSource,
    compute_faint_flux_ratio,
    compute_flux_ratio,
    compute_offset_arcsec,
    list_sources,
)
from contimg.tile.image.sources.outside import subtract_outside
from contimg.tile.image.sources.subtracted import brightest_subtracted, list_subtracted
from contimg.tile.image.writing import write_products
from contimg.tile.products import StepTimer

log = logging.getLogger(__name__)

MAX_REFINEMENTS = 3


@dataclass(frozen=True)
class CleanedImage:
    """A cleaned image.

    Attributes
    ----------
    restored, residual : Jy per beam, shape (size, size).
    pb : the primary beam, shape (size, size).
    cleaned : clean's result on the field, which is wider than the image.
    gridder : of the field.
    beam : the synthesized beam.
    """

    restored: Image
    residual: Image
    pb: Image
    cleaned: CleanResult
    gridder: Gridder
    beam: Beam


def make_image(
    ms_path: Path, directory: Path, options: ImageOptions, thresholds: QualityThresholds,
    history_rms_jy: float | None = None, reference_catalogue: Path | None = None,
) -> ImagingResult:  # fmt: skip
    """Image one Measurement Set; see `contimg.tile.image.image`.

    Parameters
    ----------
    ms_path : the Measurement Set, calibrated or not.
    directory : for the image's files.
    options : of imaging.
    thresholds : of the QA grade.
    history_rms_jy : noise of earlier images, Jy per beam, to compare with.
    reference_catalogue : file of the catalogue that the image is compared with, or None.

    Raises
    ------
    BadInput : there is nothing to image, or WSClean or PyBDSF fails on it; no file is written.
    Misconfigured : an option does not fit the Measurement Set, or it needs PyBDSF or WSClean, which is not installed.
    Transient : the disk is full or cannot be written, or WSClean was killed.
    """
    timer = StepTimer()
    ms = read_ms_info(ms_path)
    calibration = read_calibration(ms)
    with timer("read"):
        visibilities, time_bins = read_samples(ms, calibration.column, options)
    with timer("weight"):
        gridder = weight_samples(ms, visibilities, options)
        thermal_rms_jy = compute_thermal_rms_jy(ms, gridder)
    _warn_of_unknowns(ms)
    outside: tuple[SubtractedSource, ...] = ()
    if reference_catalogue and thermal_rms_jy and calibration.set and options.imager != WSCLEAN:
        half_width_rad = 0.5 * options.size * options.padding * gridder.pixel_rad
        with timer("outside"):
            outside = subtract_outside(ms, visibilities, reference_catalogue, half_width_rad, thermal_rms_jy)
    if options.imager == WSCLEAN:
        image = _image_with_wsclean(ms, calibration.column, gridder, directory, options, timer)
    else:
        with retain_freed_memory():
            image = _image(ms, gridder, time_bins, thermal_rms_jy, options, timer)
    tile_image = _describe(ms, directory, gridder, image, thermal_rms_jy, calibration, options, timer)
    with timer("sources"):
        tile_image, compared = _compare(tile_image, image, reference_catalogue, options)
        tile_image = _with_sources(tile_image, image, options, outside)
    with timer("hands"):
        hands = measure_hand_ratio(image.gridder, image.cleaned.model)
    tile_image = replace(
        tile_image, hand_ratio=hands.ratio, hand_ratio_error=hands.error, history_rms_jy=history_rms_jy
    )
    quality = grade_image(tile_image, thresholds)
    tile_image = replace(tile_image, verdict=quality.grade, verdict_reasons=quality.reasons)
    with timer("write"):
        write_products(tile_image, image.restored, image.pb, ms, gridder, options, compared)
    peak_jy, rms_jy = tile_image.peak_jy, tile_image.rms_jy
    log.info("%s: peak %.4g Jy, rms %.3g Jy, %s", tile_image.fits_path, peak_jy, rms_jy, tile_image.verdict)
    return tile_image


def _warn_of_unknowns(ms: MSInfo) -> None:
    if ms.sefd_jy is None:
        log.warning(
            "%s: the SEFD of telescope %s with dishes of %g m is not known: the image has no thermal noise and is not "
            "graded by it", ms.path, ms.telescope or "unknown", ms.dish_diameter_m,
        )  # fmt: skip
    if np.isnan(ms.dish_diameter_m):
        log.warning(
            "%s: the diameters of the dishes (ANTENNA/DISH_DIAMETER) differ or are not given: the primary beam is not "
            "known; the images of it and corrected for it are blank", ms.path,
        )  # fmt: skip


def read_samples(ms: MSInfo, column: str, options: ImageOptions) -> tuple[Visibilities, NDArray[np.int64]]:
    """Read the visibilities of a Measurement Set, averaged in frequency as far as smearing allows.

    Parameters
    ----------
    ms, column : the Measurement Set and its data column.
    options : of imaging.

    Returns
    -------
    The visibilities, and for each row the number of the bin in which it may be averaged in time, shape (rows,).

    Raises
    ------
    BadInput : nothing is left to image.
    Misconfigured : the option `channel_average` does not divide the number of channels.
    """
    rows = select_rows(ms, choose_hands(ms))
    if not rows.uvw_m.size:
        raise BadInput(
            f"{ms.path}: no data left: none of {rows.cross_rows} cross-correlations is unflagged and has a finite "
            "weight and UVW; check FLAG_ROW, WEIGHT and UVW"
        )
    if options.imager == WSCLEAN and not ms.usable_rows.all():
        raise BadInput(
            f"{ms.path}: UVW or WEIGHT is not finite in {np.count_nonzero(~ms.usable_rows)} rows, which WSClean cannot "
            "leave out; choose imager=ducc, or remove the rows"
        )
    pixel_rad = (options.pixel_arcsec or MAX_PIXEL_ARCSEC) * ARCSEC_RAD
    max_loss = options.smearing_percent / 100 if options.average else 0.0
    weights = estimate_row_weights(ms, rows, pixel_rad, options)
    averaging = plan_averaging(ms, rows, weights, 0.5 * options.size * pixel_rad, max_loss, options.channel_average)
    if ms.freqs_hz.size % averaging.channels:
        raise Misconfigured(
            f"channel_average={averaging.channels}: does not divide the {ms.freqs_hz.size} channels of "
            f"{ms.path}; give a divisor, or 0"
        )
    visibilities = read_visibilities(ms, rows, column, averaging.channels)
    if visibilities.samples == 0:
        raise BadInput(
            f"{ms.path}: no data left: all visibilities are flagged, not finite or above 1e12 Jy; check the flags"
        )
    return visibilities, averaging.time_bins


def weight_samples(ms: MSInfo, visibilities: Visibilities, options: ImageOptions) -> Gridder:
    """Make the gridder with imaging weights; unless the option gives the pixel's size, one that samples the beam.

    Parameters
    ----------
    ms, visibilities : the Measurement Set and its visibilities.
    options : of imaging.

    Raises
    ------
    BadInput : no sample has weight.
    """
    pixel_arcsec = options.pixel_arcsec or choose_pixel_arcsec(visibilities)
    gridder = _weight_cells(ms, visibilities, pixel_arcsec * ARCSEC_RAD, options)
    if options.pixel_arcsec:
        return gridder
    for _ in range(MAX_REFINEMENTS):  # a smaller image has larger cells in the uv plane, and so a smaller beam
        finer_arcsec = refine_pixel_arcsec(gridder)
        if finer_arcsec >= pixel_arcsec:
            break
        log.info(
            "%s: pixels of %g arcsec, because the beam has fewer than %g of %g arcsec across", ms.path, finer_arcsec,
            PIXELS_PER_BEAM, pixel_arcsec,
        )  # fmt: skip
        pixel_arcsec = finer_arcsec
        gridder = _weight_cells(ms, visibilities, pixel_arcsec * ARCSEC_RAD, options)
    return gridder


def _weight_cells(ms: MSInfo, visibilities: Visibilities, pixel_rad: float, options: ImageOptions) -> Gridder:
    weights = compute_imaging_weights(
        visibilities.uvw_m, visibilities.freqs_hz, visibilities.weights, pixel_rad, options
    )
    if not weights.any():
        raise BadInput(
            f"{ms.path}: no data left: no baseline is longer than {options.min_uv_klambda:g} kilowavelengths "
            f"and short enough for pixels of {pixel_rad / ARCSEC_RAD:g} arcsec; lower min_uv_klambda or choose "
            "smaller pixels"
        )
    return Gridder(visibilities, weights, options.size, pixel_rad, options.threads)


def _image(
    ms: MSInfo, gridder: Gridder, time_bins: NDArray[np.int64], thermal_rms_jy: float | None, options: ImageOptions,
    timer: StepTimer,
) -> CleanedImage:  # fmt: skip
    pixel_rad, pixel_arcsec = gridder.pixel_rad, gridder.pixel_rad / ARCSEC_RAD
    with timer("average"):
        averaged = average_in_time(gridder, time_bins)
    with timer("beam"):
        field = _choose_field(averaged, options)
        averaged = replace(averaged, size=field.size, slant=field.slant)
        parts = BandParts.of(averaged, options.band_parts).gridders
        bands = BandParts(tuple(_with_modes(ms, part, field, options) for part in parts))
        psf = bands.psf()
        try:
            beam = fit_beam(bands.mean(psf), pixel_arcsec)
        except BadInput as error:
            raise BadInput(f"{ms.path}: {error}") from error
        pb = average_primary_beam(ms, gridder)
    with timer("clean"):
        beam_rad = 1 / gridder.visibilities.longest_baseline_lambda
        cleaned = clean(Residuals(bands), psf, beam_rad, thermal_rms_jy, options)
    with timer("restore"):
        in_field = restore(cleaned.model, cleaned.residual, beam, pixel_arcsec), cleaned.residual
        restored, residual = (
            field.slant.resample(image, options.size, pixel_rad, options.threads) for image in in_field
        )
    return CleanedImage(restored, residual, pb, cleaned, replace(gridder, size=field.size, slant=field.slant), beam)


def _choose_field(gridder: Gridder, options: ImageOptions) -> Field:
    """The field that is cleaned: wider than the image, in the coordinates in which the array is flattest."""
    size = 2 * next_fast_len(int(np.ceil(options.size * options.padding / 2)))
    slant = Slant.fit(gridder.visibilities.uvw_m, gridder.weights.sum(axis=1, dtype=np.float64))
    return Field(size, gridder.pixel_rad, slant)


def _with_modes(ms: MSInfo, gridder: Gridder, field: Field, options: ImageOptions) -> Gridder:
    if not options.changing_sky:
        return gridder
    modes = find_modes(ms, gridder.visibilities, gridder.weights, field, options.spectral_index)
    return replace(gridder, modes=modes)


def _image_with_wsclean(
    ms: MSInfo, column: str, gridder: Gridder, directory: Path, options: ImageOptions, timer: StepTimer
) -> CleanedImage:
    """The image by WSClean; the gridder gives the weights for the primary beam."""
    with timer("beam"):
        pb = average_primary_beam(ms, gridder)
    directory.mkdir(parents=True, exist_ok=True)
    with timer("wsclean"), TemporaryDirectory(prefix=f"{ms.name}.wsclean-", dir=directory) as scratch:
        pixel_arcsec = gridder.pixel_rad / ARCSEC_RAD
        with open_table(ms.path):  # WSClean would wait without a limit for the lock of another session
            hands = gridder.visibilities.hands
            hand = hands[0] if len(hands) == 1 else "I"
            restored, cleaned, beam = run_wsclean(ms.path, column, Path(scratch), pixel_arcsec, options, hand)
    return CleanedImage(restored, cleaned.residual, pb, cleaned, gridder, beam)


def _describe(
    ms: MSInfo, directory: Path, gridder: Gridder, image: CleanedImage, thermal_rms_jy: float | None,
    calibration: Calibration, options: ImageOptions, timer: StepTimer,
) -> ImagingResult:  # fmt: skip
    """The result before its sources are compared and it is graded."""
    visibilities, cleaned, beam = gridder.visibilities, image.cleaned, image.beam
    channel_weights = gridder.weights.sum(axis=0, dtype=np.float64)
    ra, dec = np.rad2deg(ms.phase_centre_rad)
    products = Products.of(ms.name, directory)
    rms_jy, peak_jy = measure_rms(image.residual), float(image.restored.max())
    cell_arcsec = gridder.pixel_rad / ARCSEC_RAD
    beam_pixels = np.pi / (4 * np.log(2)) * beam.major_arcsec * beam.minor_arcsec / cell_arcsec**2
    depth_jy = options.mask_sigma * max(rms_jy, thermal_rms_jy or 0.0)
    uncleaned_jy = measure_uncleaned_jy(image.residual, depth_jy, beam_pixels)
    if cleaned.stopped_by not in (None, NOISE):
        log.warning(
            "%s: cleaning was ended by %s after %d iterations, before the noise; %.3g Jy are left above %.3g Jy/beam; "
            "the limits are CONTIMG_IMAGE_ITERATIONS and CONTIMG_IMAGE_MAJOR_CYCLES", ms.path, cleaned.stopped_by,
            cleaned.iterations, uncleaned_jy, depth_jy,
        )  # fmt: skip
    pointing_rad, freq_hz = ms.pointing_rad[len(ms.times_mjd_s) // 2], float(ms.freqs_hz.mean())
    shortest_m = options.min_uv_klambda * 1e3 * C_M_S / freq_hz
    positions_m = ms.antenna_positions_m[ms.antennas]
    sun = describe_sun(pointing_rad, ms.mid_mjd, freq_hz, ms.dish_diameter_m, positions_m, shortest_m)
    return ImagingResult(
        fits_path=products.fits, beam_fits_path=products.primary_beam, png_path=products.png,
        thumbnail_path=products.thumbnail, rms_jy=rms_jy, peak_jy=peak_jy,
        dynamic_range=peak_jy / rms_jy if rms_jy > 0 else 0.0, beam_major_arcsec=beam.major_arcsec,
        beam_minor_arcsec=beam.minor_arcsec, beam_angle_deg=beam.angle_deg, ra_deg=float(ra) % 360, dec_deg=float(dec),
        mjd=ms.mid_mjd_s / 86400, freq_hz=float(channel_weights @ visibilities.freqs_hz / channel_weights.sum()),
        pixels=gridder.size, cell_arcsec=cell_arcsec, beam_pixels=beam.minor_arcsec / cell_arcsec,
        calibration_set=calibration.set,
        calibration_note=calibration.reason or None, calibration_grade=calibration.grade, **vars(calibration.numbers),
        gain_hand_ratio=calibration.hand_ratio, hands=", ".join(visibilities.hands),
        missing_subbands=find_missing_subbands(ms, visibilities.channel_samples), expected_rms_jy=thermal_rms_jy,
        edge_noise_ratio=measure_edge_noise_ratio(image.residual),
        minimum_jy=float(image.restored.min()),
        bowl_jy=measure_bowl_jy(image.restored, beam.major_arcsec / cell_arcsec),
        unflagged_fraction=visibilities.unflagged_fraction, group=ms.name, ms=ms.path, products=products,
        calibration=calibration, telescope=ms.telescope or "unknown",
        dish_diameter_m=None if np.isnan(ms.dish_diameter_m) else ms.dish_diameter_m,
        bandwidth_hz=float(np.count_nonzero(channel_weights) * ms.channel_width_hz * visibilities.channel_average),
        start_mjd_s=float(ms.times_mjd_s[0] - 0.5 * ms.integration_s),
        exposure_s=ms.exposure_s, channel_average=visibilities.channel_average,
        residual_peak_jy=float(np.abs(image.residual).max()), iterations=cleaned.iterations,
        clean_stopped_by=cleaned.stopped_by, uncleaned_jy=uncleaned_jy,
        components=cleaned.components, cleaned_jy=float(cleaned.model.sum(dtype=np.float64)), seconds=timer.seconds,
        **vars(sun),
    )  # fmt: skip


def _compare(
    tile_image: ImagingResult, image: CleanedImage, catalogue_path: Path | None, options: ImageOptions
) -> tuple[ImagingResult, MatchedSources | None]:
    """The result with the numbers of the comparison with the reference catalogue, and the sources compared."""
    if catalogue_path is None:
        return tile_image, None
    header = image_header(tile_image, options)
    comparison, compared = compare_image(image.restored, image.pb, header, catalogue_path, residual=image.residual)
    comparison = with_shift(comparison, tile_image.beam_minor_arcsec, options)
    return replace(tile_image, **vars(comparison)), compared


def _with_sources(
    tile_image: ImagingResult, image: CleanedImage, options: ImageOptions, outside: tuple[SubtractedSource, ...]
) -> ImagingResult:
    """The result with the catalogue's sources, those outside and, where the option is set, those found blindly."""
    header = image_header(tile_image, options)
    catalogue = read_catalogue(options, tile_image.freq_hz)
    matches = match_catalogue(catalogue, image.restored, image.pb, header, tile_image.rms_jy)
    found_sources: tuple[FoundSource, ...] = ()
    if options.find_sources:
        directory = tile_image.fits_path.parent
        directory.mkdir(parents=True, exist_ok=True)
        found_sources = find_sources(image.restored, image.pb, header, options.source_sigma, directory)
    cleaned = list_subtracted(image.cleaned.model, image.gridder, header, tile_image.pixels)
    subtracted = tuple(sorted((*cleaned, *outside), key=lambda source: -source.flux_jy))
    if tile_image.catalogue_name is None:
        tile_image = replace(
            tile_image, catalogue_matches=len(matches), catalogue_offset_arcsec=compute_offset_arcsec(matches),
            catalogue_flux_ratio=compute_flux_ratio(matches),
            catalogue_faint_ratio=compute_faint_flux_ratio(matches, tile_image.rms_jy),
        )  # fmt: skip
    return replace(
        tile_image, matches=matches, found_sources=found_sources, sources=list_sources(found_sources, matches),
        sources_found=len(found_sources) if options.find_sources else None, subtracted=subtracted,
        subtracted_sources=brightest_subtracted(subtracted), subtracted_count=len(subtracted),
        subtracted_jy=sum(source.flux_jy for source in subtracted),
    )  # fmt: skip
