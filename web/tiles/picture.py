"""The image itself as a picture to look into: every pixel of the FITS file, without a frame, in the preview's colours.

The preview is a page to be read; it holds fewer pixels than the image. This one is made when somebody looks, and the
last few are kept.
"""

import io
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadInput

MOST_PIXELS = 2048
KEPT = 6
COLOURS = "inferno"


@dataclass
class Pictures:
    """Pictures by file and time of its making; one is drawn at a time."""

    _kept: dict[tuple[Path, int], bytes] = field(default_factory=dict)
    _drawing: threading.Lock = field(default_factory=threading.Lock)

    def of(self, path: Path, rms_jy: float, peak_jy: float) -> bytes:
        """A PNG of a FITS image; BadInput when the file is none."""
        key = (path, path.stat().st_mtime_ns)
        with self._drawing:
            if key not in self._kept:
                while len(self._kept) >= KEPT:
                    del self._kept[next(iter(self._kept))]
                self._kept[key] = _png(_pixels(path), rms_jy, peak_jy)
            return self._kept[key]


def _pixels(path: Path) -> NDArray[np.float32]:
    """The image's plane; each pixel of a smaller picture is the brightest of those it stands for."""
    from astropy.io import fits

    try:
        data = np.asarray(fits.getdata(path), dtype=np.float32)
    except (OSError, TypeError, ValueError) as error:
        raise BadInput(f"{path.name}: no FITS image: {error}") from None
    plane = data.reshape(-1, *data.shape[-2:])[0]
    factor = -(-max(plane.shape) // MOST_PIXELS)
    if factor == 1:
        return np.asarray(plane)
    height, width = (side // factor for side in plane.shape)
    blocks = plane[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return np.asarray(np.fmax.reduce(np.fmax.reduce(blocks, axis=3), axis=1))


def _png(plane: NDArray[np.float32], rms_jy: float, peak_jy: float) -> bytes:
    """Linear through the noise, logarithmic above it, as the preview is drawn; north up."""
    from matplotlib import colormaps
    from PIL import Image

    rms = rms_jy if rms_jy > 0 else 1.0
    least, most = (np.arcsinh(one / (3 * rms)) for one in (-3 * rms, max(peak_jy, 10 * rms)))
    level = (np.arcsinh(np.nan_to_num(plane) / (3 * rms)) - least) / (most - least)
    picture = Image.fromarray((np.clip(level, 0, 1) * 255).astype(np.uint8)[::-1])
    picture.putpalette((colormaps[COLOURS](np.arange(256))[:, :3] * 255).astype(np.uint8).tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=3)
    return file.getvalue()
