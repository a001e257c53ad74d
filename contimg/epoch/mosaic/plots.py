"""Pictures of a mosaic: the strip with its sources, a thumbnail, and the comparison of overlapping tiles."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.visualization.wcsaxes import WCSAxes
from astropy.wcs import WCS
from matplotlib.image import imsave
from matplotlib.patches import Circle

from contimg.common.units import format_utc
from contimg.epoch.mosaic.assessment import Overlaps
from contimg.epoch.mosaic.members import Image
from contimg.epoch.products import Mosaic
from contimg.instrument.time import mjd_to_unix
from contimg.tile.image.plots import drawing
from contimg.tile.image.plots.labels import RING, Label, place_labels

AXES_PIXELS = 1500  # of the longer side
MARGINS = 110, 70, 150, 90  # left, right, bottom, top of the axes, pixels
THUMBNAIL_PIXELS = 384


def write_preview(path: Path, flux: Image, weight: Image, mosaic: Mosaic, wcs: WCS) -> None:
    """Draw the mosaic with grid, sources, the members' centres, beam, noise and QA grade.

    Parameters
    ----------
    path : the PNG file.
    flux, weight : the mosaic and its weight, shape (rows, columns).
    mosaic : its record.
    wcs : celestial coordinates.
    """
    maxima, factor = drawing.downsample(flux, AXES_PIXELS)
    rows, columns = flux.shape
    scale = min(AXES_PIXELS / max(rows, columns), 1.0) if factor > 1 else AXES_PIXELS / max(rows, columns)
    left, right, bottom, top = MARGINS
    width, height = max(300, round(columns * scale)), max(200, round(rows * scale))
    total = width + left + right, height + bottom + top
    figure = drawing.make_figure(*total)
    axes = WCSAxes(figure, (left / total[0], bottom / total[1], width / total[0], height / total[1]), wcs=wcs)
    figure.add_axes(axes)
    extent = (-0.5, factor * maxima.shape[1] - 0.5, -0.5, factor * maxima.shape[0] - 0.5)
    picture = axes.imshow(
        maxima, origin="lower", cmap=drawing.COLOURS, extent=extent, interpolation="nearest",
        norm=drawing.make_colour_scale(mosaic.rms_jy, mosaic.peak_jy),
    )  # fmt: skip
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(-0.5, rows - 0.5), facecolor="#d5d8dc")
    axes.coords[0].set_axislabel("Right ascension (ICRS)")
    axes.coords[1].set_axislabel("Declination (ICRS)")
    axes.coords.grid(color="white", alpha=0.25, linestyle="solid", linewidth=0.6)
    _draw_sources(axes, mosaic, wcs, max(rows, columns))
    drawing.draw_beam(axes, mosaic, 0.012 * columns, 0.04 * rows, 0.02 * columns, 9)
    bar = figure.add_axes((left / total[0], 62 / total[1], width / total[0], 14 / total[1]))
    figure.colorbar(picture, cax=bar, orientation="horizontal", label="mJy/beam", format=drawing.format_mjy)
    _write_title(figure, mosaic, total)
    drawing.save_figure(figure, path)


def _draw_sources(axes: Any, mosaic: Mosaic, wcs: WCS, size: int) -> None:
    """Rings and names of the brightest sources, and a cross at the centre of each member."""
    centres = wcs.wcs_world2pix([[member.ra_deg, member.dec_deg] for member in mosaic.members], 0)
    axes.plot(*centres.T, "+", color="white", alpha=0.5, markersize=8)
    positions = [[source["ra_deg"], source["dec_deg"]] for source in mosaic.sources]
    pixels = wcs.wcs_world2pix(positions, 0) if positions else []
    labels = [
        Label(source["name"], source["flux_jy"], float(x), float(y), True)
        for source, (x, y) in zip(mosaic.sources, pixels, strict=True)
    ]
    for label in place_labels(labels, size):
        gap = (RING if label.right else -RING) * size / 2
        radius = RING * size / 3
        axes.add_patch(Circle((label.x, label.y), radius, fill=False, edgecolor="white", alpha=0.8))
        axes.text(label.x + gap, label.y + label.lift / 2, label.text, color="white", fontsize=8, va="center",
                  ha="left" if label.right else "right")  # fmt: skip


def _write_title(figure: Any, mosaic: Mosaic, total: tuple[int, int]) -> None:
    left, right = MARGINS[0] / total[0], 1 - MARGINS[1] / total[0]
    ink, faint, text = drawing.INK, drawing.FAINT, figure.text
    name = mosaic.fits_path.name.removesuffix(".fits")
    text(left, 1 - 34 / total[1], name, fontsize=17, weight="bold", color=ink)
    text(right, 1 - 34 / total[1], mosaic.verdict, fontsize=13, weight="bold", ha="right",
         color=drawing.GRADE_COLOURS[mosaic.verdict])  # fmt: skip
    omitted = f", {len(mosaic.omitted)} left out" if mosaic.omitted else ""
    numbers = (
        f"{mosaic.member_count} tiles{omitted}   rms {drawing.flux_text(mosaic.rms_jy)}/beam, "
        f"predicted {drawing.flux_text(mosaic.expected_rms_jy)}   peak {drawing.flux_text(mosaic.peak_jy)}/beam   "
        f"{mosaic.area_deg2:.1f} deg²   {mosaic.freq_hz / 1e6:.0f} MHz"
    )
    text(left, 1 - 62 / total[1], numbers, fontsize=11, color=ink)
    if mosaic.mjd_start is not None and mosaic.mjd_end is not None:
        times = " to ".join(format_utc(mjd_to_unix(mjd)) for mjd in (mosaic.mjd_start, mosaic.mjd_end))
        text(right, 1 - 62 / total[1], times, fontsize=10, ha="right", color=faint)
    reasons = "; ".join(mosaic.verdict_reasons)
    text(left, 12 / total[1], reasons[:180], fontsize=9, color=faint)


def write_thumbnail(path: Path, flux: Image, mosaic: Mosaic) -> None:
    """Draw the mosaic alone, at most `THUMBNAIL_PIXELS` wide; blank pixels have the colour of zero.

    Parameters
    ----------
    path : the PNG file.
    flux : the mosaic, shape (rows, columns).
    mosaic : its noise and its peak set the colours.
    """
    maxima, _ = drawing.downsample(flux, THUMBNAIL_PIXELS)
    scaled = drawing.make_colour_scale(mosaic.rms_jy, mosaic.peak_jy)(np.nan_to_num(maxima))
    imsave(path, scaled, vmin=0, vmax=1, cmap=drawing.COLOURS, origin="lower", format="png",
           pil_kwargs={"compress_level": drawing.COMPRESSION})  # fmt: skip


def write_qa(path: Path, mosaic: Mosaic, overlaps: Overlaps) -> None:
    """Plot the primary beam against the one applied, the flux scales of the tiles, and the offsets of positions.

    Parameters
    ----------
    path : the PNG file.
    mosaic : its record.
    overlaps : fluxes and positions of the shared sources.
    """
    figure = drawing.make_figure(1500, 480)
    beam, scales, positions = figure.subplots(1, 3)
    beam.plot(overlaps.radius_deg, 100 * (overlaps.response - 1), ".", color=drawing.FAINT, alpha=0.3, markersize=3)
    profile = mosaic.beam_profile
    beam.errorbar(
        [entry.radius_deg for entry in profile], [100 * entry.deviation for entry in profile],
        [100 * entry.error for entry in profile], fmt="o", color=drawing.WARNING,
    )  # fmt: skip
    limit = max(5.0, 1.5 * max((abs(100 * entry.deviation) + 100 * entry.error for entry in profile), default=0.0))
    beam.set(xlabel="distance from a tile's centre (deg)", ylabel="primary beam over the one applied, less 1 (%)",
             ylim=(-limit, limit))  # fmt: skip
    numbers = [number for number, member in enumerate(mosaic.members, start=1) if member.flux_scale]
    values = [member.flux_scale for member in mosaic.members if member.flux_scale]
    scales.plot(numbers, values, "o", color=drawing.INK)
    scales.axhline(1, color=drawing.FAINT, linewidth=0.8)
    scales.set(xlabel="member", ylabel="flux over its neighbours'", xlim=(0, len(mosaic.members) + 1))
    east, north = overlaps.offsets_arcsec.T
    reach = 0.5 * mosaic.beam_minor_arcsec
    positions.plot(east, north, ".", color=drawing.FAINT, alpha=0.4, markersize=4)
    positions.set(xlabel="offset to the east (arcsec)", ylabel="offset to the north (arcsec)", aspect="equal",
                  xlim=(reach, -reach), ylim=(-reach, reach))  # fmt: skip
    for axes, title in ((beam, "Primary beam from the overlaps"), (scales, "Flux scales"), (positions, "Positions")):
        axes.set_title(title, fontsize=11)
        axes.grid(alpha=0.3)
    figure.tight_layout()
    drawing.save_figure(figure, path)
