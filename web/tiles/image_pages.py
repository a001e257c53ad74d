"""The wall of images with the strip of the night, and the page of one image."""

from flask import Blueprint, Response, render_template, request

from contimg.instrument.time import mjd_to_unix
from contimg.quality.image import QualityThresholds
from web.context import current_panel
from web.http.parameters import ImageWall
from web.http.responses import product_file
from web.tiles.quality_table import quality_rows
from web.tiles.service import find_image
from web.tiles.sky_grid import Sky
from web.tiles.strip import Strip, strip

image_pages = Blueprint("image_pages", __name__, url_prefix="/images")
NIGHT_DAYS = 1.0


@image_pages.get("")
def wall() -> str:
    """Thumbnails, the latest observed first, and the strip of the day that ends with the latest."""
    query = ImageWall.model_validate({key: value for key, value in request.args.items() if value})
    found = current_panel().store.products.images(query.limit + 1, verdict=query.verdict, before=query.key)
    shown = found[: query.limit]
    until = shown[0].mjd + 1e-6 if shown else 0.0
    return render_template(
        "tiles/images.html",
        query=query,
        images=shown,
        following=query.key_of(shown[-1]) if len(found) > query.limit else None,
        strips=_strips(until - NIGHT_DAYS, until) if shown else (),
        verdicts=("good", "suspect", "bad"),
        until_mjd=until,
        mjd_to_unix=mjd_to_unix,
    )


@image_pages.get("/<int:image_id>")
def show(image_id: int) -> str:
    """One image."""
    image = find_image(image_id)
    store, sky = current_panel().store, Sky.of(image)
    made = store.products.measurement_set(image.group)
    before, after = store.products.neighbours(image.id, image.mjd)
    applied = store.registry.set_named(image.calibration_set) if image.calibration_set else None
    return render_template(
        "tiles/image.html",
        image=image,
        made=made,
        applied=applied,
        before=before,
        after=after,
        grid=sky.grid(),
        sources=sky.sources(image.sources),
        quality_rows=quality_rows(image, QualityThresholds.from_environment()),
        mjd_to_unix=mjd_to_unix,
    )


@image_pages.get("/<int:image_id>/pixels.png")
def pixels(image_id: int) -> Response:
    """Every pixel of the image, for looking into."""
    image, panel = find_image(image_id), current_panel()
    path = product_file(image.fits_path, panel.config().output_dir, "image")
    response = Response(panel.pictures.of(path, image.rms_jy, image.peak_jy), mimetype="image/png")
    response.headers["Cache-Control"] = "private, max-age=3600"
    return response


def _strips(since_mjd: float, until_mjd: float) -> tuple[Strip, ...]:
    tiles = current_panel().store.products.tiles(since_mjd, until_mjd)
    return (
        strip("noise", tiles, lambda one: one.rms_jy, since_mjd, until_mjd, logarithmic=True),
        strip("flux ratio", tiles, lambda one: one.flux_ratio, since_mjd, until_mjd, mark=1.0),
        strip("flagged", tiles, lambda one: one.flagged_fraction, since_mjd, until_mjd, height=0.2),
    )  # fmt: skip
