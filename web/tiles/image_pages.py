"""The gallery of images with the strips of the last 24 hours, and the page of one image."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flask import Blueprint, render_template

from contimg.quality.image import QualityThresholds
from contimg.store import ImageFilter, ObservedTile
from web.context import current_panel
from web.http.parameters import ImageWall
from web.pages.layout import parse_query
from web.tiles.quality_table import quality_rows
from web.tiles.service import find_image
from web.tiles.viewer import LAYERS, layer_path, listed_sources

image_pages = Blueprint("image_pages", __name__, url_prefix="/images")
STRIP_DAYS = 1.0
WIDTH, HEIGHT = 1000.0, 60.0


@dataclass(frozen=True)
class Dot:
    """A tile on a strip: position and value."""

    x: float
    y: float
    tile: ObservedTile
    value: float


@dataclass(frozen=True)
class Strip:
    """A number of each tile against time; minimum and maximum of the values, and the position of a reference line."""

    name: str
    dots: tuple[Dot, ...]
    minimum: float
    maximum: float
    reference_y: float | None = None


@image_pages.get("")
def gallery() -> str:
    """Show thumbnails, the latest observed first, and the strips of the day that ends with the latest."""
    query = parse_query(ImageWall)
    selection = ImageFilter(grade=query.verdict)
    images = current_panel().store.products.find_images(selection, query.limit + 1, before=query.before)
    shown = images[: query.limit]
    until_mjd = shown[0].mjd + 1e-6 if shown else 0.0
    return render_template(
        "tiles/images.html",
        query=query,
        images=shown,
        next_key=query.key_of(shown[-1]) if len(images) > query.limit else None,
        strips=_strips(until_mjd - STRIP_DAYS, until_mjd) if shown else (),
        until_mjd=until_mjd,
    )


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


def _strips(since_mjd: float, until_mjd: float) -> tuple[Strip, ...]:
    limits = since_mjd, until_mjd
    tiles = current_panel().store.products.tiles(ImageFilter(since_mjd=since_mjd, until_mjd=until_mjd))
    return (
        draw_strip("noise", [(tile, tile.rms_jy) for tile in tiles], *limits, logarithmic=True),
        draw_strip("flux ratio", [(tile, tile.flux_ratio) for tile in tiles], *limits, reference=1.0),
        draw_strip("flagged", [(tile, tile.flagged_fraction) for tile in tiles], *limits, minimum_top=0.2),
    )


def draw_strip(
    name: str,
    tiles: Sequence[tuple[ObservedTile, float | None]],
    since_mjd: float,
    until_mjd: float,
    *,
    logarithmic: bool = False,
    reference: float | None = None,
    minimum_top: float = 1e-9,
) -> Strip:
    """Draw a number of each tile against time; tiles without it are left out.

    Parameters
    ----------
    name : the number's name.
    tiles : each tile with its value.
    since_mjd, until_mjd : limits of the time axis.
    logarithmic : scale of the values; a linear one begins at zero.
    reference : value of a horizontal line.
    minimum_top : the least value at the top of a linear axis, so that small values are not drawn large.
    """
    least = 1e-30 if logarithmic else -math.inf
    known = [(tile, value) for tile, value in tiles if value is not None and least <= value < math.inf]
    values = [value for _, value in known]
    minimum, maximum = (min(values), max(values)) if values else (0.0, 1.0)
    top = 1.1 * max(maximum, reference or 0.0)
    scale: Callable[[float], float] = math.log if logarithmic else float
    low, high = (scale(minimum / 1.1), scale(top)) if logarithmic else (0.0, max(top, minimum_top))

    def y(value: float) -> float:
        return HEIGHT * (1 - (scale(value) - low) / (high - low))

    x_scale = WIDTH / (until_mjd - since_mjd)
    dots = tuple(Dot((tile.mjd - since_mjd) * x_scale, y(value), tile, value) for tile, value in known)
    return Strip(name, dots, minimum, maximum, None if reference is None else y(reference))
