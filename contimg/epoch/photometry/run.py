"""Fluxes at fixed positions of an image, step by step."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from contimg.epoch.photometry.image import (
    RestoredImage,
    find_image_flags,
    read_calibration_class,
    read_frequency,
    read_mjd,
    read_restored_image,
)
from contimg.epoch.photometry.kernels import fit_positions
from contimg.epoch.photometry.noise import find_empty_pixels, local_rms, measure_noise
from contimg.epoch.photometry.options import MeasureOptions
from contimg.epoch.photometry.positions import (
    Positions,
    find_inside,
    find_pixels,
    image_centre,
    is_catalogue,
    read_catalogue_positions,
    read_positions,
)
from contimg.epoch.photometry.products import MeasurementFlag, Photometry
from contimg.instrument.coordinates import separation_rad
from contimg.sky.catalogue import open_catalogue

SAME_BEAMS = 0.2  # positions nearer than this are one: their fluxes cannot be separated
MAX_GROUP = 64  # positions that are fitted together
Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


def measure_fluxes(
    image_path: Path, positions: Path | Positions, options: MeasureOptions | None = None, *, inside_only: bool = False
) -> Photometry:  # fmt: skip
    """Measure the flux of a point source at each of many positions of an image.

    The restoring beam is fitted with the position fixed: linear in the pixels, and so without bias at every signal to
    noise ratio. Errors follow from the local noise and its correlation, both measured in the image, and are scaled to
    the scatter of empty positions.

    Parameters
    ----------
    image_path : FITS image in Jy per beam; its primary beam is read from `.pb.fits` beside it, its noise from
        `.rms.fits`; without them the fluxes are taken as true, and the noise is measured.
    positions : a built catalogue, whose sources in the image are measured; a table with `ra_deg` and `dec_deg`; or
        positions.
    options : None for the defaults.
    inside_only : leave out positions without data, as for a catalogue.

    Raises
    ------
    BadInput : the image or the table cannot be used; the message has the reason.
    """
    image = read_restored_image(image_path)
    if isinstance(positions, Path):
        if is_catalogue(positions):
            inside_only = True
            positions, _ = read_catalogue_positions(open_catalogue(positions), image.wcs, image.pixels.shape)
        else:
            positions = read_positions(positions)
    return measure_image(image, positions, options or MeasureOptions(), inside_only=inside_only)


def measure_image(
    image: RestoredImage, positions: Positions, options: MeasureOptions, *, inside_only: bool = False
) -> Photometry:
    """Measure fluxes as `measure_fluxes` does, in an image that was read.

    Parameters
    ----------
    image, positions, options, inside_only : as there.
    """
    pixels = find_pixels(positions, image.wcs)
    if inside_only:
        has_data = _read_valid(np.isfinite(image.pixels), pixels)
        positions, pixels = positions[has_data], pixels[has_data]
    return _measure(image, positions, pixels, options)


def _measure(image: RestoredImage, positions: Positions, pixels: Values, options: MeasureOptions) -> Photometry:
    valid = np.isfinite(image.pixels)
    is_inside = find_inside(pixels, valid.shape)
    has_data = _read_valid(valid, pixels)
    empty = find_empty_pixels(image, pixels[is_inside], valid, options)
    noise = measure_noise(image, empty, local_rms(image, empty, valid), valid)
    rms = np.full(len(positions), np.nan)
    rms[has_data] = local_rms(image, pixels[has_data], valid)
    first, blends = _find_blends(image, pixels, has_data, options.blend_beams)
    flux, error = _fit(image, pixels, first, blends, options.blend_beams, noise.correlation)
    pb = np.where(has_data, 1.0, np.nan) if image.pb is None else _sample_pb(image.pb, pixels, has_data)
    error = error * noise.pull_width * rms
    is_measured = np.isfinite(flux) & (error > 0)
    flux, error, rms = (np.where(is_measured, values / pb, np.nan) for values in (flux, error, rms))
    edge_deg = _edge_distances(valid, pixels, is_inside) * image.pixel_deg
    centre = np.deg2rad(image_centre(image.wcs, valid.shape))
    directions = np.deg2rad(np.stack([positions.ra_deg, positions.dec_deg], axis=-1))
    photometry = Photometry(
        fits_path=image.path, mjd=read_mjd(image.header), freq_hz=read_frequency(image.header), beam=image.beam,
        error_scale=noise.error_scale, calibration_class=read_calibration_class(image.header),
        source_id=positions.source_id, ra_deg=positions.ra_deg, dec_deg=positions.dec_deg, flux_jy=flux,
        flux_error_jy=error, local_rms_jy=rms, pb=pb, edge_distance_deg=edge_deg,
        centre_distance_deg=np.rad2deg(separation_rad(directions, centre)), blend_group=blends,
        flags=np.zeros(len(positions), dtype=np.int64),
    )  # fmt: skip
    return replace(photometry, flags=_find_flags(image, photometry, is_inside, is_measured, options))


def _find_flags(
    image: RestoredImage, photometry: Photometry, is_inside: Mask, is_measured: Mask, options: MeasureOptions
) -> NDArray[np.int64]:
    beam_deg = photometry.beam.major_arcsec / 3600
    rms = photometry.local_rms_jy * photometry.pb
    typical_rms = float(np.nanmedian(rms)) if np.isfinite(rms).any() else np.nan
    with np.errstate(invalid="ignore"):
        conditions = {
            MeasurementFlag.OUTSIDE: ~is_inside,
            MeasurementFlag.NO_DATA: is_inside & ~is_measured,
            MeasurementFlag.EDGE: is_measured & (photometry.edge_distance_deg < options.edge_beams * beam_deg),
            MeasurementFlag.BLENDED: photometry.blend_group >= 0,
            MeasurementFlag.LOW_PB: photometry.pb < options.low_pb,
            MeasurementFlag.NOISY: rms > options.noisy_factor * typical_rms,
        }
    flags = np.full(len(photometry), int(find_image_flags(image.header, image.beam, options)))
    for flag, condition in conditions.items():
        flags[condition] |= int(flag)
    return flags


def _read_valid(valid: Mask, pixels: Values) -> Mask:
    """Whether the pixel of each position has data."""
    has_data = find_inside(pixels, valid.shape)
    columns, rows = np.rint(pixels[has_data]).astype(int).T
    has_data[has_data] = valid[rows, columns]
    return has_data


def _in_beams(image: RestoredImage, pixels: Values) -> Values:
    """Positions in coordinates in which the beam's full width at half maximum is 1 in every direction."""
    a, b, c = image.form
    return np.asarray(pixels @ np.linalg.cholesky(np.array([[a, b], [b, c]])) / (2 * np.sqrt(np.log(2))))


def _find_blends(
    image: RestoredImage, pixels: Values, has_data: Mask, blend_beams: float
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return the first of the positions that are one with each position, and the numbers of the blends.

    Positions without data are -1 in the first array. In the second -1 is a position without a neighbour.
    """
    first = np.full(len(pixels), -1)
    blends = np.full(len(pixels), -1, dtype=np.int64)
    rows = np.flatnonzero(has_data)
    if not rows.size:
        return first, blends
    scaled = _in_beams(image, pixels[rows])
    tree = cKDTree(scaled)
    same = _connect(tree, SAME_BEAMS)
    _, leaders = np.unique(same, return_index=True)
    first[rows] = rows[leaders[same]]
    joined = _connect(tree, max(blend_beams, SAME_BEAMS))
    sizes = np.bincount(joined)
    is_blended = sizes > 1
    numbers = np.where(is_blended, np.cumsum(is_blended) - 1, -1)
    blends[rows] = numbers[joined]
    return first, blends


def _connect(tree: cKDTree, radius: float) -> NDArray[np.int64]:
    """Number of the group of each point; points within a radius are of one group, and so are their neighbours."""
    pairs = tree.query_pairs(radius, output_type="ndarray")
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(tree.n, tree.n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _fit(
    image: RestoredImage, pixels: Values, first: NDArray[np.intp], blends: NDArray[np.int64], blend_beams: float,
    correlation: Values,
) -> tuple[Values, Values]:  # fmt: skip
    """Fluxes and errors (in units of the local noise) of all positions; NaN without data."""
    flux, error = np.full(len(pixels), np.nan), np.full(len(pixels), np.nan)
    leaders = np.flatnonzero(first == np.arange(len(pixels)))
    if not leaders.size:
        return flux, error
    blend_of = blends[leaders]
    sizes = np.bincount(blend_of + 1)[blend_of + 1]
    is_large = (blend_of >= 0) & (sizes > MAX_GROUP)
    together, large = leaders[~is_large], leaders[is_large]
    alone = blends[together] < 0
    keys = np.where(alone, -1 - together, blends[together])
    members = [together]
    groups = [np.unique(keys, return_inverse=True)[1].astype(np.int64)]
    targets = [np.ones(together.size, dtype=bool)]
    if large.size:
        # Each with its neighbours and theirs, of which its flux alone is used.
        scaled = _in_beams(image, pixels[large])
        neighbours = min(MAX_GROUP, large.size)
        distances, nearest = cKDTree(scaled).query(scaled, k=neighbours, distance_upper_bound=2 * blend_beams)
        is_near = np.isfinite(distances)
        counts = is_near.sum(axis=1)
        start = int(groups[0].max()) + 1 if groups[0].size else 0
        members.append(large[nearest[is_near]])
        groups.append(start + np.repeat(np.arange(large.size), counts))
        targets.append(nearest[is_near] == np.repeat(np.arange(large.size), counts))
    member, group, target = (np.concatenate(parts) for parts in (members, groups, targets))
    fits = fit_positions(image.pixels, pixels[member, 0], pixels[member, 1], group, image.form, correlation)
    flux[member[target]], error[member[target]] = fits.flux[target], fits.error[target]
    has_data = first >= 0
    flux[has_data], error[has_data] = flux[first[has_data]], error[first[has_data]]
    return flux, error


def _sample_pb(pb: NDArray[np.float32], pixels: Values, has_data: Mask) -> Values:
    """The primary beam at positions, interpolated linearly between pixels; NaN without data."""
    sampled = np.full(len(pixels), np.nan)
    x, y = pixels[has_data].T
    left = np.clip(np.floor(x).astype(int), 0, pb.shape[1] - 2)
    low = np.clip(np.floor(y).astype(int), 0, pb.shape[0] - 2)
    part_x, part_y = x - left, y - low
    lower = pb[low, left] * (1 - part_x) + pb[low, left + 1] * part_x
    upper = pb[low + 1, left] * (1 - part_x) + pb[low + 1, left + 1] * part_x
    values = lower * (1 - part_y) + upper * part_y
    nearest = pb[np.rint(y).astype(int), np.rint(x).astype(int)]
    sampled[has_data] = np.where(np.isfinite(values), values, nearest)
    return sampled


def _edge_distances(valid: Mask, pixels: Values, is_inside: Mask) -> Values:
    """Distance to the nearest pixel without data or to the border of the image, pixels; 0 outside."""
    distances = np.zeros(len(pixels))
    inside = pixels[is_inside]
    if not len(inside):
        return distances
    rows, columns = valid.shape
    x, y = inside.T
    distance = np.min([x + 0.5, columns - 0.5 - x, y + 0.5, rows - 0.5 - y], axis=0)
    blank = ~valid
    # Blank pixels beside one with data: few, where all blank pixels may be most of the image.
    border = np.zeros_like(blank)
    border[:-1] |= valid[1:]
    border[1:] |= valid[:-1]
    border[:, :-1] |= valid[:, 1:]
    border[:, 1:] |= valid[:, :-1]
    border &= blank
    if border.any():
        edge = np.argwhere(border)[:, ::-1]
        distance = np.minimum(distance, np.maximum(cKDTree(edge).query(inside)[0] - 0.5, 0))
    columns_of, rows_of = np.rint(inside).astype(int).T
    distances[is_inside] = np.where(valid[rows_of, columns_of], distance, 0.0)
    return distances
