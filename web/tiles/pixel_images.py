"""PNGs with every pixel of a FITS image, without axes, for the viewer on an image's page."""

import io
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadInput

MAX_PIXELS = 2048
MAX_CACHED = 6
COLOUR_MAP = "inferno"


@dataclass
class PixelImages:
    """A cache of the last `MAX_CACHED` PNGs, by path and modification time; one is drawn at a time."""

    _cached: dict[tuple[Path, int], bytes] = field(default_factory=dict)
    _drawing: threading.Lock = field(default_factory=threading.Lock)

    def draw(self, path: Path, rms_jy: float, peak_jy: float) -> bytes:
        """Return the PNG of a FITS image.

        Parameters
        ----------
        path : the FITS file.
        rms_jy, peak_jy : noise and peak of the image, which set the range of the colours, Jy/beam.

        Raises
        ------
        BadInput, when the file holds no FITS image.
        """
        key = (path, path.stat().st_mtime_ns)
        with self._drawing:
            if key not in self._cached:
                while len(self._cached) >= MAX_CACHED:
                    del self._cached[next(iter(self._cached))]
                self._cached[key] = _encode(_read_pixels(path), rms_jy, peak_jy)
            return self._cached[key]


def _read_pixels(path: Path) -> NDArray[np.float32]:
    """Read the first plane; above `MAX_PIXELS` a side each pixel is the maximum of a block."""
    from astropy.io import fits

    try:
        data = np.asarray(fits.getdata(path), dtype=np.float32)
    except (OSError, TypeError, ValueError) as error:
        raise BadInput(f"{path.name}: no FITS image: {error}") from None
    plane = data.reshape(-1, *data.shape[-2:])[0]
    factor = -(-max(plane.shape) // MAX_PIXELS)
    if factor == 1:
        return np.asarray(plane)
    height, width = (side // factor for side in plane.shape)
    blocks = plane[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return np.asarray(np.fmax.reduce(np.fmax.reduce(blocks, axis=3), axis=1))


def _encode(plane: NDArray[np.float32], rms_jy: float, peak_jy: float) -> bytes:
    """Encode a plane as PNG, north up, in the preview's scale: linear within the noise, logarithmic above it."""
    from matplotlib import colormaps
    from PIL import Image

    scale = 3 * (rms_jy if rms_jy > 0 else 1.0)
    low, high = np.arcsinh(-1.0), np.arcsinh(max(peak_jy, 10 * scale / 3) / scale)
    level = (np.arcsinh(np.nan_to_num(plane) / scale) - low) / (high - low)
    image = Image.fromarray((np.clip(level, 0, 1) * 255).astype(np.uint8)[::-1])
    image.putpalette((colormaps[COLOUR_MAP](np.arange(256))[:, :3] * 255).astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3)
    return file.getvalue()
