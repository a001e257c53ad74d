"""PNG previews for people: an annotated picture and a thumbnail. Matplotlib by its objects, without pyplot's state."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.visualization.wcsaxes import WCSAxes
from astropy.wcs import WCS
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from contimg.imaging.gridding import Image
from contimg.imaging.product import QuickLook

INCHES, DPI = 10.0, 100
SHOWN_PIXELS = 760  # what the axes hold: a finer picture would lose point sources in drawing
THUMBNAIL_PIXELS = 256
COLOURS = "inferno"
WARNING_COLOUR = "#c0392b"
GRADE_COLOURS = {"good": "#1e8449", "suspect": "#b9770e", "bad": WARNING_COLOUR}


def write_preview(path: Path, image: Image, look: QuickLook, header: fits.Header) -> None:
    """A picture of 1000 × 1000 pixels with sky coordinates, beam, noise, peak, calibration and verdict."""
    figure = Figure(figsize=(INCHES, INCHES), dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = WCSAxes(figure, (0.1, 0.08, 0.76, 0.79), wcs=WCS(header).celestial)
    figure.add_axes(axes)
    shown, factor = _brightest(image, SHOWN_PIXELS)
    edge = -0.5, factor * shown.shape[0] - 0.5
    drawn = axes.imshow(
        shown, origin="lower", cmap=COLOURS, norm=_stretch(look), extent=(*edge, *edge), interpolation="nearest"
    )
    axes.set_xlim(-0.5, look.size - 0.5)
    axes.set_ylim(-0.5, look.size - 0.5)
    axes.coords[0].set_axislabel("Right ascension (ICRS)")
    axes.coords[1].set_axislabel("Declination (ICRS)")
    axes.coords.grid(color="white", alpha=0.15, linestyle="solid")
    _draw_beam(axes, look)
    box = axes.get_position()
    bar = figure.add_axes((box.x1 + 0.015, box.y0, 0.02, box.height))
    figure.colorbar(drawn, cax=bar, label="mJy/beam", format=lambda value, _: f"{value * 1e3:g}")
    _write_title(figure, look)
    with path.open("wb") as file:
        canvas.print_png(file)


def write_thumbnail(path: Path, image: Image, look: QuickLook) -> None:
    """The image alone, about 256 pixels on a side; each shows the brightest of the pixels it stands for."""
    shown, _ = _brightest(image, THUMBNAIL_PIXELS)
    imsave(path, _stretch(look)(shown), vmin=0, vmax=1, cmap=COLOURS, origin="lower", format="png")


def _stretch(look: QuickLook) -> AsinhNorm:
    """Linear through the noise, logarithmic above: faint sources and the brightest in one picture."""
    rms = look.rms_jy or 1.0
    return AsinhNorm(linear_width=3 * rms, vmin=-3 * rms, vmax=max(look.peak_jy, 10 * rms), clip=True)


def _brightest(image: Image, pixels: int) -> tuple[NDArray[np.float32], int]:
    """The image in blocks of their maximum, so that no point source is lost, and the side of a block."""
    factor = -(-image.shape[0] // pixels)
    kept = image.shape[0] // factor * factor
    blocks = image[:kept, :kept].reshape(kept // factor, factor, kept // factor, factor)
    return np.asarray(blocks.max(axis=(1, 3))), factor


def _draw_beam(axes: Any, look: QuickLook) -> None:
    place = 0.04 * look.size
    major, minor = (side / look.pixel_arcsec for side in (look.beam.major_arcsec, look.beam.minor_arcsec))
    axes.add_patch(
        Ellipse((place, place), minor, major, angle=look.beam.angle_deg, facecolor="white", edgecolor="white")
    )
    axes.text(
        place + 0.025 * look.size,
        place,
        f"beam {look.beam.major_arcsec:.1f}″ × {look.beam.minor_arcsec:.1f}″, {look.beam.angle_deg:.0f}°",
        color="white",
        va="center",
        fontsize=9,
    )


def _write_title(figure: Figure, look: QuickLook) -> None:
    calibration = look.calibration
    figure.text(0.1, 0.955, look.group, fontsize=17, weight="bold")
    figure.text(
        0.86, 0.957, look.verdict.grade, fontsize=13, weight="bold", ha="right", color=GRADE_COLOURS[look.verdict.grade]
    )
    figure.text(
        0.1,
        0.925,
        f"peak {_flux(look.peak_jy)}/beam   rms {_flux(look.rms_jy)}/beam   dynamic range {look.dynamic_range:,.0f}   "
        f"{look.freq_hz / 1e6:.0f} MHz",
        fontsize=11,
    )
    if calibration.calibrated:
        by = f" by {calibration.calibrator}" if calibration.calibrator else ""
        figure.text(0.1, 0.895, f"calibrated: {calibration.set}{by}", fontsize=11, color="#1e8449")
    else:
        text = f"UNCALIBRATED: {calibration.reason}"
        figure.text(0.1, 0.895, _shortened(text, 90), fontsize=11, weight="bold", color=WARNING_COLOUR)


def _flux(jansky: float) -> str:
    return f"{jansky:.3g} Jy" if abs(jansky) >= 1 else f"{jansky * 1e3:.3g} mJy"


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
