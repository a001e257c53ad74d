"""The images wall: by night and by grade, with the strips of a night, and downloads of a selection."""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from flask import Response, render_template, request
from pydantic import AliasChoices, Field

from contimg.common.units import three_digits
from contimg.formats.records import page_key
from contimg.instrument.dsa110 import BAND
from contimg.quality.grades import GRADES
from contimg.store import ImageFilter, ObservedTile, StoredImage
from contimg.store.products.bundle import list_files, stream_bundle
from web.context import current_panel
from web.http.errors import RequestError
from web.http.parameters import MAX_ID, ImageKey, Listing, Night, Parameters, Verdict
from web.pages.layout import parse_query
from web.tiles.image_pages import image_pages
from web.tiles.nights import NightList, night_limits, night_of, utc_ticks, whole_hours

MAX_IMAGES = 5000
MAX_DOWNLOADS = 3
_downloads = threading.BoundedSemaphore(MAX_DOWNLOADS)  # each holds a thread of the server


class ImageWall(Listing):
    """Parameters of a page of thumbnails: a night, as 2026-02-22, and a QA grade; `verdict` is another name of it.

    `before`: the key of the last image of the page before, `mjd~id`.
    """

    limit: int = Field(48, ge=1, le=200)
    night: Night = ""
    grade: Verdict | None = Field(None, validation_alias=AliasChoices("grade", "verdict"))
    before: ImageKey = None

    @staticmethod
    def key_of(image: StoredImage) -> str:
        """Return the key of an image.

        Parameters
        ----------
        image : one of a page.

        Returns
        -------
        `mjd~id`: time of observation, MJD days, and the image's id.
        """
        return page_key(image.mjd, image.id)


class ImageDownload(Parameters):
    """Parameters of a download: the ticked images, or all of a night and a QA grade; files and their names."""

    which: Literal["selected", "all"] = "selected"
    image: tuple[Annotated[int, Field(ge=0, le=MAX_ID)], ...] = Field((), max_length=500)
    night: Night = ""
    grade: Verdict | None = None
    pbcor: bool = False
    safe_names: bool = False


@image_pages.get("")
def gallery() -> str:
    """Show thumbnails, the latest observed first, with the nights, the counts of grades and the strips of a night."""
    query, products = parse_query(ImageWall), current_panel().store.products
    nights = NightList.read(current_panel().store, query.night)
    scope = ImageFilter(since_mjd=nights.since_mjd, until_mjd=nights.until_mjd)
    images = products.find_images(replace(scope, grade=query.grade), query.limit + 1, before=query.before)
    shown = images[: query.limit]
    counts = products.count_images(scope)
    charted = query.night or (night_of(shown[0].mjd) if shown else "")
    night = night_limits(charted) if charted else (0.0, 1.0)
    tiles = products.tiles(ImageFilter(since_mjd=night[0], until_mjd=night[1])) if charted else ()
    limits = whole_hours([tile.mjd for tile in tiles] or night)
    return render_template(
        "tiles/images.html",
        query=query,
        images=shown,
        nights=nights,
        night_of=night_of,
        grades=GRADES,
        counts=counts,
        total=sum(counts.values()),
        next_key=query.key_of(shown[-1]) if len(images) > query.limit else None,
        charted=charted,
        strips=draw_strips(tiles, *limits),
        ticks=utc_ticks(*limits),
    )


@image_pages.get("/download")
def download() -> Response:
    """Send the FITS files of the ticked images, or of all that a page of the wall lists, as a tar archive."""
    query, panel = _parse_download(), current_panel()
    if query.which == "selected" and not query.image:
        raise RequestError(400, "no image is selected", "tick images on the wall, or download all that are listed")
    if query.which == "selected":
        selection = ImageFilter(ids=query.image)
    else:
        nights = NightList.read(panel.store, query.night)
        selection = ImageFilter(since_mjd=nights.since_mjd, until_mjd=nights.until_mjd, grade=query.grade)
    images = panel.store.products.find_images(selection, MAX_IMAGES + 1)
    if not images:
        raise RequestError(404, "no image fits this selection", "the images wall lists the images")
    if len(images) > MAX_IMAGES:
        hint = "select a night, or use `contimg images get`"
        raise RequestError(400, f"more than {MAX_IMAGES} images (limit)", hint)
    directory = panel.config().output_dir
    files = list_files(images, corrected=query.pbcor, safe_names=query.safe_names, directory=directory)
    if all(file.path is None for file in files):
        raise RequestError(404, "no file of this selection is on disk", "`contimg groups retry` makes images again")
    if not _downloads.acquire(blocking=False):
        raise RequestError(503, f"{MAX_DOWNLOADS} downloads are under way (limit)", "try again when one has ended")
    name = f"contimg-images-{query.night or night_of(images[0].mjd)}"
    response = Response(stream_bundle(files, name), mimetype="application/x-tar")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.tar"'
    response.call_on_close(_downloads.release)
    return response


def _parse_download() -> ImageDownload:
    values = {key: value for key, value in request.args.items() if value and key != "image"}
    return ImageDownload.model_validate({**values, "image": request.args.getlist("image")})


@dataclass(frozen=True)
class Dot:
    """A tile on a strip: position in percent from the left and the top, and the value with its unit."""

    x: float
    y: float
    tile: ObservedTile
    value: str


@dataclass(frozen=True)
class Strip:
    """A number of each tile against time: its range with the unit, and the height of a reference line in percent."""

    name: str
    dots: tuple[Dot, ...]
    range: str
    reference_y: float | None = None


@dataclass(frozen=True)
class Quantity:
    """A number of a tile that has a strip.

    Attributes
    ----------
    name, unit : as shown; the unit is empty for a ratio.
    value : reads the number of a tile; None where it is not known, which leaves the tile out.
    logarithmic : scale of the values; a linear one begins at zero.
    reference : value of a horizontal line.
    minimum_top : the least value at the top of a linear axis, so that small values are not drawn large.
    empty_text : stands for the range when no tile has a value.
    """

    name: str
    unit: str
    value: Callable[[ObservedTile], float | None]
    logarithmic: bool = False
    reference: float | None = None
    minimum_top: float = 1e-9
    empty_text: str = "no value"


def _flagged_percent(tile: ObservedTile) -> float | None:
    return None if tile.flagged_fraction is None else 100 * tile.flagged_fraction


QUANTITIES = (
    Quantity("noise", "mJy/beam", lambda tile: 1e3 * tile.rms_jy, logarithmic=True),
    Quantity("noise over thermal", "", lambda tile: tile.noise_ratio, logarithmic=True, reference=1.0),
    Quantity("flux over catalogue", "", lambda tile: tile.flux_ratio, reference=1.0),
    Quantity("flagged", "%", _flagged_percent, minimum_top=20.0),
    Quantity("missing subbands", f"of {BAND.subbands}", lambda tile: len(tile.missing_subbands) or None,
             minimum_top=BAND.subbands, empty_text="none"),
)  # fmt: skip


def draw_strips(tiles: Sequence[ObservedTile], since_mjd: float, until_mjd: float) -> tuple[Strip, ...]:
    """Draw every quantity of tiles against time.

    Parameters
    ----------
    tiles : those of a night.
    since_mjd, until_mjd : limits of the time axis, days, UTC.
    """
    return tuple(draw_strip(quantity, tiles, since_mjd, until_mjd) for quantity in QUANTITIES)


def draw_strip(quantity: Quantity, tiles: Sequence[ObservedTile], since_mjd: float, until_mjd: float) -> Strip:
    """Draw a quantity of tiles against time; tiles without it are left out.

    Parameters
    ----------
    quantity : the number.
    tiles : those of a night.
    since_mjd, until_mjd : limits of the time axis, days, UTC.
    """
    least = 1e-30 if quantity.logarithmic else -math.inf
    values = ((tile, quantity.value(tile)) for tile in tiles)
    measured = [(tile, value) for tile, value in values if value is not None and least <= value < math.inf]
    minimum = min((value for _, value in measured), default=1.0)
    maximum = max((value for _, value in measured), default=1.0)
    if quantity.reference is not None:
        minimum, maximum = min(minimum, quantity.reference), max(maximum, quantity.reference)
    scale: Callable[[float], float] = math.log if quantity.logarithmic else float
    top = max(1.1 * maximum, 0.0 if quantity.logarithmic else quantity.minimum_top)
    low, high = scale(minimum / 1.1) if quantity.logarithmic else 0.0, scale(top)

    def y(value: float) -> float:
        return 100 * (1 - (scale(value) - low) / (high - low))

    x_scale = 100 / (until_mjd - since_mjd)
    dots = tuple(
        Dot((tile.mjd - since_mjd) * x_scale, y(value), tile, _text(value, quantity.unit)) for tile, value in measured
    )
    reference_y = None if quantity.reference is None else y(quantity.reference)
    return Strip(quantity.name, dots, _range([value for _, value in measured], quantity), reference_y)


def _range(values: Sequence[float], quantity: Quantity) -> str:
    if not values:
        return quantity.empty_text
    low, high = (_text(value, "") for value in (min(values), max(values)))
    return f"{low if low == high else f'{low} to {high}'} {quantity.unit}".rstrip()


def _text(value: float, unit: str) -> str:
    number = f"{value:d}" if isinstance(value, int) else three_digits(value)
    return f"{number} {unit}".rstrip()
