"""Plots of an image's comparison with the reference catalogue: fluxes, offsets, completeness."""

from pathlib import Path
from typing import Any

import numpy as np

from contimg.sky.comparison.matching import MatchedSources
from contimg.sky.comparison.result import SkyComparison
from contimg.tile.image.plots.drawing import FAINT, INK, make_figure, save_figure

SIZE = 1200, 900
POINT, MEDIAN = "#5dade2", "#b9770e"
MIN_RANGE = 0.5  # of the axis of flux ratios, to either side of 1


def write_comparison(path: Path, tile_image: SkyComparison, matched: MatchedSources) -> None:
    """Draw flux ratios against signal to noise and distance, the field of offsets, and the completeness.

    Parameters
    ----------
    path : the PNG file.
    tile_image : the numbers of the comparison.
    matched : the sources that they come from.
    """
    figure = make_figure(*SIZE)
    by_snr, by_radius, field, completeness = figure.subplots(2, 2).ravel()
    _draw_ratios(by_snr, matched, matched.snr, tile_image)
    for row in tile_image.catalogue_flux_by_snr:
        high = row["snr_to"] or max(2 * row["snr_from"], float(matched.snr.max()))
        _draw_median(by_snr, row, row["snr_from"], high, float(np.sqrt(row["snr_from"] * high)))
    # Matplotlib refuses a logarithmic axis without a value.
    by_snr.set(xscale="log" if matched.is_compared.any() else "linear", xlabel="predicted signal to noise")
    _draw_ratios(by_radius, matched, matched.radius_deg, tile_image)
    for row in tile_image.catalogue_flux_by_radius:
        _draw_median(by_radius, row, row["from_deg"], row["to_deg"], 0.5 * (row["from_deg"] + row["to_deg"]))
    by_radius.set(xlabel="distance from the centre (deg)")
    _draw_offsets(field, tile_image, matched)
    _draw_completeness(completeness, tile_image)
    count = tile_image.catalogue_matches or 0
    figure.suptitle(f"{count} sources of {tile_image.catalogue_name}", color=INK, fontsize=14)
    figure.tight_layout()
    save_figure(figure, path)


def _draw_ratios(axes: Any, matched: MatchedSources, positions: Any, tile_image: SkyComparison) -> None:
    chosen = matched.is_compared
    axes.errorbar(
        positions[chosen], matched.flux_ratio[chosen], matched.flux_ratio_error[chosen], fmt=".", color=POINT,
        elinewidth=0.6, markersize=4, zorder=1,
    )  # fmt: skip
    axes.axhline(1, color=FAINT, linewidth=0.8)
    ratio, error = tile_image.catalogue_flux_ratio, tile_image.catalogue_flux_error
    if ratio is not None:
        axes.axhline(ratio, color=MEDIAN, linestyle="--", linewidth=1)
        axes.set_title(f"flux over catalogue: median {ratio:.3f} ± {error or 0:.3f}", color=INK, fontsize=11)
    half = max(MIN_RANGE, 1.5 * abs((ratio or 1.0) - 1))
    axes.set(ylim=(max(0.0, 1 - half), 1 + half), ylabel="measured over catalogued flux")


def _draw_median(axes: Any, row: Any, low: float, high: float, middle: float) -> None:
    axes.plot([low, high], [row["flux_ratio"]] * 2, color=MEDIAN, linewidth=2, zorder=2)
    axes.errorbar([middle], [row["flux_ratio"]], [row["error"]], fmt="o", color=MEDIAN, markersize=5, zorder=3)


def _draw_offsets(axes: Any, tile_image: SkyComparison, matched: MatchedSources) -> None:
    """The median offsets in the cells of the grid as arrows, the offset of the image in the title."""
    chosen = matched.is_compared & matched.is_detected
    axes.plot(matched.east_deg[chosen], matched.north_deg[chosen], ".", color=POINT, markersize=4)
    cells = tile_image.catalogue_offset_field
    if cells:
        lengths = [float(np.hypot(cell["offset_east_arcsec"], cell["offset_north_arcsec"])) for cell in cells]
        legend_arcsec = float(f"{max(max(lengths), 0.1):.1g}")
        arrows = axes.quiver(
            *(
                [cell[name] for cell in cells]
                for name in ("east_deg", "north_deg", "offset_east_arcsec", "offset_north_arcsec")
            ),
            color=MEDIAN, angles="xy", scale=6 * legend_arcsec, width=0.006,
        )  # fmt: skip
        axes.quiverkey(arrows, 0.9, 0.95, legend_arcsec, f'{legend_arcsec:g}"', labelpos="S", color=MEDIAN)
    if tile_image.catalogue_offset_arcsec is not None:
        east, north = tile_image.catalogue_offset_east_arcsec, tile_image.catalogue_offset_north_arcsec
        error = tile_image.catalogue_offset_error_arcsec or 0.0
        shifted = "" if tile_image.shift_east_arcsec is None else ", corrected"
        title = f'offset {east or 0:+.2f}" east, {north or 0:+.2f}" north ± {error:.2f}"{shifted}'
        axes.set_title(title, color=INK, fontsize=11)
    axes.set(xlabel="east of the centre (deg)", ylabel="north of the centre (deg)")
    axes.set_aspect("equal", adjustable="datalim")
    axes.invert_xaxis()


def _draw_completeness(axes: Any, tile_image: SkyComparison) -> None:
    rows = tile_image.catalogue_completeness_by_flux
    axes.plot([row["flux_jy"] * 1e3 for row in rows], [row["detected"] for row in rows], "o-", color=MEDIAN)
    for row in rows:
        axes.annotate(
            str(row["sources"]), (row["flux_jy"] * 1e3, row["detected"]), xytext=(0, -14), ha="center",
            textcoords="offset points", color=FAINT, fontsize=8,
        )  # fmt: skip
    axes.set(
        xscale="log" if rows else "linear", ylim=(0, 1.05), xlabel="flux (mJy)", ylabel="detected fraction above it"
    )
    axes.set_title("completeness inside half power, number of sources below", color=INK, fontsize=11)
