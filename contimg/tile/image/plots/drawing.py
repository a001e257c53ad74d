"""The paper that pictures are drawn on: colours, stretch, words for fluxes. Matplotlib without the state of pyplot."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from contimg.tile.image.gridding.gridding import Image
from contimg.tile.image.result import ImagingResult

DPI = 100
COLOURS = "inferno"
INK, FAINT = "#1b2631", "#5d6d7e"
GOOD, WARNING = "#1e8449", "#c0392b"
GRADE_COLOURS = {"good": GOOD, "suspect": "#b9770e", "bad": WARNING}
QUICKLY = 3  # zlib's level: noise does not get smaller by trying harder


def sheet(width_pixels: int, height_pixels: int) -> Figure:
    """An empty white figure."""
    figure = Figure(figsize=(width_pixels / DPI, height_pixels / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, under any file name."""
    with path.open("wb") as file:
        figure.savefig(file, format="png", dpi=DPI, facecolor="white", pil_kwargs={"compress_level": QUICKLY})


def stretch(tile_image: ImagingResult) -> AsinhNorm:
    """Linear through the noise, logarithmic above: faint sources and the brightest in one picture."""
    rms = tile_image.rms_jy or 1.0
    return AsinhNorm(linear_width=3 * rms, vmin=-3 * rms, vmax=max(tile_image.peak_jy, 10 * rms), clip=True)


def blocks(image: Image, pixels: int) -> tuple[NDArray[np.float32], int]:
    """The image in blocks of their maximum, so that no point source is lost, and the side of a block."""
    factor = -(-image.shape[0] // pixels)
    kept = image.shape[0] // factor * factor
    rows = image[:kept, :kept].reshape(kept // factor, factor, kept).max(axis=1)
    return np.maximum.reduce([rows[:, start::factor] for start in range(factor)]), factor


def draw_beam(axes: Any, tile_image: ImagingResult, x: float, y: float) -> None:
    """The restoring beam's half-maximum ellipse about a place in pixels."""
    major, minor = (
        side / tile_image.cell_arcsec for side in (tile_image.beam_major_arcsec, tile_image.beam_minor_arcsec)
    )
    axes.add_patch(Ellipse((x, y), minor, major, angle=tile_image.beam_angle_deg, facecolor="white", edgecolor="white"))


def beam_text(tile_image: ImagingResult) -> str:
    """The beam in words."""
    size = f"{tile_image.beam_major_arcsec:.1f}″ × {tile_image.beam_minor_arcsec:.1f}″"
    return f"beam {size}, {tile_image.beam_angle_deg:.0f}°"


def flux_text(jansky: float) -> str:
    """A flux with the unit that suits it."""
    if abs(jansky) >= 1:
        return f"{jansky:.3g} Jy"
    return f"{jansky * 1e3:.3g} mJy" if abs(jansky) >= 1e-3 else f"{jansky * 1e6:.3g} µJy"


def bar_tick(jansky: float, _: int) -> str:
    """A colour bar's tick in mJy."""
    return f"{jansky * 1e3:g}"


def shortened(text: str, length: int) -> str:
    """The text, cut with an ellipsis where it is too long."""
    return text if len(text) <= length else text[: length - 1] + "…"
