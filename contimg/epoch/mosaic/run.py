"""The mosaic stage, step by step.

Each tile image is read twice: to measure its sources, and, once the shifts and levels of all are known, to be added.
One tile image is in memory at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numba
import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from contimg.common.errors import BadFile
from contimg.epoch.mosaic.assessment import AddedTile, Alignment, Overlaps, Sky, assess_overlaps, assess_sky
from contimg.epoch.mosaic.beams import beam_covariance, convolve, find_common_beam, rotate_beam
from contimg.epoch.mosaic.grid import STEP, Grid, coarse_pixels, make_grid, north_angle_deg
from contimg.epoch.mosaic.members import Image, TileHeader, read_pixels, refuse_none, select_tiles
from contimg.epoch.mosaic.noise import NoiseMap, measure_noise_map
from contimg.epoch.mosaic.options import MosaicOptions
from contimg.epoch.mosaic.reprojection import add_tile, coarse_weights, covered, divide
from contimg.epoch.mosaic.sources import (
    SAME_BEAMS,
    TileSources,
    find_peaks,
    match_sources,
    measure_tile,
    solve_offsets,
)
from contimg.epoch.mosaic.writing import REPROJECTED, Cards, MosaicFiles, mosaic_header, write_mosaic
from contimg.epoch.products import Mosaic, MosaicMember, OmittedMember
from contimg.quality.mosaic import MosaicThresholds, grade_mosaic
from contimg.sky.comparison.astrometry import with_shift
from contimg.sky.comparison.matching import MatchedSources
from contimg.tile.image.result import Beam
from contimg.tile.image.sources.forced import compare_image
from contimg.tile.products import StepTimer

MIN_SHARED = 5  # sources that a level or a shift is measured from
POSITION_ERROR = 0.02  # of the beam, besides the noise
SHIFT_PRIOR = 0.5  # beams


@dataclass(frozen=True)
class MosaicPixels:
    """A mosaic before it is assessed.

    Attributes
    ----------
    flux, weight : Jy per beam, and 1/Jy²; NaN and 0 where the weight is below the cut-off.
    grid : of both.
    beam : the common beam.
    added, omitted : the tiles in the mosaic, and those that are left out.
    pb_cutoff : primary beam below which a tile is not used.
    """

    flux: Image
    weight: Image
    grid: Grid
    beam: Beam
    added: tuple[AddedTile, ...]
    omitted: tuple[OmittedMember, ...]
    pb_cutoff: float


def add_tiles(
    paths: Sequence[Path], output: Path, options: MosaicOptions, thresholds: MosaicThresholds,
    history_rms_jy: float | None = None, reference_catalogue: Path | None = None,
) -> Mosaic:  # fmt: skip
    """Make a mosaic as `contimg.epoch.mosaic.make_mosaic` does.

    Parameters
    ----------
    paths, output, options, thresholds, history_rms_jy, reference_catalogue : as there.
    """
    timer = StepTimer()
    numba.set_num_threads(min(options.threads, numba.config.NUMBA_NUM_THREADS))
    with timer("measure"):
        tiles, omitted = select_tiles(paths, options)
        refuse_none(tiles, omitted)
        tiles, measured, blank = _measure_tiles(tiles, options)
        omitted += blank
        refuse_none(tiles, omitted)
        grid = make_grid(tiles, options)
        turns = [north_angle_deg(grid.wcs, tile) for tile in tiles]
        beam = find_common_beam([rotate_beam(tile.beam, turn) for tile, turn in zip(tiles, turns, strict=True)])
        radius_arcsec = SAME_BEAMS * max(tile.beam.major_arcsec for tile in tiles)
        numbers = match_sources([sources for sources, _ in measured], radius_arcsec)
        alignments = _align(tiles, measured, numbers, options, beam)
    with timer("add"):
        flux, weight = (np.zeros(grid.shape, dtype=np.float32) for _ in range(2))
        added: list[AddedTile] = []
        for index, tile in enumerate(tiles):
            own_beam = rotate_beam(beam, -turns[index])
            shared = _select(measured[index][0], numbers[index])
            try:
                image, pb = _prepare(tile, own_beam, options)
            except BadFile as error:
                omitted.append(OmittedMember(fits_path=tile.path, reason=error.reason))
                continue
            added.append(
                _add(flux, weight, grid, index, tile, image, pb, own_beam, alignments[index], shared, numbers[index])
            )
            del image, pb
        refuse_none([member.tile for member in added], omitted)
        divide(flux, weight, options.weight_cutoff * float(weight.max()))
    pixels = MosaicPixels(flux, weight, grid, beam, tuple(added), tuple(omitted), options.pb_cutoff)
    return complete_mosaic(pixels, output, options, thresholds, timer, history_rms_jy, reference_catalogue)


def complete_mosaic(
    pixels: MosaicPixels, output: Path, options: MosaicOptions, thresholds: MosaicThresholds, timer: StepTimer,
    history_rms_jy: float | None = None, reference_catalogue: Path | None = None, cards: Cards = REPROJECTED,
) -> Mosaic:  # fmt: skip
    """Assess, compare, grade and write a mosaic.

    Parameters
    ----------
    pixels : the mosaic and the tiles in it.
    output, options, thresholds, history_rms_jy, reference_catalogue : as of `contimg.epoch.mosaic.make_mosaic`.
    timer : of the steps before.
    cards : further cards of the header.
    """
    flux, weight, grid, beam, added = pixels.flux, pixels.weight, pixels.grid, pixels.beam, pixels.added
    with timer("assess"):
        overlaps = assess_overlaps(added, grid, beam)
        area = covered(grid, weight)
        flux, weight = flux[area], weight[area]
        grid = replace(grid, wcs=_cropped(grid, area), shape=flux.shape)
        offset = area[0].start, area[1].start
        sky = assess_sky(flux, weight, grid, beam, overlaps, offset)
    files = MosaicFiles.of(output)
    peak_weight = float(weight.max())
    mosaic = _make_record(replace(pixels, grid=grid), files, overlaps, sky, options, peak_weight, timer.seconds)
    mosaic = replace(mosaic, history_rms_jy=history_rms_jy)
    matched = None
    if reference_catalogue is not None:
        with timer("compare"):
            mosaic, matched = _compare(mosaic, flux, weight, grid, sky, options, reference_catalogue)
            mosaic, grid = _shift(mosaic, grid)
    grade = grade_mosaic(mosaic, thresholds)
    mosaic = replace(mosaic, verdict=grade.grade, verdict_reasons=grade.reasons)
    with timer("write"):
        written = write_mosaic(mosaic, files, flux, weight, grid, sky, overlaps, offset, matched, cards)
    return replace(mosaic, bytes=written, seconds=dict(timer.seconds))


def _measure_tiles(
    tiles: Sequence[TileHeader], options: MosaicOptions
) -> tuple[list[TileHeader], list[tuple[TileSources, float]], list[OmittedMember]]:
    """Sources of each tile image at its own beam and its median level; images that cannot be used are left out."""
    usable, measured, omitted = [], [], []
    for tile in tiles:
        try:
            image, pb = read_pixels(tile, options)
            noise = _measure_noise(tile, image, pb, tile.beam)
        except BadFile as error:
            omitted.append(OmittedMember(fits_path=tile.path, reason=error.reason))
            continue
        beam_pixels = tile.beam.major_arcsec / tile.cell_arcsec
        peaks = find_peaks(image, pb, noise, options.match_sigma, beam_pixels)
        beam = rotate_beam(tile.beam, north_angle_deg(tile.wcs, tile))
        measured.append(
            (measure_tile(tile, image, pb, noise, beam, peaks.astype(np.float64)), float(np.median(image[pb > 0])))
        )
        usable.append(tile)
    return usable, measured, omitted


def _measure_noise(tile: TileHeader, image: Image, pb: Image, beam: Beam) -> NoiseMap:
    noise = measure_noise_map(image, pb > 0, beam.major_arcsec / tile.cell_arcsec)
    if not (np.isfinite(noise.values).all() and noise.values.min() > 0):
        raise BadFile(tile.path, "its noise cannot be measured: too few pixels, or all are equal")
    return noise


def _align(
    tiles: Sequence[TileHeader], measured: Sequence[tuple[TileSources, float]], numbers: Sequence[NDArray[np.int64]],
    options: MosaicOptions, beam: Beam,
) -> list[Alignment]:  # fmt: skip
    """Levels and shifts of the tile images from the sources that they share."""
    shared = [np.flatnonzero(number >= 0) for number in numbers]
    source = np.concatenate([number[rows] for number, rows in zip(numbers, shared, strict=True)])
    tile = np.concatenate([np.full(rows.size, index) for index, rows in enumerate(shared)])
    columns = [
        np.concatenate([getattr(sources, name)[rows] for (sources, _), rows in zip(measured, shared, strict=True)])
        for name in ("ra_deg", "dec_deg", "apparent_jy", "rms_jy")
    ]
    ra, dec, apparent, rms = columns
    error = beam.major_arcsec * np.hypot(POSITION_ERROR, 0.5 * rms / apparent)
    reference = _first_of_each(source, ra, dec)
    east = ((ra - reference[0] + 180) % 360 - 180) * np.cos(np.deg2rad(dec)) * 3600
    north = (dec - reference[1]) * 3600
    prior = SHIFT_PRIOR * beam.major_arcsec
    offsets = [solve_offsets(source, tile, axis, error, len(tiles), prior)[0] for axis in (east, north)]
    alignments = []
    for index, ((sources, level), rows) in enumerate(zip(measured, shared, strict=True)):
        levels = sources.background_jy[rows]
        levels = levels[np.isfinite(levels)]
        background = float(np.median(levels)) if levels.size >= MIN_SHARED else level
        is_aligned = options.align and rows.size >= MIN_SHARED
        shift = [-float(offset[index]) if is_aligned else 0.0 for offset in offsets]
        alignments.append(Alignment(background if options.subtract_background else 0.0, *shift))
    return alignments


def _first_of_each(
    source: NDArray[np.int64], ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Position of each source in the first tile that has it, for each of its measurements."""
    _, first, inverse = np.unique(source, return_index=True, return_inverse=True)
    return ra_deg[first][inverse], dec_deg[first][inverse]


def _select(sources: TileSources, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rows and columns of the shared sources of a tile, shape (2, sources)."""
    rows = numbers >= 0
    return np.stack([sources.y[rows], sources.x[rows]])


def _prepare(tile: TileHeader, common: Beam, options: MosaicOptions) -> tuple[Image, Image]:
    """A tile image at the common beam, given in the frame of its north, and its primary beam, 0 where unused."""
    image, pb = read_pixels(tile, options)
    turn = north_angle_deg(tile.wcs, tile)
    difference = beam_covariance(common) - beam_covariance(tile.beam)
    convolved = convolve(image, rotate_beam(tile.beam, turn), rotate_beam(common, turn), tile.cell_arcsec,
                         options.threads)  # fmt: skip
    if convolved is not image:
        # Near an edge or a blank pixel the kernel takes in pixels without data.
        reach = int(np.ceil(3 * np.sqrt(max(0.0, float(np.linalg.eigvalsh(difference)[-1]))) / tile.cell_arcsec))
        pb[:reach], pb[-reach:], pb[:, :reach], pb[:, -reach:] = 0, 0, 0, 0
        blank = image == 0
        if reach and np.count_nonzero(blank) > reach:
            pb[binary_dilation(blank, iterations=reach)] = 0
    return convolved, pb


def _add(
    flux: Image, weight: Image, grid: Grid, index: int, tile: TileHeader, image: Image, pb: Image, beam: Beam,
    alignment: Alignment, positions: NDArray[np.float64], numbers: NDArray[np.int64],
) -> AddedTile:  # fmt: skip
    """Add a tile image to the sums, and measure its shared sources as they are added."""
    noise = _measure_noise(tile, image, pb, beam)
    window = grid.windows[index]
    pixel_beam = rotate_beam(beam, north_angle_deg(tile.wcs, tile))
    sources = measure_tile(tile, image, pb, noise, pixel_beam, positions, alignment.background_jy)
    shift_deg = alignment.east_arcsec / 3600, alignment.north_arcsec / 3600
    coarse = coarse_pixels(grid, window, tile, shift_deg)
    add_tile(flux, weight, image, pb, noise, coarse, window, alignment.background_jy)
    weights, response = coarse_weights(pb, noise, coarse)
    return AddedTile(
        tile, alignment, float(np.median(noise.values)), window.row, window.column, weights, response, sources,
        numbers[numbers >= 0],
    )  # fmt: skip


def _cropped(grid: Grid, area: tuple[slice, slice]) -> WCS:
    """Celestial coordinates of a part of the grid."""
    wcs = grid.wcs.deepcopy()
    wcs.wcs.crpix = wcs.wcs.crpix - np.array([area[1].start, area[0].start])
    wcs.wcs.set()
    return wcs


def _make_record(
    pixels: MosaicPixels, files: MosaicFiles, overlaps: Overlaps, sky: Sky, options: MosaicOptions, peak_weight: float,
    seconds: Mapping[str, float],
) -> Mosaic:  # fmt: skip
    """The record of a mosaic, before it is graded and written."""
    added, grid, beam = pixels.added, pixels.grid, pixels.beam
    total = sum(float(member.weights.sum(dtype=np.float64)) for member in added)
    scales = overlaps.tile_scales or (None,) * len(added)
    members = tuple(
        _make_member(member, float(member.weights.sum(dtype=np.float64)) / total, scale)
        for member, scale in zip(added, scales, strict=True)
    )
    halves = [0.0 if np.isnan(member.tile.exposure_s) else member.tile.exposure_s / 2 / 86400 for member in added]
    middles = [member.tile.mjd for member in added]
    bandwidth_hz = float(np.nan_to_num(np.median([member.tile.bandwidth_hz for member in added])))
    is_timed = bool(np.isfinite(middles).all())
    middle = [(grid.shape[1] - 1) / 2, (grid.shape[0] - 1) / 2]
    ra_deg, dec_deg = (float(angle) for angle in grid.wcs.wcs_pix2world([middle], 0)[0])
    return Mosaic(
        fits_path=files.fits, weight_fits_path=files.weight, rms_fits_path=files.rms, png_path=files.png,
        thumbnail_path=files.thumbnail, qa_png_path=files.qa if overlaps.shared_sources else None,
        ra_deg=ra_deg % 360, dec_deg=dec_deg, width_pixels=grid.shape[1], height_pixels=grid.shape[0],
        cell_arcsec=grid.cell_arcsec, area_deg2=sky.area_deg2,
        mjd_start=min(np.subtract(middles, halves).tolist()) if is_timed else None,
        mjd_end=max(np.add(middles, halves).tolist()) if is_timed else None,
        freq_hz=overlaps.freq_hz,
        bandwidth_hz=bandwidth_hz, beam_major_arcsec=beam.major_arcsec, beam_minor_arcsec=beam.minor_arcsec,
        beam_angle_deg=beam.angle_deg, pb_cutoff=pixels.pb_cutoff,
        weight_cutoff=options.weight_cutoff * peak_weight, peak_weight=peak_weight, members=members,
        omitted=pixels.omitted, overlaps=overlaps.pairs, beam_profile=overlaps.beam_profile, sources=sky.sources,
        seconds=dict(seconds), member_count=len(members), rms_jy=sky.rms_jy, expected_rms_jy=sky.expected_rms_jy,
        peak_jy=sky.peak_jy, shared_sources=overlaps.shared_sources, flux_scatter=overlaps.flux_scatter,
        flux_step=overlaps.flux_step, position_scatter_beams=overlaps.position_scatter_beams,
        shift_beams=max(float(np.hypot(member.east_arcsec, member.north_arcsec)) for member in members)
        / beam.minor_arcsec,
        flux_seam=overlaps.flux_seam, rms_seam=sky.rms_seam, beam_deviation=overlaps.beam_deviation,
        artefact_ratio=sky.artefact_ratio,
    )  # fmt: skip


def _compare(
    mosaic: Mosaic, flux: Image, weight: Image, grid: Grid, sky: Sky, options: MosaicOptions, catalogue: Path
) -> tuple[Mosaic, MatchedSources]:
    """The record with the numbers against the reference catalogue, and the sources compared."""
    # The noise in cells suffices, and is small.
    half = STEP // 2
    cells = np.s_[half : flux.shape[0] // STEP * STEP : STEP, half : flux.shape[1] // STEP * STEP : STEP]
    rows, columns = (np.arange(half, length // STEP * STEP, STEP) for length in flux.shape)
    boxes = [np.clip(np.rint((index - sky.noise.first) / sky.noise.step), 0, length - 1).astype(np.int64)
             for index, length in zip((rows, columns), sky.noise.values.shape, strict=True)]  # fmt: skip
    covered_weight = np.where(weight[cells] > 0, weight[cells], np.nan)
    rms_jy = sky.noise.values[np.ix_(*boxes)] / np.sqrt(covered_weight)
    name = str(mosaic.fits_path)
    header = mosaic_header(mosaic, grid)
    comparison, matched = compare_image(flux, None, header, catalogue, rms_map=rms_jy, name=name)
    comparison = with_shift(comparison, mosaic.beam_minor_arcsec, options)
    path = MosaicFiles.of(mosaic.fits_path).comparison
    return replace(mosaic, **vars(comparison), comparison_png_path=path), matched


def _shift(mosaic: Mosaic, grid: Grid) -> tuple[Mosaic, Grid]:
    """The record and the grid with corrected coordinates, where the offset from the catalogue is significant.

    The coordinates of the members hold their own shifts already, so that the offset measured is what remains.
    """
    if mosaic.shift_east_arcsec is None or mosaic.shift_north_arcsec is None:
        return mosaic, grid
    wcs = grid.wcs.deepcopy()
    shift = np.array([mosaic.shift_east_arcsec, mosaic.shift_north_arcsec])
    wcs.wcs.crpix = wcs.wcs.crpix - shift / 3600 / wcs.wcs.cdelt
    wcs.wcs.set()
    pixels = grid.wcs.wcs_world2pix([[row["ra_deg"], row["dec_deg"]] for row in mosaic.sources] or np.zeros((0, 2)), 0)
    positions = wcs.wcs_pix2world(pixels, 0) if len(pixels) else pixels
    sources = tuple(
        {**row, "ra_deg": round(float(ra) % 360, 7), "dec_deg": round(float(dec), 7)}
        for row, (ra, dec) in zip(mosaic.sources, positions, strict=True)
    )
    return replace(mosaic, sources=sources), replace(grid, wcs=wcs)


def _make_member(member: AddedTile, weight: float, scale: float | None) -> MosaicMember:
    tile, header = member.tile, member.tile.header
    calibration_class, age_h = header.get("CALCLASS"), header.get("GAINAGE", header.get("CALAGE"))
    return MosaicMember(
        fits_path=tile.path, name=tile.path.name, ra_deg=tile.ra_deg, dec_deg=tile.dec_deg,
        mjd=tile.mjd if np.isfinite(tile.mjd) else None, freq_hz=tile.freq_hz, rms_jy=member.rms_jy, weight=weight,
        background_jy=member.alignment.background_jy, east_arcsec=member.alignment.east_arcsec,
        north_arcsec=member.alignment.north_arcsec, flux_scale=scale,
        calibration_class=str(calibration_class) if calibration_class else None,
        calibration_age_h=float(age_h) if isinstance(age_h, (int, float)) else None,
        grade=str(header.get("VERDICT") or "") or None,
    )  # fmt: skip
