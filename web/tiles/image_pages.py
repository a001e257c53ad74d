"""The page of one image, and what its viewer fetches: the image's description, its pixels, its values at one pixel."""

import math
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify, render_template, url_for

from contimg.common.units import format_utc
from contimg.instrument.calibrators import cone_search
from contimg.instrument.time import mjd_to_unix
from contimg.quality.comparison import describe_comparison
from contimg.quality.image import QualityThresholds
from contimg.store import ImageFilter, StoredImage
from web.context import current_panel
from web.http.responses import product_file
from web.tiles.pixels import FitsPlane, open_plane, open_viewed, read_values, send_pixels
from web.tiles.quality_table import quality_rows
from web.tiles.service import find_image

image_pages = Blueprint("image_pages", __name__, url_prefix="/images")
LAYERS = {"image": "image", "pbcor": "over the primary beam", "beam": "primary beam", "residual": "residual"}
"""Labels of the layers of an image."""
SCALES = {"beam": {"low": 0.0, "high": 1.0, "factor": 1.0, "unit": "response of the primary beam"}}
"""Limits, unit, and factor to the unit of the layers that are no brightness."""
MIN_DAYS, MAX_DAYS = 0.5, 30.0  # difference in time of an image of another day
SOURCE_KEYS = ("name", "ra_deg", "dec_deg", "flux_jy", "catalogue_jy", "mark")


@image_pages.get("/<int:image_id>")
def show(image_id: int) -> str:
    """Show an image."""
    image, store = find_image(image_id), current_panel().store
    before, after = store.products.neighbours(image.id, image.mjd)
    comparison_plot = None
    if image.comparison_path is not None and image.comparison_path.is_file():
        comparison_plot = url_for("images.comparison_png", image_id=image.id, of=int(image.created_at))
    return render_template(
        "tiles/image.html",
        image=image,
        caltable_set=store.registry.set_named(image.calibration_set) if image.calibration_set else None,
        before=before,
        after=after,
        sources=listed_sources(image),
        layers=[name for name in LAYERS if layer_path(image, name)],
        quality_rows=quality_rows(image, QualityThresholds.from_environment()),
        compared_with=describe_comparison(image),
        has_subtracted_table=image.subtracted_path is not None and image.subtracted_path.is_file(),
        comparison_plot=comparison_plot,
        mosaics=store.mosaics.list_mosaics(image_id=image.id).mosaics,
    )


def layer_path(image: StoredImage, layer: str) -> Path | None:
    """Return the file of an image's layer; None when there is none, or it lies outside `output_dir`.

    Parameters
    ----------
    image : the image.
    layer : a key of `LAYERS`.
    """
    paths = {
        "image": image.fits_path,
        "pbcor": image.pbcor_path,
        "beam": image.beam_fits_path,
        "residual": image.fits_path.with_suffix(".residual.fits"),
    }
    path = paths.get(layer)
    if path is None or not path.is_file():
        return None
    return path if path.resolve().is_relative_to(current_panel().config().output_dir.resolve()) else None


def listed_sources(image: StoredImage) -> list[dict[str, Any]]:
    """Return the sources of an image that have a position and a flux, brightest first.

    Parameters
    ----------
    image : the image.

    Returns
    -------
    dictionaries with `ra_deg`, `dec_deg`, `flux_jy` (apparent), `corrected_jy` (over the primary beam, or None), and
    `name`, `catalogue_jy` and `mark` where they are known.
    """
    sources = []
    for source in image.sources:
        if all(isinstance(source.get(key), int | float) for key in ("ra_deg", "dec_deg", "flux_jy")):
            corrected_jy, response = source.get("true_flux_jy"), source.get("attenuation")
            if corrected_jy is None and response:
                corrected_jy = source["flux_jy"] / response
            shown = {key: source[key] for key in SOURCE_KEYS if source.get(key) is not None}
            sources.append({**shown, "corrected_jy": corrected_jy})
    return sources


@image_pages.get("/<int:image_id>/viewer.json")
def describe(image_id: int) -> Response:
    """Describe an image: coordinates, numbers, layers with their URLs, sources, calibrators, neighbours."""
    image, products = find_image(image_id), current_panel().store.products
    plane = open_viewed(_file(image, "image"))
    before, after = products.neighbours(image.id, image.mjd)
    another_day = _find_another_day(image)
    return jsonify(
        {
            "id": image.id,
            "group": image.group,
            "observed": format_utc(mjd_to_unix(image.mjd), "%Y-%m-%d %H:%M:%S UTC"),
            "page": url_for("image_pages.show", image_id=image.id),
            "value": url_for("image_pages.value", image_id=image.id),
            "pixels": url_for("image_pages.pixels", image_id=image.id),
            "columns": plane.columns,
            "rows": plane.rows,
            "wcs": plane.wcs,
            "rms_jy": image.rms_jy,
            "peak_jy": image.peak_jy,
            "beam_arcsec": [image.beam_major_arcsec, image.beam_minor_arcsec],
            "beam_angle_deg": image.beam_angle_deg,
            "layers": {name: label for name, label in LAYERS.items() if layer_path(image, name)},
            "scales": SCALES,
            "sources": listed_sources(image),
            "calibrators": _calibrators(image),
            "earlier": before and url_for("image_pages.describe", image_id=before),
            "later": after and url_for("image_pages.describe", image_id=after),
            "another": another_day and url_for("image_pages.describe", image_id=another_day),
        }
    )


@image_pages.get("/<int:image_id>/pixels")
def pixels(image_id: int) -> Response:
    """Send a part of a layer averaged to the pixels of a screen."""
    image = find_image(image_id)
    return send_pixels(lambda layer: _plane(image, layer))


@image_pages.get("/<int:image_id>/value.json")
def value(image_id: int) -> Response:
    """Send the value of every layer at a pixel; null where it is blank or there is no such layer."""
    image = find_image(image_id)
    return jsonify(read_values({name: layer_path(image, name) for name in LAYERS}))


def _plane(image: StoredImage, layer: str) -> FitsPlane:
    return open_plane(_file(image, layer))


def _file(image: StoredImage, layer: str) -> Path:
    path = layer_path(image, layer)
    return product_file(path, current_panel().config().output_dir, LAYERS.get(layer, "layer"))


def _find_another_day(image: StoredImage) -> int | None:
    """Return the id of the latest image of the same part of the sky before the image's day, or else after it."""
    for since_days, until_days in ((-MAX_DAYS, -MIN_DAYS), (MIN_DAYS, MAX_DAYS)):
        conditions = ImageFilter(
            since_mjd=image.mjd + since_days, until_mjd=image.mjd + until_days, ra_deg=image.ra_deg % 360,
            dec_deg=image.dec_deg, radius_deg=image.pixels * image.cell_arcsec / 3600 / 4,
        )  # fmt: skip
        images = current_panel().store.products.find_images(conditions, 1)
        if images:
            return images[0].id
    return None


def _calibrators(image: StoredImage) -> list[dict[str, Any]]:
    """List the bundled calibrators on the image, with their fluxes at its frequency where their spectra cover it."""
    radius_rad = math.radians(image.cell_arcsec * image.pixels / 3600 / math.sqrt(2))
    nearby = cone_search(math.radians(image.ra_deg), math.radians(image.dec_deg), radius_rad)
    return [
        {
            "name": calibrator.label,
            "ra_deg": math.degrees(calibrator.ra_rad),
            "dec_deg": math.degrees(calibrator.dec_rad),
            "flux_jy": float(calibrator.flux_jy(image.freq_hz)) if calibrator.has_flux_at(image.freq_hz) else None,
        }
        for _, calibrator in nearby
    ]
