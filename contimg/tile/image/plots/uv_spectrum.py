"""Plots of the option `plots`: the uv coverage, and the spectrum of the brightest source."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.patches import Circle

from contimg.instrument.dsa110 import C_M_S
from contimg.tile.image.gridding.gridder import Gridder
from contimg.tile.image.plots import drawing
from contimg.tile.image.plots.drawing import flux_text
from contimg.tile.image.result import ImagingResult
from contimg.tile.image.sources.spectrum import Spectrum

UV_SIDE, UV_CELLS = 760, 300
SPECTRUM_SIZE = 900, 560
FREQUENCIES = 24  # of the band, with which the coverage is drawn
POINT, LAW, CATALOGUE = "#1f618d", "#b9770e", "#1e8449"


def write_uv(path: Path, gridder: Gridder, tile_image: ImagingResult, min_uv_klambda: float) -> None:
    """Draw the density of samples with weight over the uv plane, each with its conjugate, over the whole band.

    Parameters
    ----------
    path : the PNG file.
    gridder : visibilities with imaging weights.
    tile_image : its name and fraction of unflagged samples.
    min_uv_klambda : cut at short baselines, drawn as a circle.
    """
    data = gridder.visibilities
    channels = np.unique(np.linspace(0, data.freqs_hz.size - 1, FREQUENCIES).astype(int))
    u, v = (
        (data.uvw_m[:, axis, None] * data.freqs_hz[channels] / C_M_S / 1000)[gridder.weights[:, channels] > 0]
        for axis in (0, 1)
    )
    longest_klambda = float(np.hypot(u, v).max())
    reach = 1.04 * longest_klambda
    density, _, _ = np.histogram2d(
        np.concatenate([v, -v]), np.concatenate([u, -u]), bins=UV_CELLS, range=[(-reach, reach)] * 2
    )
    figure = drawing.make_figure(UV_SIDE, UV_SIDE)
    axes = figure.add_axes((0.11, 0.09, 0.83, 0.8), facecolor="black", aspect="equal")
    axes.imshow(np.where(density > 0, density, np.nan), origin="lower", cmap=drawing.COLOURS,
                norm=LogNorm(0.3, max(float(density.max()), 1.0)), extent=(-reach, reach, -reach, reach),
                interpolation="nearest")  # fmt: skip
    if min_uv_klambda > 0:
        axes.add_patch(Circle((0, 0), min_uv_klambda, fill=False, edgecolor="#5dade2", linewidth=0.8))
    axes.invert_xaxis()  # east to the left, as on the sky
    axes.set(xlabel="u, kilowavelengths", ylabel="v, kilowavelengths")
    unflagged = f"{tile_image.unflagged_fraction:.0%} of the samples"
    _write_title(axes, tile_image.group, f"uv coverage to {longest_klambda:.3g} kλ, {unflagged}")
    drawing.save_figure(figure, path)


def write_spectrum(path: Path, spectrum: Spectrum, tile_image: ImagingResult) -> None:
    """Draw the true flux of the brightest source against frequency, with a power law and the catalogued flux.

    Parameters
    ----------
    path : the PNG file.
    spectrum : of the brightest source.
    tile_image : its numbers and catalogued sources.
    """
    figure = drawing.make_figure(*SPECTRUM_SIZE)
    axes = figure.add_axes((0.1, 0.12, 0.86, 0.73))
    freqs_mhz = spectrum.freqs_hz / 1e6
    is_known = bool(np.isfinite(spectrum.pb).all())
    pb = spectrum.pb if is_known else np.ones_like(spectrum.pb)
    flux_jy, error_jy = spectrum.apparent_jy / pb, spectrum.error_jy / pb
    axes.errorbar(freqs_mhz, flux_jy, yerr=error_jy, fmt="o", color=POINT, markersize=5, capsize=2, label="measured")
    mean_jy, index, index_error = spectrum.fit_power_law()
    if np.isfinite(index):
        law_jy = mean_jy * (spectrum.freqs_hz / spectrum.freqs_hz.mean()) ** index
        axes.plot(freqs_mhz, law_jy, color=LAW, label=f"power law, index {index:+.3f} ± {index_error:.3f}")
    middle_jy, spread_jy = float(np.median(flux_jy)), float(np.ptp(flux_jy) + 2 * error_jy.max())
    reach_jy = max(0.6 * spread_jy, 0.03 * abs(middle_jy))
    low_jy, high_jy = middle_jy - reach_jy, middle_jy + reach_jy
    name = "brightest source"
    brightest = tile_image.matches[0] if tile_image.matches else None
    if brightest and abs(brightest.apparent_jy / tile_image.peak_jy - 1) < 0.1:
        name, catalogue_jy = brightest.source.name, brightest.source.flux_jy
        axes.plot(tile_image.freq_hz / 1e6, catalogue_jy, "D", color=CATALOGUE, markerfacecolor="none", markersize=9,
                  label=f"catalogue: {name}, {flux_text(catalogue_jy)}")  # fmt: skip
        low_jy, high_jy = min(low_jy, 0.99 * catalogue_jy), max(high_jy, 1.01 * catalogue_jy)
    axes.set(
        ylim=(low_jy, high_jy),
        xlabel="frequency, MHz",
        ylabel=f"{'flux over the primary beam' if is_known else 'apparent flux'}, Jy",
    )
    axes.grid(color="#d5d8dc", linewidth=0.6)
    axes.legend(frameon=False, fontsize=9)
    peak, pb_text = f"{flux_text(tile_image.peak_jy)}/beam apparent", f"{pb.mean():.2f}" if is_known else "unknown"
    _write_title(axes, tile_image.group, f"{name}: {peak}, primary beam {pb_text}")
    drawing.save_figure(figure, path)


def _write_title(axes: Any, group: str, text: str) -> None:
    axes.text(0, 1.07, group, transform=axes.transAxes, fontsize=14, weight="bold", color=drawing.INK)
    axes.text(0, 1.025, text, transform=axes.transAxes, fontsize=10, color=drawing.FAINT)
