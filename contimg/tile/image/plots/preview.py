"""PNG pictures of an image: the whole tile with its sources, a thumbnail, and the brightest source."""

from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
from astropy.coordinates import Angle
from astropy.io import fits
from astropy.time import Time
from astropy.visualization.wcsaxes import WCSAxes
from astropy.wcs import WCS
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.ticker import MaxNLocator

from contimg.quality.grades import GOOD
from contimg.tile.image.gridding.gridder import Image
from contimg.tile.image.plots import drawing
from contimg.tile.image.plots.drawing import flux_text
from contimg.tile.image.plots.labels import RING, Label, label_sources, place_labels
from contimg.tile.image.result import ImagingResult

SIDE = 1000  # pixels of the picture
AXES_PIXELS = 760  # of the axes: Matplotlib would lose point sources of a finer image
THUMBNAIL_PIXELS = 256
LEFT, BOTTOM, WIDTH = 0.1, 0.08, 0.76
RIGHT = LEFT + WIDTH
HALF_POWER = 0.5
CATALOGUED, FOUND = "white", "#a9dfbf"  # colours of labels
ZOOM_SIDE = 600
ZOOM_BEAMS = 10.0  # to each side of the source
CONTOURS = 0.5, 0.9  # of the peak
NEGATIVE_SIGMA = -5.0
BLUE = "#5dade2"


def write_preview(path: Path, image: Image, pb: Image, tile_image: ImagingResult, header: fits.Header) -> None:
    """Draw the tile, 1000 × 1000 pixels: grid, named sources, half power, beam, noise, calibration and QA grade.

    Parameters
    ----------
    path : the PNG file.
    image, pb : apparent image and primary beam, shape (size, size).
    tile_image : its numbers and sources.
    header : celestial coordinates.
    """
    figure, wcs, size = drawing.make_figure(SIDE, SIDE), WCS(header).celestial, tile_image.pixels
    axes = WCSAxes(figure, (LEFT, BOTTOM, WIDTH, WIDTH), wcs=wcs)
    figure.add_axes(axes)
    maxima, factor = drawing.downsample(image, AXES_PIXELS)
    edges = -0.5, factor * maxima.shape[0] - 0.5
    scale = drawing.make_colour_scale(tile_image.rms_jy, tile_image.peak_jy)
    picture = axes.imshow(maxima, origin="lower", cmap=drawing.COLOURS, norm=scale, extent=(*edges, *edges),
                          interpolation="nearest")  # fmt: skip
    axes.set(xlim=(-0.5, size - 0.5), ylim=(-0.5, size - 0.5))
    axes.coords[0].set_axislabel("Right ascension (ICRS)")
    axes.coords[1].set_axislabel("Declination (ICRS)")
    axes.coords.grid(color="white", alpha=0.18, linestyle="solid", linewidth=0.6)
    _draw_half_power(axes, pb)
    for label in place_labels(label_sources(tile_image, wcs), size):
        _draw_label(axes, label, size)
    drawing.draw_beam(axes, tile_image, 0.04 * size, 0.04 * size, 0.065 * size, 9)
    bar = figure.add_axes((RIGHT + 0.015, BOTTOM, 0.02, WIDTH))
    figure.colorbar(picture, cax=bar, label="mJy/beam", format=drawing.format_mjy)
    _write_title(figure, tile_image)
    drawing.save_figure(figure, path)


def write_thumbnail(path: Path, image: Image, tile_image: ImagingResult) -> None:
    """Draw the image alone, about 256 pixels on a side, each the maximum of a block of pixels.

    Parameters
    ----------
    path : the PNG file.
    image : apparent image, shape (size, size), Jy per beam.
    tile_image : its noise and its peak set the colours.
    """
    maxima, _ = drawing.downsample(image, THUMBNAIL_PIXELS)
    scaled = drawing.make_colour_scale(tile_image.rms_jy, tile_image.peak_jy)(maxima)
    imsave(path, scaled, vmin=0, vmax=1, cmap=drawing.COLOURS, origin="lower", format="png",
           pil_kwargs={"compress_level": drawing.COMPRESSION})  # fmt: skip


def _draw_half_power(axes: Any, pb: Image) -> None:
    """The contour on which the primary beam is 0.5, where it is in the picture."""
    size = pb.shape[0]
    step = max(1, size // 128)
    coarse, pixels = pb[::step, ::step], np.arange(0, size, step)
    if coarse.min() < HALF_POWER < coarse.max():
        axes.contour(pixels, pixels, coarse, levels=[HALF_POWER], colors="white", alpha=0.45, linestyles="dashed",
                     linewidths=0.8)  # fmt: skip


def _draw_label(axes: Any, label: Label, size: int) -> None:
    """A ring around a source and its name beside it."""
    gap = (RING if label.right else -RING) * size
    colour = CATALOGUED if label.catalogued else FOUND
    axes.plot(label.x, label.y, "o", markersize=15, markerfacecolor="none", markeredgecolor=colour, alpha=0.75,
              markeredgewidth=0.9)  # fmt: skip
    axes.text(label.x + gap, label.y + label.lift, label.text, color=colour, fontsize=8.5, va="center",
              ha="left" if label.right else "right")  # fmt: skip


def _write_title(figure: Figure, tile_image: ImagingResult) -> None:
    ink, faint, grade_colour = drawing.INK, drawing.FAINT, drawing.GRADE_COLOURS[tile_image.verdict]
    figure.text(LEFT, 0.955, tile_image.group, fontsize=17, weight="bold", color=ink)
    figure.text(RIGHT, 0.957, tile_image.verdict, fontsize=13, weight="bold", ha="right", color=grade_colour)
    numbers = (
        f"peak {flux_text(tile_image.peak_jy)}/beam   rms {flux_text(tile_image.rms_jy)}/beam   "
        f"dynamic range {tile_image.dynamic_range:,.0f}   {tile_image.freq_hz / 1e6:.0f} MHz"
    )
    figure.text(LEFT, 0.925, numbers, fontsize=11, color=ink)
    middle = Time(tile_image.mjd, format="mjd", scale="utc").strftime("%H:%M:%S")
    figure.text(RIGHT, 0.897, f"{tile_image.exposure_s:.0f} s about {middle} UTC", fontsize=10, ha="right", color=faint)
    if tile_image.calibration_set:
        calibrator = f" by {tile_image.calibration.calibrator}" if tile_image.calibration.calibrator else ""
        text = f"calibrated: {tile_image.calibration_set}{calibrator}"
        colour = drawing.GOOD if tile_image.calibration_grade in (None, GOOD) else drawing.WARNING
        figure.text(LEFT, 0.895, text, fontsize=11, color=colour)
    else:
        text = shorten(f"UNCALIBRATED: {tile_image.calibration_note}", 66, placeholder="…")
        figure.text(LEFT, 0.895, text, fontsize=11, weight="bold", color=drawing.WARNING)
    reasons = "; ".join(reason for reason in tile_image.verdict_reasons if not reason.startswith("uncalibrated"))
    figure.text(LEFT, 0.868, shorten(reasons, 115, placeholder="…"), fontsize=9, color=grade_colour)


def write_zoom(path: Path, image: Image, tile_image: ImagingResult, header: fits.Header) -> None:
    """Draw the surroundings of the brightest pixel, 600 × 600 pixels, with offsets in arcseconds.

    Parameters
    ----------
    path : the PNG file.
    image : apparent image, shape (size, size).
    tile_image : its numbers and sources.
    header : celestial coordinates.
    """
    y, x = (int(index) for index in np.unravel_index(int(image.argmax()), image.shape))
    reach = int(np.ceil(ZOOM_BEAMS * tile_image.beam_major_arcsec / tile_image.cell_arcsec))
    left, low = max(0, x - reach), max(0, y - reach)
    cutout = image[low : y + reach + 1, left : x + reach + 1]
    edges = left - 0.5, left + cutout.shape[1] - 0.5, low - 0.5, low + cutout.shape[0] - 0.5
    figure, wcs = drawing.make_figure(ZOOM_SIDE, ZOOM_SIDE), WCS(header).celestial
    axes = figure.add_axes((0.13, 0.1, 0.7, 0.7), facecolor="black")
    scale = drawing.make_colour_scale(tile_image.rms_jy, tile_image.peak_jy)
    picture = axes.imshow(cutout, origin="lower", cmap=drawing.COLOURS, norm=scale, extent=edges)
    axes.set(xlim=(x - reach - 0.5, x + reach + 0.5), ylim=(y - reach - 0.5, y + reach + 0.5))
    _draw_contours(axes, cutout, left, low, tile_image)
    _set_ticks(axes, x, y, reach, tile_image.cell_arcsec)
    drawing.draw_beam(axes, tile_image, x - 0.86 * reach, y - 0.86 * reach, x - 0.7 * reach, 8)
    figure.colorbar(picture, cax=figure.add_axes((0.85, 0.1, 0.025, 0.7)), format=drawing.format_mjy)
    figure.text(0.862, 0.815, "mJy/beam", fontsize=8, color=drawing.FAINT, ha="center")
    near = [label for label in label_sources(tile_image, wcs) if _distance(label, x, y) < 0.25 * reach]
    nearest = min(near, key=lambda label: _distance(label, x, y), default=None)
    if nearest and nearest.catalogued:
        axes.plot(nearest.x, nearest.y, "+", color=BLUE, markersize=14, markeredgewidth=1.2)
    _write_zoom_title(figure, tile_image, wcs, x, y, nearest)
    drawing.save_figure(figure, path)


def _distance(label: Label, x: int, y: int) -> float:
    return float(np.hypot(label.x - x, label.y - y))


def _draw_contours(axes: Any, cutout: Image, left: int, low: int, tile_image: ImagingResult) -> None:
    if tile_image.peak_jy <= 0:
        return
    columns, rows = np.arange(cutout.shape[1]) + left, np.arange(cutout.shape[0]) + low
    levels = [fraction * tile_image.peak_jy for fraction in CONTOURS]
    axes.contour(columns, rows, cutout, levels=levels, colors="black", linewidths=0.9)
    negative_jy = NEGATIVE_SIGMA * tile_image.rms_jy
    if cutout.min() < negative_jy:
        axes.contour(columns, rows, cutout, levels=[negative_jy], colors=BLUE, linewidths=0.6, linestyles="dotted")


def _set_ticks(axes: Any, x: int, y: int, reach: int, pixel_arcsec: float) -> None:
    """Offsets from the brightest pixel in arcsec, positive to the east, which is on the left."""
    edge_arcsec = reach * pixel_arcsec
    offsets = np.asarray(MaxNLocator(7, steps=(1, 2, 5, 10)).tick_values(-edge_arcsec, edge_arcsec))
    offsets = offsets[np.abs(offsets) <= edge_arcsec]
    texts = [f"{offset:+g}" if offset else "0" for offset in offsets]
    axes.set_xticks(x - offsets / pixel_arcsec, texts)
    axes.set_yticks(y + offsets / pixel_arcsec, texts)
    axes.set(xlabel="arcsec to the east", ylabel="arcsec to the north")
    axes.tick_params(labelsize=8)


def _write_zoom_title(figure: Any, tile_image: ImagingResult, wcs: WCS, x: int, y: int, nearest: Label | None) -> None:
    ra, dec = (float(value) for value in wcs.all_pix2world(x, y, 0))
    position = (
        f"{Angle(ra % 360, 'deg').to_string('hour', sep=':', precision=1, pad=True)}  "
        f"{Angle(dec, 'deg').to_string(sep=':', precision=0, pad=True, alwayssign=True)}"
    )
    name = nearest.name if nearest else "brightest source"
    figure.text(0.13, 0.925, name, fontsize=15, weight="bold", color=drawing.INK)
    figure.text(0.83, 0.93, tile_image.group, fontsize=9, ha="right", color=drawing.FAINT)
    text = f"{position}   {flux_text(tile_image.peak_jy)}/beam apparent"
    figure.text(0.13, 0.88, text, fontsize=10, color=drawing.INK)
    match = next((match for match in tile_image.matches if nearest and match.source.name == nearest.name), None)
    if match:
        text = (
            f"{flux_text(match.flux_jy)} over the primary beam, {match.flux_ratio:.2f} × the catalogue's; "
            f"{round(match.east_arcsec, 1) + 0.0:+.1f}″ {round(match.north_arcsec, 1) + 0.0:+.1f}″ from it (+)"
        )
        figure.text(0.13, 0.84, text, fontsize=8.5, color=drawing.FAINT)
