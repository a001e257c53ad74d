"""Writing of an image's files: FITS files and tables in threads while the pictures are drawn.

Each file is written under a temporary name and all are renamed at the end, the FITS image last: when it exists, the
others exist.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from contimg.common.files.staging import disk_errors, staged, temporaries
from contimg.formats.ms.info import MSInfo
from contimg.sky.comparison.matching import MatchedSources
from contimg.tile.image.fits_image import image_header, write_fits, write_pb_corrected, write_primary_beam
from contimg.tile.image.gridding.gridder import Gridder, Image
from contimg.tile.image.options import ImageOptions
from contimg.tile.image.plots.comparison import write_comparison
from contimg.tile.image.plots.preview import write_preview, write_thumbnail, write_zoom
from contimg.tile.image.plots.uv_spectrum import write_spectrum, write_uv
from contimg.tile.image.result import ImagingResult
from contimg.tile.image.sources.finding import write_csv, write_votable
from contimg.tile.image.sources.spectrum import measure_spectrum
from contimg.tile.image.sources.subtracted import write_subtracted

ABANDONED_S = 3600.0  # writing takes seconds: an older temporary file is of a process that was killed

Writer = Callable[[Path], None]


def write_products(
    tile_image: ImagingResult, image: Image, pb: Image, ms: MSInfo, gridder: Gridder, options: ImageOptions,
    compared: MatchedSources | None = None,
) -> None:  # fmt: skip
    """Write all files of an image, or none.

    Parameters
    ----------
    tile_image : the result, with the paths of the files.
    image, pb : apparent image and primary beam, shape (size, size).
    ms, gridder : the data, for the plots.
    options : which files are written.
    compared : sources of the reference catalogue that the image was compared with, for the plots; None: no plots.

    Raises
    ------
    Transient : the disk is full or cannot be written.
    """
    _remove_leftovers(tile_image)
    header, products = image_header(tile_image, options), tile_image.products
    files: dict[Path, Writer] = {
        products.fits: partial(write_fits, image=image, header=header),
        products.primary_beam: partial(write_primary_beam, pb=pb, tile_image=tile_image),
        products.corrected: partial(write_pb_corrected, image=image, pb=pb, header=header),
        products.subtracted: partial(write_subtracted, sources=tile_image.subtracted),
    }
    if options.find_sources:
        files[products.votable] = partial(write_votable, sources=tile_image.found_sources)
        files[products.csv] = partial(write_csv, sources=tile_image.found_sources)
    # Drawn one after the other: Matplotlib holds the interpreter lock.
    pictures: dict[Path, Writer] = {
        products.png: partial(write_preview, image=image, pb=pb, tile_image=tile_image, header=header),
        products.zoom: partial(write_zoom, image=image, tile_image=tile_image, header=header),
        products.thumbnail: partial(write_thumbnail, image=image, tile_image=tile_image),
    }
    if compared is not None:
        pictures[products.comparison] = partial(write_comparison, tile_image=tile_image, matched=compared)
    if options.plots:
        y, x = np.unravel_index(int(image.argmax()), image.shape)
        spectrum = measure_spectrum(ms, gridder, float(x), float(y))
        min_uv_klambda = options.min_uv_klambda
        pictures[products.uv] = partial(write_uv, gridder=gridder, tile_image=tile_image, min_uv_klambda=min_uv_klambda)
        pictures[products.spectrum] = partial(write_spectrum, spectrum=spectrum, tile_image=tile_image)
    with ExitStack() as stack:
        # Leaving the stack renames in the reverse order of entering.
        temporary = {target: stack.enter_context(staged(target)) for target in (*files, *pictures)}
        pool = ThreadPoolExecutor(2)
        for _ in range(2):  # a lost lease may interrupt the first wait; no thread may write after the files are removed
            stack.callback(pool.shutdown)
        writes = [pool.submit(_write, target, temporary[target], writer) for target, writer in files.items()]
        for target, writer in pictures.items():
            _write(target, temporary[target], writer)
        for write in writes:
            write.result()


def _write(target: Path, temporary: Path, writer: Writer) -> None:
    with disk_errors(target):
        writer(temporary)


def _remove_leftovers(tile_image: ImagingResult) -> None:
    """Remove temporary files of this group that killed processes left."""
    for path in temporaries(tile_image.fits_path.parent):
        if path.name.startswith(f"{tile_image.group}.") and time.time() - path.stat().st_mtime > ABANDONED_S:
            path.unlink(missing_ok=True)
