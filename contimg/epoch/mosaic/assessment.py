"""Quality of a mosaic: fluxes, positions and the primary beam in the overlaps, steps at borders, noise, artefacts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion

from contimg.epoch.mosaic.grid import STEP, Grid
from contimg.epoch.mosaic.members import Image, TileHeader
from contimg.epoch.mosaic.noise import NoiseMap, measure_noise_map
from contimg.epoch.mosaic.reprojection import signal_to_noise
from contimg.epoch.mosaic.sources import TileSources, find_peaks, fit_beams, solve_offsets
from contimg.epoch.products import BeamDeviation, OverlapRatio
from contimg.instrument.coordinates import separation_rad
from contimg.tile.image.gridding.noise import measure_rms
from contimg.tile.image.result import Beam
from contimg.tile.image.sources.finding import position_name

Vector = NDArray[np.float64]
MIN_SNR = 20.0  # of fluxes and positions that are compared
MIN_PAIR = 3  # sources of a pair of tiles
FLUX_ERROR = 0.003  # of a flux, besides the noise
SCALE_PRIOR, BEAM_PRIOR = 0.2, 0.2  # expected size of flux scales and of deviations of the beam
RADIUS_STEP_DEG = 0.25
MIN_FLUXES = 8  # of a radius, and of a tile's flux scale
SIGMAS = 2.0  # errors of a number that are taken off it before it is graded
DEEP = 0.5  # of the highest weight: where the noise of the mosaic is measured
MAX_VALUES = 4_000_000  # of the noise of the whole mosaic
SOURCE_SIGMA = 7.0
NAMED_SOURCES, ARTEFACT_SOURCES = 50, 10
ARTEFACT_BEAMS = 2.0, 8.0  # ring around a bright source, major axes
MIN_BORDER = 20  # coarse pixels on either side of a border


@dataclass(frozen=True)
class Alignment:
    """What the shared sources say about a tile image, or its own pixels where they are too few.

    Attributes
    ----------
    background_jy : level to subtract.
    east_arcsec, north_arcsec : shift to apply.
    """

    background_jy: float = 0.0
    east_arcsec: float = 0.0
    north_arcsec: float = 0.0


@dataclass(frozen=True)
class AddedTile:
    """A tile image in the mosaic.

    Attributes
    ----------
    tile : its header.
    alignment : that was applied.
    rms_jy : median noise at the common beam.
    row, column : first pixel of its coarse weights in the coarse lattice.
    weights, response : weight and primary beam on the coarse lattice.
    sources : shared sources at the common beam.
    numbers : of these sources, equal between tiles.
    """

    tile: TileHeader
    alignment: Alignment
    rms_jy: float
    row: int
    column: int
    weights: NDArray[np.float32]
    response: NDArray[np.float32]
    sources: TileSources
    numbers: NDArray[np.int64]


@dataclass(frozen=True)
class Overlaps:
    """What the sources that tiles share say; None without such sources.

    Attributes
    ----------
    freq_hz : effective frequency.
    coarse_freq_hz, coarse_weight : effective frequency and summed weight on the coarse lattice.
    borders : of each tile, on the coarse lattice: the inner side.
    tile_scales : fluxes of each tile over its neighbours'.
    radius_deg, response : distance from the tile's centre, and flux over the source's, shape (fluxes,).
    offsets_arcsec : of the positions from the source's mean, to the east and north, shape (fluxes, 2).
    """

    freq_hz: float
    coarse_freq_hz: NDArray[np.float32]
    coarse_weight: NDArray[np.float32]
    borders: tuple[NDArray[np.bool_], ...]
    inside: tuple[NDArray[np.bool_], ...]
    tile_scales: tuple[float | None, ...] = ()
    pairs: tuple[OverlapRatio, ...] = ()
    beam_profile: tuple[BeamDeviation, ...] = ()
    shared_sources: int = 0
    flux_scatter: float | None = None
    flux_step: float | None = None
    position_scatter_beams: float | None = None
    flux_seam: float | None = None
    beam_deviation: float | None = None
    radius_deg: Vector = field(default_factory=lambda: np.zeros(0))
    response: Vector = field(default_factory=lambda: np.zeros(0))
    offsets_arcsec: Vector = field(default_factory=lambda: np.zeros((0, 2)))


@dataclass(frozen=True)
class Sky:
    """What the pixels of the mosaic say.

    Attributes
    ----------
    noise : local noise over that predicted from the weights.
    rms_jy, expected_rms_jy : noise measured and predicted where the weight is at least half of the highest.
    sources : the brightest.
    """

    noise: NoiseMap
    rms_jy: float
    expected_rms_jy: float
    peak_jy: float
    area_deg2: float
    sources: tuple[Mapping[str, Any], ...]
    artefact_ratio: float | None
    rms_seam: float | None


def assess_overlaps(added: Sequence[AddedTile], grid: Grid, beam: Beam) -> Overlaps:
    """Compare the tiles of a mosaic where they overlap.

    Parameters
    ----------
    added : the tiles.
    grid : before it is cropped.
    beam : the common beam.
    """
    overlaps = _sum_coarse(added, grid)
    table = np.concatenate([_fluxes(index, member) for index, member in enumerate(added)], axis=1)
    usable = np.isfinite(table).all(axis=0) & (table[2] > MIN_SNR * table[3])
    numbers = table[0].astype(np.int64)
    usable &= np.bincount(numbers[usable], minlength=numbers.max(initial=0) + 1)[numbers] > 1
    if not usable.any():
        return overlaps
    source, tile = table[:2, usable].astype(np.int64)
    flux, error, radius, ra, dec = table[2:, usable]
    _, source = np.unique(source, return_inverse=True)
    relative = np.hypot(error / flux, FLUX_ERROR)
    scale, covariance, residual = solve_offsets(source, tile, np.log(flux), relative, len(added), SCALE_PRIOR)
    has_scale = np.bincount(tile, minlength=len(added)) >= MIN_FLUXES
    centred = np.eye(len(added)) - 1 / len(added)
    scale_error = np.sqrt(np.diag(centred @ covariance @ centred))
    degrees = np.sqrt(source.size / max(1, source.size - np.unique(source).size))
    scatter = degrees * measure_rms(residual.astype(np.float32))
    noise = float(np.sqrt(np.median(relative**2)))
    profile = _beam_profile(source, radius, np.log(flux) - scale[tile], relative)
    offsets = _position_offsets(source, ra, dec)
    scatter_arcsec = degrees * float(
        np.sqrt(np.mean([measure_rms(axis.astype(np.float32)) ** 2 for axis in offsets.T]))
    )
    excess = np.maximum(0.0, np.abs(scale) - SIGMAS * scale_error)[has_scale]
    deviations = [max(0.0, abs(entry.deviation) - SIGMAS * entry.error) for entry in profile]
    return replace(
        overlaps, tile_scales=tuple(float(np.exp(value)) if usable else None
                                    for value, usable in zip(scale, has_scale, strict=True)),
        pairs=_compare_pairs(added, source, tile, flux, relative, offsets), beam_profile=profile,
        shared_sources=int(source.max()) + 1, flux_scatter=float(np.sqrt(max(0.0, scatter**2 - noise**2))),
        flux_step=float(excess.max()) if excess.size else None,
        position_scatter_beams=scatter_arcsec / beam.minor_arcsec,
        flux_seam=_flux_seam(added, overlaps, np.where(has_scale, scale, 0.0)),
        beam_deviation=max(deviations, default=None), radius_deg=radius,
        response=np.exp(residual), offsets_arcsec=offsets,
    )  # fmt: skip


def _fluxes(index: int, member: AddedTile) -> Vector:
    """Number of the source and the tile, true flux, its error, distance from the centre and position, as rows."""
    sources, tile, alignment = member.sources, member.tile, member.alignment
    positions = np.deg2rad(np.stack([sources.ra_deg, sources.dec_deg], axis=-1))
    radius = np.rad2deg(separation_rad(positions, np.deg2rad([tile.ra_deg, tile.dec_deg])))
    pb = np.where(sources.pb > 0, sources.pb, np.nan)
    dec = sources.dec_deg + alignment.north_arcsec / 3600
    ra = sources.ra_deg + alignment.east_arcsec / 3600 / np.cos(np.deg2rad(dec))
    numbers = np.full(radius.size, float(index))
    return np.stack([member.numbers, numbers, sources.apparent_jy / pb, sources.rms_jy / pb, radius, ra, dec])


def _position_offsets(source: NDArray[np.int64], ra_deg: Vector, dec_deg: Vector) -> Vector:
    """Offsets from the source's mean position to the east and north, arcsec, shape (fluxes, 2)."""
    _, first, inverse = np.unique(source, return_index=True, return_inverse=True)
    east = ((ra_deg - ra_deg[first][inverse] + 180) % 360 - 180) * np.cos(np.deg2rad(dec_deg)) * 3600
    north = (dec_deg - dec_deg[first][inverse]) * 3600
    count = np.bincount(source)
    return np.stack([axis - (np.bincount(source, axis) / count)[source] for axis in (east, north)], axis=-1)


def _beam_profile(source: NDArray[np.int64], radius: Vector, value: Vector, error: Vector) -> tuple[BeamDeviation, ...]:
    """Deviation of the primary beam at each distance; within the innermost it is 0 by definition."""
    bins = (radius / RADIUS_STEP_DEG).astype(np.int64)
    counts = np.bincount(bins)
    deviation, covariance, _ = solve_offsets(source, bins, value, error, counts.size, BEAM_PRIOR)
    filled = np.flatnonzero(counts >= MIN_FLUXES)
    if not filled.size:
        return ()
    first = filled[0]
    deviation = deviation - deviation[first]
    variance = np.diag(covariance) + covariance[first, first] - 2 * covariance[first]
    centres = np.bincount(bins, radius) / np.maximum(counts, 1)
    return tuple(
        BeamDeviation(
            radius_deg=float(centres[number]), deviation=float(np.expm1(deviation[number])),
            error=float(np.sqrt(max(0.0, variance[number]))), fluxes=int(counts[number]),
        )
        for number in filled
    )  # fmt: skip


def _compare_pairs(
    added: Sequence[AddedTile], source: NDArray[np.int64], tile: NDArray[np.int64], flux: Vector, error: Vector,
    offsets: Vector,
) -> tuple[OverlapRatio, ...]:  # fmt: skip
    """Flux ratio and position scatter of each pair of tiles."""
    rows = np.full((len(added), int(source.max()) + 1), -1)
    rows[tile, source] = np.arange(source.size)
    pairs = []
    for i in range(len(added)):
        for j in range(i + 1, len(added)):
            common = np.flatnonzero((rows[i] >= 0) & (rows[j] >= 0))
            if common.size < MIN_PAIR:
                continue
            first, second = rows[i][common], rows[j][common]
            ratio = flux[first] / flux[second]
            spread = max(measure_rms(ratio.astype(np.float32)), float(np.median(np.hypot(error[first], error[second]))))
            moved = (offsets[first] - offsets[second]).astype(np.float32)
            pairs.append(
                OverlapRatio(
                    first=added[i].tile.path.name, second=added[j].tile.path.name, sources=int(common.size),
                    flux_ratio=float(np.median(ratio)),
                    flux_ratio_error=1.2533 * spread / float(np.sqrt(common.size)),
                    position_scatter_arcsec=float(np.sqrt(np.mean([measure_rms(axis) ** 2 for axis in moved.T]))),
                )
            )  # fmt: skip
    return tuple(pairs)


def _sum_coarse(added: Sequence[AddedTile], grid: Grid) -> Overlaps:
    """Weights, effective frequency and borders of the tiles on the coarse lattice."""
    shape = tuple(-(-length // STEP) + 2 for length in grid.shape)
    weight, moment = np.zeros(shape, dtype=np.float64), np.zeros(shape, dtype=np.float64)
    borders, inside = [], []
    for member in added:
        area = _area(member)
        tile = member.tile
        spread = 0.0 if np.isnan(tile.bandwidth_hz) else (tile.bandwidth_hz / tile.freq_hz) ** 2 / 12
        # A beam that is a Gaussian in distance times frequency has d ln A / d ln f = 2 ln A.
        pb = np.where(member.response > 0, member.response, 1.0)
        weight[area] += member.weights
        moment[area] += member.weights * tile.freq_hz * (1 + 2 * np.log(pb) * spread)
        covered = np.zeros(shape, dtype=bool)
        covered[area] = member.weights > 0
        inside.append(covered)
    for covered in inside:
        borders.append(covered & ~binary_erosion(covered, border_value=1))
    freq = np.where(weight > 0, moment / np.where(weight > 0, weight, 1), np.nan)
    return Overlaps(
        freq_hz=float(moment.sum() / weight.sum()), coarse_freq_hz=freq.astype(np.float32),
        coarse_weight=weight.astype(np.float32), borders=tuple(borders), inside=tuple(inside),
    )  # fmt: skip


def _area(member: AddedTile) -> tuple[slice, slice]:
    row, column = member.row // STEP, member.column // STEP
    return slice(row, row + member.weights.shape[0]), slice(column, column + member.weights.shape[1])


def _flux_seam(added: Sequence[AddedTile], overlaps: Overlaps, scale: Vector) -> float | None:
    """Largest median step of the flux scale that the mosaic has at the border of a tile."""
    moment = np.zeros(overlaps.coarse_weight.shape, dtype=np.float64)
    for member, value in zip(added, scale, strict=True):
        moment[_area(member)] += member.weights * value
    steps = []
    for member, border, value in zip(added, overlaps.borders, scale, strict=True):
        member_weight = np.zeros(moment.shape)
        member_weight[_area(member)] = member.weights
        remaining = overlaps.coarse_weight - member_weight
        seam = border & (remaining > 0.01 * overlaps.coarse_weight.max())
        if np.count_nonzero(seam) >= MIN_BORDER:
            mean = (moment - member_weight * value)[seam] / remaining[seam]
            steps.append(
                abs(float(np.median((member_weight / overlaps.coarse_weight.clip(1e-30))[seam] * (value - mean))))
            )
    return max(steps, default=None)


def assess_sky(flux: Image, weight: Image, grid: Grid, beam: Beam, overlaps: Overlaps, offset: tuple[int, int]) -> Sky:
    """Measure the noise, the brightest sources, artefacts and steps of the noise in a mosaic.

    Parameters
    ----------
    flux, weight : the mosaic and its weight.
    grid : of both.
    beam : the common beam.
    overlaps : from `assess_overlaps`.
    offset : first row and column of the mosaic in the grid of `overlaps`.
    """
    snr = signal_to_noise(flux, weight)
    beam_pixels = beam.major_arcsec / grid.cell_arcsec
    noise = measure_noise_map(snr, weight > 0, beam_pixels)
    stride = max(1, int(np.ceil(np.sqrt(flux.size / MAX_VALUES))))
    values, weights = snr[::stride, ::stride], weight[::stride, ::stride]
    deep = weights >= DEEP * weights.max()
    expected_jy = float(np.median(1 / np.sqrt(weights[deep])))
    peaks = find_peaks(snr, weight, noise, SOURCE_SIGMA, beam_pixels)
    peaks = peaks[:, np.argsort(-flux[peaks[0], peaks[1]], kind="stable")][:, :NAMED_SOURCES]
    peak_jy, x, y = fit_beams(flux, peaks.astype(np.float64), np.zeros(peaks.shape[1]), beam, grid.cell_arcsec)
    fitted = np.isfinite(peak_jy)
    rings = [_ring_noise(snr, weight, peak, beam_pixels) for peak in peaks[:, :ARTEFACT_SOURCES].T]
    return Sky(
        noise=noise, rms_jy=measure_rms(values[deep]) * expected_jy, expected_rms_jy=expected_jy,
        peak_jy=float(np.nanmax(flux)), area_deg2=np.count_nonzero(weight) * (grid.cell_arcsec / 3600) ** 2,
        sources=_name_sources(peak_jy[fitted], x[fitted], y[fitted], grid),
        artefact_ratio=max((ring for ring in rings if ring is not None), default=None),
        rms_seam=_rms_seam(noise, overlaps, offset),
    )  # fmt: skip


def _ring_noise(snr: Image, weight: Image, peak: NDArray[np.int64], beam_pixels: float) -> float | None:
    """Noise in the ring around a source, over the predicted one."""
    reach = int(np.ceil(ARTEFACT_BEAMS[1] * beam_pixels))
    top, left = (max(0, int(index) - reach) for index in peak)
    cutout = np.s_[top : int(peak[0]) + reach + 1, left : int(peak[1]) + reach + 1]
    rows, columns = np.indices(snr[cutout].shape, sparse=True)
    distance = np.hypot(rows + top - peak[0], columns + left - peak[1]) / beam_pixels
    ring = snr[cutout][(distance >= ARTEFACT_BEAMS[0]) & (distance <= ARTEFACT_BEAMS[1]) & (weight[cutout] > 0)]
    return measure_rms(ring) if ring.size else None


def _name_sources(peak_jy: Vector, x: Vector, y: Vector, grid: Grid) -> tuple[Mapping[str, Any], ...]:
    """The sources, brightest first, as the record has them."""
    positions = grid.wcs.wcs_pix2world(np.stack([x, y], axis=-1), 0) if x.size else np.zeros((0, 2))
    return tuple(
        {"name": position_name(ra, dec), "ra_deg": round(float(ra) % 360, 7), "dec_deg": round(float(dec), 7),
         "flux_jy": float(f"{peak:.6g}")}
        for peak, (ra, dec) in sorted(zip(peak_jy.tolist(), positions.tolist(), strict=True), reverse=True)
    )  # fmt: skip


def _rms_seam(noise: NoiseMap, overlaps: Overlaps, offset: tuple[int, int]) -> float | None:
    """Largest step of the noise, over the predicted one, between both sides of a tile's border."""
    rows, columns = np.indices(overlaps.coarse_weight.shape)
    # A box across the border has the noise of both sides: boxes are taken within one box of the border.
    boxes = [
        np.rint((STEP * index - start - noise.first) / noise.step).astype(np.int64).clip(0, length - 1)
        for index, start, length in zip((rows, columns), offset, noise.values.shape, strict=True)
    ]
    ratio = noise.values[boxes[0], boxes[1]]
    width = max(1, round(noise.step / STEP))
    deep = overlaps.coarse_weight > 0.1 * overlaps.coarse_weight.max()
    steps = []
    for border, covered in zip(overlaps.borders, overlaps.inside, strict=True):
        near = binary_dilation(border, iterations=2 * width) & ~binary_dilation(border, iterations=width) & deep
        inner, outer = ratio[near & covered], ratio[near & ~covered]
        if min(inner.size, outer.size) >= MIN_BORDER:
            steps.append(abs(float(np.median(inner) / np.median(outer)) - 1))
    return max(steps, default=None)
