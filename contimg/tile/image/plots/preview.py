"""PNG previews for people: the whole tile with its sources, and a thumbnail."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.time import Time
from astropy.visualization.wcsaxes import WCSAxes
from astropy.wcs import WCS
from matplotlib.figure import Figure
from matplotlib.image import imsave

from contimg.tile.image.gridding.gridding import Image
from contimg.tile.image.plots.drawing import (
    COLOURS,
    FAINT,
    GOOD,
    GRADE_COLOURS,
    INK,
    QUICKLY,
    WARNING,
    bar_tick,
    beam_text,
    blocks,
    draw_beam,
    flux_text,
    save,
    sheet,
    shortened,
    stretch,
)
from contimg.tile.image.plots.labels import RING, Text, labels, placed
from contimg.tile.image.result import ImagingResult

SIDE = 1000  # pixels of the picture
SHOWN_PIXELS = 760  # what the axes hold: a finer picture would lose point sources in drawing
THUMBNAIL_PIXELS = 256
LEFT, BOTTOM, WIDTH = 0.1, 0.08, 0.76
HALF_POWER = 0.5
FOUND = "#a9dfbf"  # the names of sources that no catalogue has


def write_preview(path: Path, image: Image, attenuation: Image, tile_image: ImagingResult, header: fits.Header) -> None:
    """A picture of 1000 × 1000 pixels: sky grid, named sources, half power, beam, noise, calibration and verdict."""
    figure, wcs = sheet(SIDE, SIDE), WCS(header).celestial
    axes = WCSAxes(figure, (LEFT, BOTTOM, WIDTH, WIDTH), wcs=wcs)
    figure.add_axes(axes)
    shown, factor = blocks(image, SHOWN_PIXELS)
    edge = -0.5, factor * shown.shape[0] - 0.5
    drawn = axes.imshow(
        shown, origin="lower", cmap=COLOURS, norm=stretch(tile_image), extent=(*edge, *edge), interpolation="nearest"
    )
    axes.set_xlim(-0.5, tile_image.pixels - 0.5)
    axes.set_ylim(-0.5, tile_image.pixels - 0.5)
    axes.coords[0].set_axislabel("Right ascension (ICRS)")
    axes.coords[1].set_axislabel("Declination (ICRS)")
    axes.coords.grid(color="white", alpha=0.18, linestyle="solid", linewidth=0.6)
    _draw_half_power(axes, attenuation)
    for one in placed(labels(tile_image, wcs), tile_image.pixels):
        _draw_label(axes, one, tile_image.pixels)
    _draw_beam(axes, tile_image)
    bar = figure.add_axes((LEFT + WIDTH + 0.015, BOTTOM, 0.02, WIDTH))
    figure.colorbar(drawn, cax=bar, label="mJy/beam", format=bar_tick)
    _write_title(figure, tile_image)
    save(figure, path)


def write_thumbnail(path: Path, image: Image, tile_image: ImagingResult) -> None:
    """The image alone, about 256 pixels on a side; each shows the brightest of the pixels it stands for."""
    shown, _ = blocks(image, THUMBNAIL_PIXELS)
    imsave(
        path,
        stretch(tile_image)(shown),
        vmin=0,
        vmax=1,
        cmap=COLOURS,
        origin="lower",
        format="png",
        pil_kwargs={"compress_level": QUICKLY},
    )


def _draw_half_power(axes: Any, attenuation: Image) -> None:
    """The line on which the primary beam halves every flux, where it lies in the picture."""
    size = attenuation.shape[0]
    step = max(1, size // 128)
    coarse, places = attenuation[::step, ::step], np.arange(0, size, step)
    if coarse.min() < HALF_POWER < coarse.max():
        axes.contour(places, places, coarse, levels=[HALF_POWER], colors="white", alpha=0.45, linestyles="dashed",
                     linewidths=0.8)  # fmt: skip


def _draw_label(axes: Any, text: Text, size: int) -> None:
    """A ring around a source and its name beside it."""
    source, away = text.label, (RING if text.right else -RING) * size
    colour = "white" if source.catalogued else FOUND
    axes.plot(source.x, source.y, "o", markersize=15, markerfacecolor="none", markeredgecolor=colour, alpha=0.75,
              markeredgewidth=0.9)  # fmt: skip
    axes.text(source.x + away, source.y + text.lift, source.text, color=colour, fontsize=8.5, va="center",
              ha="left" if text.right else "right")  # fmt: skip


def _draw_beam(axes: Any, tile_image: ImagingResult) -> None:
    place = 0.04 * tile_image.pixels
    draw_beam(axes, tile_image, place, place)
    axes.text(place + 0.025 * tile_image.pixels, place, beam_text(tile_image), color="white", va="center", fontsize=9)


def _write_title(figure: Figure, tile_image: ImagingResult) -> None:
    figure.text(LEFT, 0.955, tile_image.group, fontsize=17, weight="bold", color=INK)
    right = LEFT + WIDTH
    grade = GRADE_COLOURS[tile_image.verdict]
    figure.text(right, 0.957, tile_image.verdict, fontsize=13, weight="bold", ha="right", color=grade)
    numbers = (
        f"peak {flux_text(tile_image.peak_jy)}/beam   rms {flux_text(tile_image.rms_jy)}/beam   "
        f"dynamic range {tile_image.dynamic_range:,.0f}   {tile_image.freq_hz / 1e6:.0f} MHz"
    )
    figure.text(LEFT, 0.925, numbers, fontsize=11, color=INK)
    middle = Time(tile_image.mjd, format="mjd", scale="utc").strftime("%H:%M:%S")
    figure.text(right, 0.897, f"{tile_image.exposure_s:.0f} s about {middle} UTC", fontsize=10, ha="right", color=FAINT)
    if tile_image.calibration_set:
        by = f" by {tile_image.calibration.calibrator}" if tile_image.calibration.calibrator else ""
        figure.text(LEFT, 0.895, f"calibrated: {tile_image.calibration.set}{by}", fontsize=11, color=GOOD)
    else:
        text = shortened(f"UNCALIBRATED: {tile_image.calibration.reason}", 66)
        figure.text(LEFT, 0.895, text, fontsize=11, weight="bold", color=WARNING)
    reasons = [one for one in tile_image.verdict_reasons if not one.startswith("uncalibrated")]
    if reasons:
        figure.text(LEFT, 0.868, shortened("; ".join(reasons), 115), fontsize=9, color=grade)
