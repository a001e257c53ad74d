"""PNG picture of the brightest source and its surroundings."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import Angle
from astropy.io import fits
from astropy.wcs import WCS

from contimg.tile.image.gridding.gridder import Image
from contimg.tile.image.plots import drawing
from contimg.tile.image.plots.drawing import flux_text
from contimg.tile.image.plots.labels import Label, label_sources
from contimg.tile.image.result import ImagingResult

SIDE = 600  # pixels of the picture
REACH_BEAMS = 10.0  # to each side of the source
CONTOURS = 0.5, 0.9  # of the peak
NEGATIVE_SIGMA = -5.0
BLUE = "#5dade2"


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
    reach = int(np.ceil(REACH_BEAMS * tile_image.beam_major_arcsec / tile_image.cell_arcsec))
    left, low = max(0, x - reach), max(0, y - reach)
    cutout = image[low : y + reach + 1, left : x + reach + 1]
    edges = left - 0.5, left + cutout.shape[1] - 0.5, low - 0.5, low + cutout.shape[0] - 0.5
    figure, wcs = drawing.make_figure(SIDE, SIDE), WCS(header).celestial
    axes = figure.add_axes((0.13, 0.1, 0.7, 0.7), facecolor="black")
    scale = drawing.make_colour_scale(tile_image)
    picture = axes.imshow(cutout, origin="lower", cmap=drawing.COLOURS, norm=scale, extent=edges)
    axes.set_xlim(x - reach - 0.5, x + reach + 0.5)
    axes.set_ylim(y - reach - 0.5, y + reach + 0.5)
    _draw_contours(axes, cutout, left, low, tile_image)
    _set_ticks(axes, x, y, reach, tile_image.cell_arcsec)
    drawing.draw_beam(axes, tile_image, x - 0.86 * reach, y - 0.86 * reach, x - 0.7 * reach, 8)
    figure.colorbar(picture, cax=figure.add_axes((0.85, 0.1, 0.025, 0.7)), format=drawing.format_mjy)
    figure.text(0.862, 0.815, "mJy/beam", fontsize=8, color=drawing.FAINT, ha="center")
    near = [label for label in label_sources(tile_image, wcs) if _distance(label, x, y) < 0.25 * reach]
    nearest = min(near, key=lambda label: _distance(label, x, y), default=None)
    if nearest and nearest.catalogued:
        axes.plot(nearest.x, nearest.y, "+", color=BLUE, markersize=14, markeredgewidth=1.2)
    _write_title(figure, tile_image, wcs, x, y, nearest)
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
    rough = reach * pixel_arcsec / 3
    power = 10 ** np.floor(np.log10(rough))
    step = float(power * max(digit for digit in (1, 2, 5) if digit * power <= rough * (1 + 1e-9)))
    offsets = np.arange(-3, 4) * step
    offsets = offsets[np.abs(offsets) <= reach * pixel_arcsec]
    texts = [f"{offset:+g}" if offset else "0" for offset in offsets]
    axes.set_xticks(x - offsets / pixel_arcsec, texts)
    axes.set_yticks(y + offsets / pixel_arcsec, texts)
    axes.set_xlabel("arcsec to the east")
    axes.set_ylabel("arcsec to the north")
    axes.tick_params(labelsize=8)


def _write_title(figure: Any, tile_image: ImagingResult, wcs: WCS, x: int, y: int, nearest: Label | None) -> None:
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
