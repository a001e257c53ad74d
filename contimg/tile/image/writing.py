"""An image's files, written side by side: the FITS files in threads while the pictures are drawn.

Each is written under a temporary name and all are renamed at the end, the FITS image last: when it is there, the
others are.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from contimg.files.staging import disk_errors, staged, temporaries
from contimg.tile.image.fits_image import image_header, write_corrected, write_fits, write_primary_beam
from contimg.tile.image.gridding.gridding import Image
from contimg.tile.image.options import ImageOptions
from contimg.tile.image.plots.preview import write_preview, write_thumbnail
from contimg.tile.image.plots.zoom import write_zoom
from contimg.tile.image.result import ImagingResult
from contimg.tile.image.sources.finding import write_csv, write_votable

ABANDONED_S = 3600.0  # writing takes seconds: a temporary this old belongs to a process that was killed

Writer = Callable[[Path], None]


def write_products(
    tile_image: ImagingResult, image: Image, attenuation: Image, options: ImageOptions, plots: Mapping[Path, Writer]
) -> None:
    """Write all files of an image and its plots; raises Transient, and leaves none, when the disk is in the way."""
    _sweep(tile_image)
    drawn = _pictures(tile_image, image, attenuation, options) | dict(plots)
    beside = _tables(tile_image, image, attenuation, options)
    with ExitStack() as stack:
        # Leaving the stack gives the names in the reverse order of entering.
        places = {target: stack.enter_context(staged(target)) for target in (*beside, *drawn)}
        with ThreadPoolExecutor(2) as pool:
            written = [pool.submit(_write, target, places[target], how) for target, how in beside.items()]
            for target, how in drawn.items():
                _write(target, places[target], how)
            for one in written:
                one.result()


def _tables(tile_image: ImagingResult, image: Image, attenuation: Image, options: ImageOptions) -> dict[Path, Writer]:
    """The FITS files, the image first, and the tables of sources."""
    header, products = image_header(tile_image, options), tile_image.products
    files: dict[Path, Writer] = {
        products.fits: partial(write_fits, image=image, header=header),
        products.primary_beam: partial(write_primary_beam, attenuation=attenuation, tile_image=tile_image),
        products.corrected: partial(write_corrected, image=image, attenuation=attenuation, header=header),
    }
    if options.find_sources:
        files[products.votable] = partial(write_votable, sources=tile_image.found_sources)
        files[products.csv] = partial(write_csv, sources=tile_image.found_sources)
    return files


def _pictures(tile_image: ImagingResult, image: Image, attenuation: Image, options: ImageOptions) -> dict[Path, Writer]:
    """What matplotlib draws; it holds the interpreter, so one is drawn after the other."""
    header, products = image_header(tile_image, options), tile_image.products
    return {
        products.png: partial(
            write_preview, image=image, attenuation=attenuation, tile_image=tile_image, header=header
        ),
        products.zoom: partial(write_zoom, image=image, tile_image=tile_image, header=header),
        products.thumbnail: partial(write_thumbnail, image=image, tile_image=tile_image),
    }


def _write(target: Path, place: Path, how: Writer) -> None:
    with disk_errors(target):
        how(place)


def _sweep(tile_image: ImagingResult) -> None:
    """Remove what killed runs left of this group's products."""
    for path in temporaries(tile_image.products.fits.parent):
        if path.name.startswith(f"{tile_image.group}.") and time.time() - path.stat().st_mtime > ABANDONED_S:
            path.unlink(missing_ok=True)
