"""The images wall: by night and by grade, with the strips of a night, and downloads of a selection."""

import threading
from dataclasses import replace

from flask import Response, render_template, request

from contimg.store import ImageFilter
from contimg.store.images.bundle import list_files, stream_bundle
from web.context import current_panel
from web.http.errors import RequestError
from web.http.parameters import ImageDownload, ImageWall
from web.pages.layout import parse_query
from web.tiles.image_pages import image_pages
from web.tiles.nights import GRADES, NightList, night_limits, night_of, utc_ticks, whole_hours
from web.tiles.strips import draw_strips

MAX_IMAGES = 5000
MAX_DOWNLOADS = 3
_downloads = threading.BoundedSemaphore(MAX_DOWNLOADS)  # each holds a thread of the server


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
