"""Common parts of the pictures: colours, scale, synthesized beam, texts. Matplotlib without the state of pyplot."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from contimg.tile.image.gridding.gridder import Image

DPI = 100
COLOURS = "inferno"
INK, FAINT = "#1b2631", "#5d6d7e"
GOOD, WARNING = "#1e8449", "#c0392b"
GRADE_COLOURS = {"good": GOOD, "suspect": "#b9770e", "bad": WARNING}
COMPRESSION = 3  # of zlib; higher levels hardly make a picture of noise smaller


class RestoredImage(Protocol):
    """What is drawn of the synthesized beam: of a tile image or a mosaic."""

    @property
    def beam_major_arcsec(self) -> float:
        """Full width at half maximum, major axis."""

    @property
    def beam_minor_arcsec(self) -> float:
        """Full width at half maximum, minor axis."""

    @property
    def beam_angle_deg(self) -> float:
        """Position angle, north through east."""

    @property
    def cell_arcsec(self) -> float:
        """Size of a pixel."""


def make_figure(width_pixels: int, height_pixels: int) -> Figure:
    """Make an empty white figure.

    Parameters
    ----------
    width_pixels, height_pixels : size of the PNG that `save_figure` writes.
    """
    return Figure(figsize=(width_pixels / DPI, height_pixels / DPI), dpi=DPI, facecolor="white")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; the file may have any name.

    Parameters
    ----------
    figure : from `make_figure`.
    path : the file; one that exists is overwritten.
    """
    figure.savefig(path, format="png", dpi=DPI, facecolor="white", pil_kwargs={"compress_level": COMPRESSION})


def make_colour_scale(rms_jy: float, peak_jy: float) -> AsinhNorm:
    """Make a scale that is linear within the noise and logarithmic above, for faint and bright sources.

    Parameters
    ----------
    rms_jy, peak_jy : noise and peak of the image, Jy per beam.

    Returns
    -------
    A scale for apparent fluxes in Jy per beam, from -3 times the noise to the peak, or to 10 times the noise.
    """
    rms_jy = rms_jy or 1.0
    return AsinhNorm(linear_width=3 * rms_jy, vmin=-3 * rms_jy, vmax=max(peak_jy, 10 * rms_jy), clip=True)


def downsample(image: Image, max_pixels: int) -> tuple[NDArray[np.float32], int]:
    """Reduce an image to the maxima of blocks, so that point sources remain.

    Parameters
    ----------
    image : shape (rows, columns).
    max_pixels : longer side of the result. Rows and columns at the upper and right edge that fill no block are left
        out.

    Returns
    -------
    The maxima, at most `max_pixels` on a side, and the side of a block; NaN only where a whole block is.
    """
    factor = -(-max(image.shape) // max_pixels)
    height, width = (length // factor * factor for length in image.shape)
    rows = np.fmax.reduce(image[:height, :width].reshape(height // factor, factor, width), axis=1)
    return np.fmax.reduce([rows[:, start::factor] for start in range(factor)]), factor


def draw_beam(axes: Any, product: RestoredImage, x: float, y: float, text_x: float, fontsize: float) -> None:
    """Draw the synthesized beam's half-maximum ellipse at a pixel, and its size beside it.

    Parameters
    ----------
    axes : of Matplotlib, in pixels of the image.
    product : its synthesized beam and size of a pixel.
    x, y : centre of the ellipse, pixels.
    text_x : left end of the text, pixels.
    fontsize : points.
    """
    major, minor, angle = product.beam_major_arcsec, product.beam_minor_arcsec, product.beam_angle_deg
    cell = product.cell_arcsec
    axes.add_patch(Ellipse((x, y), minor / cell, major / cell, angle=angle, facecolor="white", edgecolor="white"))
    text = f"beam {major:.1f}″ × {minor:.1f}″, {angle:.0f}°"
    axes.text(text_x, y, text, color="white", va="center", fontsize=fontsize)


def flux_text(flux_jy: float) -> str:
    """Return a flux as text in Jy, mJy or µJy.

    Parameters
    ----------
    flux_jy : flux, Jy, or Jy per beam; of either sign.
    """
    if abs(flux_jy) >= 1:
        return f"{flux_jy:.3g} Jy"
    return f"{flux_jy * 1e3:.3g} mJy" if abs(flux_jy) >= 1e-3 else f"{flux_jy * 1e6:.3g} µJy"


def format_mjy(flux_jy: float, _: int) -> str:
    """Return a colour bar's tick in mJy.

    Parameters
    ----------
    flux_jy : value of the tick, Jy per beam.
    _ : number of the tick, which Matplotlib gives and is not used.
    """
    return f"{flux_jy * 1e3:g}"
