"""What a HiPS covers and is: its MOC and its `properties`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from matplotlib.colors import Normalize
from numpy.typing import NDArray
from scipy.constants import c as LIGHT_SPEED_M_S  # noqa: N812

import contimg
from contimg.common.files.staging import disk_errors, staged
from contimg.epoch.hips import SKY_DEG2, Properties
from contimg.epoch.hips.geometry import MOC_ORDERS, TILE_ORDER, TILE_PIXELS, nested_offsets, pixel_arcsec
from contimg.epoch.hips.mosaic_image import MosaicImage, Plane
from contimg.epoch.hips.tiles import read_tile
from contimg.tile.image.plots import drawing

SCALE_PEAK = 300.0  # of the brightest colour, over the noise
FITS_CUTS = -3.0, 20.0  # that viewers apply to FITS tiles at first, over the noise


def colour_scale(properties: Mapping[str, str]) -> Normalize:
    """Return the colours of the PNG tiles, the same for all of a HiPS.

    Parameters
    ----------
    properties : of the HiPS; the low cut is -3 times the noise of its first mosaic.
    """
    rms_jy = float(properties["hips_pixel_cut"].split()[0]) / FITS_CUTS[0]
    return drawing.make_colour_scale(rms_jy, SCALE_PEAK * rms_jy)


def first_properties(mosaic: MosaicImage, order: int) -> Properties:
    """Make the `properties` of a HiPS that begins with a mosaic.

    Parameters
    ----------
    mosaic : the first one.
    order : of the deepest tiles.
    """
    header = mosaic.header
    rms_jy = float(header.get("RMS") or 1 / np.sqrt(float(mosaic.weight.max())))
    rows, columns = mosaic.flux.shape
    ra_deg, dec_deg = mosaic.wcs.wcs_pix2world([[(columns - 1) / 2, (rows - 1) / 2]], 0)[0]
    frequency_hz = float(header.get("RESTFRQ") or 0)
    bandwidth_hz = abs(float(header.get("CDELT3") or 0))
    properties = {
        "creator_did": "ivo://contimg/P/continuum", "obs_title": "Continuum mosaics",
        "obs_description": "Mosaics of continuum images, flux density corrected for the primary beam, Jy/beam",
        "dataproduct_type": "image", "hips_version": "1.4", "hips_status": "private master unclonable",
        "hips_builder": f"contimg {contimg.__version__}", "hips_frame": "equatorial", "hips_order": str(order),
        "hips_order_min": "0", "hips_tile_width": str(TILE_PIXELS), "hips_tile_format": "png fits",
        "hips_pixel_bitpix": "-32", "hips_pixel_scale": f"{pixel_arcsec(order) / 3600:.6g}", "bunit": "Jy/beam",
        "hips_pixel_cut": " ".join(f"{cut * rms_jy:.4g}" for cut in FITS_CUTS),
        "hips_initial_ra": f"{ra_deg % 360:.5f}", "hips_initial_dec": f"{dec_deg:.5f}",
        "hips_initial_fov": f"{min(max(rows, columns) * mosaic.cell_arcsec / 3600, 90.0):.4g}",
        "obs_regime": "Radio", "s_pixel_scale": f"{mosaic.cell_arcsec / 3600:.6g}",
    }  # fmt: skip
    if frequency_hz > bandwidth_hz / 2:
        edges_hz = frequency_hz + bandwidth_hz / 2, frequency_hz - bandwidth_hz / 2
        properties.update(
            zip(("em_min", "em_max"), (f"{LIGHT_SPEED_M_S / edge:.6g}" for edge in edges_hz), strict=True)
        )
    return properties


def write_properties(directory: Path, properties: Properties, mosaic: MosaicImage | None = None) -> None:
    """Write the `properties` of a HiPS.

    Parameters
    ----------
    directory : of the HiPS.
    properties : as they were.
    mosaic : the mosaic that is added; the span of time is extended by its own.
    """
    changed = {**properties, "moc_sky_fraction": f"{area_deg2(directory) / SKY_DEG2:.6g}"}
    changed["hips_release_date"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
    if mosaic is not None:
        for key, keyword, choose in (("t_min", "MJD-BEG", min), ("t_max", "MJD-END", max)):
            values = [float(value) for value in (changed.get(key), mosaic.header.get(keyword)) if value is not None]
            if values:
                changed[key] = f"{choose(values):.6f}"
    _write_text(directory / "properties", "".join(f"{key:<20} = {value}\n" for key, value in changed.items()))


def _write_text(path: Path, text: str) -> None:
    with staged(path) as temporary, disk_errors(path):
        temporary.write_text(text, encoding="utf-8")


def update_moc(directory: Path, order: int, npixes: list[int]) -> None:
    """Renew the part of tiles in the MOC of a HiPS, `Moc.fits`: cells `MOC_ORDERS` orders below the tiles.

    Parameters
    ----------
    directory : of the HiPS.
    order : of the deepest tiles.
    npixes : tiles of this order that have changed.
    """
    from mocpy import MOC  # imported with the first MOC: it takes a second

    path, depth = directory / "Moc.fits", order + MOC_ORDERS
    old = MOC.from_fits(path) if path.exists() else MOC.new_empty(depth)
    tiles = np.array(npixes, dtype=np.uint64)
    touched = MOC.from_healpix_cells(tiles, np.full(tiles.size, order, dtype=np.uint8), max_depth=depth)
    parts = [covered_cells(tile.weight) + npix * 4**MOC_ORDERS
             for npix in npixes if (tile := read_tile(directory, order, npix)) is not None]  # fmt: skip
    cells = np.concatenate(parts).astype(np.uint64) if parts else np.array([], dtype=np.uint64)
    new = MOC.from_healpix_cells(cells, np.full(cells.size, depth, dtype=np.uint8), max_depth=depth)
    moc = old.difference(touched).union(new)
    with staged(path) as temporary, disk_errors(path):
        moc.save(temporary, format="fits", overwrite=True)


def covered_cells(weight: Plane) -> NDArray[np.int64]:
    """Return the cells of a tile, counted from its first, that hold a pixel with a weight.

    Parameters
    ----------
    weight : of the tile, rows as in FITS.
    """
    side, cells = 1 << (TILE_ORDER - MOC_ORDERS), 1 << MOC_ORDERS
    covered = (weight > 0).reshape(cells, side, cells, side).any(axis=(1, 3))
    return np.sort(nested_offsets(MOC_ORDERS)[covered])


def area_deg2(directory: Path) -> float:
    """Return the area that the MOC of a HiPS covers; 0 without one.

    Parameters
    ----------
    directory : of the HiPS.
    """
    from mocpy import MOC

    path = directory / "Moc.fits"
    return float(MOC.from_fits(path).sky_fraction * SKY_DEG2) if path.exists() else 0.0
