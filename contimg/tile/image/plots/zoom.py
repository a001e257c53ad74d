"""A closer look at the brightest source: is it a point, does it lie where it should, what surrounds it?"""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import Angle
from astropy.io import fits
from astropy.wcs import WCS

from contimg.tile.image.gridding.gridding import Image
from contimg.tile.image.plots.drawing import (
    COLOURS,
    FAINT,
    INK,
    bar_tick,
    beam_text,
    draw_beam,
    flux_text,
    save,
    sheet,
    stretch,
)
from contimg.tile.image.plots.labels import Label, labels
from contimg.tile.image.result import ImagingResult

SIDE = 600  # pixels of the picture
REACH_BEAMS = 10.0  # to each side of the source
CONTOURS = 0.5, 0.9  # of the peak
NEGATIVE_SIGMA = -5.0


def write_zoom(path: Path, image: Image, tile_image: ImagingResult, header: fits.Header) -> None:
    """A picture of 600 × 600 pixels around the brightest pixel, offsets in arcseconds from it."""
    y, x = (int(place) for place in np.unravel_index(int(image.argmax()), image.shape))
    reach = int(np.ceil(REACH_BEAMS * tile_image.beam_major_arcsec / tile_image.cell_arcsec))
    left, low = max(0, x - reach), max(0, y - reach)
    around = image[low : y + reach + 1, left : x + reach + 1]
    edges = np.array([left - 0.5, left + around.shape[1] - 0.5, low - 0.5, low + around.shape[0] - 0.5])
    figure, wcs = sheet(SIDE, SIDE), WCS(header).celestial
    axes = figure.add_axes((0.13, 0.1, 0.7, 0.7), facecolor="black")
    drawn = axes.imshow(around, origin="lower", cmap=COLOURS, norm=stretch(tile_image), extent=tuple(edges))
    axes.set_xlim(x - reach - 0.5, x + reach + 0.5)
    axes.set_ylim(y - reach - 0.5, y + reach + 0.5)
    _draw_contours(axes, around, left, low, tile_image)
    _tick_in_arcsec(axes, x, y, reach, tile_image.cell_arcsec)
    draw_beam(axes, tile_image, x - 0.86 * reach, y - 0.86 * reach)
    axes.text(x - 0.7 * reach, y - 0.86 * reach, beam_text(tile_image), color="white", va="center", fontsize=8)
    bar = figure.add_axes((0.85, 0.1, 0.025, 0.7))
    figure.colorbar(drawn, cax=bar, format=bar_tick)
    figure.text(0.862, 0.815, "mJy/beam", fontsize=8, color=FAINT, ha="center")
    nearest = _nearest(labels(tile_image, wcs), x, y, reach)
    if nearest and nearest.catalogued:  # where the catalogue has it
        axes.plot(nearest.x, nearest.y, "+", color="#5dade2", markersize=14, markeredgewidth=1.2)
    _write_title(figure, tile_image, wcs, x, y, nearest)
    save(figure, path)


def _nearest(named: list[Label], x: int, y: int, reach: int) -> Label | None:
    near = [one for one in named if np.hypot(one.x - x, one.y - y) < 0.25 * reach]
    return min(near, key=lambda one: np.hypot(one.x - x, one.y - y), default=None)


def _draw_contours(axes: Any, around: Image, left: int, low: int, tile_image: ImagingResult) -> None:
    columns, rows = np.arange(around.shape[1]) + left, np.arange(around.shape[0]) + low
    if tile_image.peak_jy <= 0:
        return
    axes.contour(columns, rows, around, levels=[part * tile_image.peak_jy for part in CONTOURS], colors="black",
                 linewidths=0.9)  # fmt: skip
    hole = NEGATIVE_SIGMA * tile_image.rms_jy
    if around.min() < hole:
        axes.contour(columns, rows, around, levels=[hole], colors="#5dade2", linewidths=0.6, linestyles="dotted")


def _tick_in_arcsec(axes: Any, x: int, y: int, reach: int, pixel_arcsec: float) -> None:
    """Offsets from the brightest pixel, to the east growing leftwards as the sky has it."""
    step = _round_step(reach * pixel_arcsec / 3)
    offsets = np.arange(-3, 4) * step
    offsets = offsets[np.abs(offsets) <= reach * pixel_arcsec]
    axes.set_xticks(x - offsets / pixel_arcsec, [f"{one:+g}" if one else "0" for one in offsets])
    axes.set_yticks(y + offsets / pixel_arcsec, [f"{one:+g}" if one else "0" for one in offsets])
    axes.set_xlabel("arcsec to the east")
    axes.set_ylabel("arcsec to the north")
    axes.tick_params(labelsize=8)


def _round_step(rough: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that does not exceed a number."""
    power = 10 ** np.floor(np.log10(rough))
    return float(power * max(one for one in (1, 2, 5) if one * power <= rough * (1 + 1e-9)))


def _write_title(figure: Any, tile_image: ImagingResult, wcs: WCS, x: int, y: int, nearest: Label | None) -> None:
    ra, dec = (float(value) for value in wcs.all_pix2world(x, y, 0))
    place = (
        f"{Angle(ra % 360, 'deg').to_string('hour', sep=':', precision=1, pad=True)}  "
        f"{Angle(dec, 'deg').to_string(sep=':', precision=0, pad=True, alwayssign=True)}"
    )
    figure.text(0.13, 0.925, nearest.name if nearest else "brightest source", fontsize=15, weight="bold", color=INK)
    figure.text(0.83, 0.93, tile_image.group, fontsize=9, ha="right", color=FAINT)
    figure.text(0.13, 0.88, f"{place}   {flux_text(tile_image.peak_jy)}/beam apparent", fontsize=10, color=INK)
    known = next((one for one in tile_image.matches if nearest and one.entry.name == nearest.name), None)
    if known:
        said = (
            f"{flux_text(known.flux_jy)} over the primary beam, {known.flux_ratio:.2f} × the catalogue's; "
            f"{round(known.east_arcsec, 1) + 0.0:+.1f}″ {round(known.north_arcsec, 1) + 0.0:+.1f}″ from it (+)"
        )
        figure.text(0.13, 0.84, said, fontsize=8.5, color=FAINT)
