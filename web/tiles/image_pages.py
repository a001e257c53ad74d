"""The page of one image."""

from flask import Blueprint, render_template

from contimg.quality.image import QualityThresholds
from web.context import current_panel
from web.tiles.quality_table import quality_rows
from web.tiles.service import find_image
from web.tiles.viewer import LAYERS, layer_path, listed_sources

image_pages = Blueprint("image_pages", __name__, url_prefix="/images")


@image_pages.get("/<int:image_id>")
def show(image_id: int) -> str:
    """Show an image."""
    image, store = find_image(image_id), current_panel().store
    before, after = store.products.neighbours(image.id, image.mjd)
    return render_template(
        "tiles/image.html",
        image=image,
        caltable_set=store.registry.set_named(image.calibration_set) if image.calibration_set else None,
        before=before,
        after=after,
        sources=listed_sources(image),
        layers=[name for name in LAYERS if layer_path(image, name)],
        quality_rows=quality_rows(image, QualityThresholds.from_environment()),
    )
