"""PNGs with every pixel of a FITS image, without axes, for the viewer on an image's page."""

import io
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from contimg.errors import BadInput
from contimg.store import StoredImage

MAX_PIXELS = 2048
MAX_CACHED = 6


@dataclass
class PixelImages:
    """A cache of the last `MAX_CACHED` PNGs, by path and modification time; one is drawn at a time."""

    _cached: dict[tuple[Path, int], bytes] = field(default_factory=dict)
    _drawing: threading.Lock = field(default_factory=threading.Lock)

    def draw(self, path: Path, image: StoredImage) -> bytes:
        """Return the PNG of a FITS image, in the colours of its preview.

        Parameters
        ----------
        path : the FITS file.
        image : its noise and peak set the range of the colours.

        Raises
        ------
        BadInput, when the file holds no FITS image.
        """
        key = (path, path.stat().st_mtime_ns)
        with self._drawing:
            if key not in self._cached:
                while len(self._cached) >= MAX_CACHED:
                    del self._cached[next(iter(self._cached))]
                self._cached[key] = _encode(path, image)
            return self._cached[key]


def _encode(path: Path, image: StoredImage) -> bytes:
    """Encode the first plane as PNG, north up; above `MAX_PIXELS` a side each pixel is the maximum of a block."""
    from astropy.io import fits
    from matplotlib import colormaps
    from PIL import Image

    from contimg.tile.image.plots.drawing import COLOURS, COMPRESSION, downsample, make_colour_scale

    try:
        data = np.asarray(fits.getdata(path), dtype=np.float32)
    except (OSError, TypeError, ValueError) as error:
        raise BadInput(f"{path.name}: no FITS image: {error}") from None
    plane, _ = downsample(np.nan_to_num(data.reshape(-1, *data.shape[-2:])[0]), MAX_PIXELS)
    levels = np.asarray(make_colour_scale(image.rms_jy, image.peak_jy)(plane))
    picture = Image.fromarray((levels * 255).astype(np.uint8)[::-1])
    picture.putpalette((colormaps[COLOURS](np.arange(256))[:, :3] * 255).astype(np.uint8).tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=COMPRESSION)
    return file.getvalue()
