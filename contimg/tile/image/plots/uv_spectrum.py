"""Plots on request: where the uv plane is covered, and the spectrum of the brightest source."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.patches import Circle

from contimg.formats.ms.info import MSInfo
from contimg.instrument.dsa110 import C_M_S
from contimg.tile.image.gridding.gridding import Gridder, Image
from contimg.tile.image.plots.drawing import COLOURS, FAINT, INK, flux_text, save, sheet
from contimg.tile.image.result import ImagingResult
from contimg.tile.image.sources.spectrum import Spectrum, spectrum_at
from contimg.tile.image.writing import Writer

UV_SIDE, UV_CELLS = 760, 300
SPECTRUM_SIZE = 900, 560
FREQUENCIES = 24  # of the band, that the coverage is drawn with
POINT, LAW, KNOWN = "#1f618d", "#b9770e", "#1e8449"


def plots(
    tile_image: ImagingResult, description: MSInfo, gridder: Gridder, image: Image, min_uv_klambda: float
) -> dict[Path, Writer]:
    """What writes each plot of an image."""
    y, x = np.unravel_index(int(image.argmax()), image.shape)
    found = spectrum_at(description, gridder, float(x), float(y))
    return {
        tile_image.products.uv: partial(
            write_uv, gridder=gridder, tile_image=tile_image, min_uv_klambda=min_uv_klambda
        ),
        tile_image.products.spectrum: partial(write_spectrum, spectrum=found, tile_image=tile_image),
    }


def write_uv(path: Path, gridder: Gridder, tile_image: ImagingResult, min_uv_klambda: float) -> None:
    """The density of samples with weight over the uv plane, each with its conjugate, over the whole band."""
    data = gridder.visibilities
    chosen = np.unique(np.linspace(0, data.freqs_hz.size - 1, FREQUENCIES).astype(int))
    u, v = (
        (data.uvw_m[:, axis, None] * data.freqs_hz[chosen] / C_M_S / 1000)[gridder.weights[:, chosen] > 0]
        for axis in (0, 1)
    )
    reach = 1.04 * float(np.hypot(u, v).max())
    density, _, _ = np.histogram2d(
        np.concatenate([v, -v]), np.concatenate([u, -u]), bins=UV_CELLS, range=[(-reach, reach)] * 2
    )
    figure = sheet(UV_SIDE, UV_SIDE)
    axes = figure.add_axes((0.11, 0.09, 0.83, 0.8), facecolor="black", aspect="equal")
    shown = np.where(density > 0, density, np.nan)
    axes.imshow(shown, origin="lower", cmap=COLOURS, norm=LogNorm(0.3, max(float(density.max()), 1.0)),
                extent=(-reach, reach, -reach, reach), interpolation="nearest")  # fmt: skip
    if min_uv_klambda > 0:
        axes.add_patch(Circle((0, 0), min_uv_klambda, fill=False, edgecolor="#5dade2", linewidth=0.8))
    axes.invert_xaxis()  # east to the left, as on the sky
    axes.set_xlabel("u, kilowavelengths")
    axes.set_ylabel("v, kilowavelengths")
    _title(
        axes,
        tile_image.group,
        f"uv coverage to {reach / 1.04:.3g} kλ, {tile_image.unflagged_fraction:.0%} of the samples",
    )
    save(figure, path)


def write_spectrum(path: Path, spectrum: Spectrum, tile_image: ImagingResult) -> None:
    """True flux of the brightest source against frequency, with a power law and the catalogue's flux."""
    figure = sheet(*SPECTRUM_SIZE)
    axes = figure.add_axes((0.1, 0.12, 0.86, 0.73))
    freqs_mhz = spectrum.freqs_hz / 1e6
    flux, error = (values / spectrum.attenuation for values in (spectrum.apparent_jy, spectrum.error_jy))
    axes.errorbar(freqs_mhz, flux, yerr=error, fmt="o", color=POINT, markersize=5, capsize=2, label="measured")
    at_middle, index, index_error = spectrum.power_law()
    if np.isfinite(index):
        law = at_middle * (spectrum.freqs_hz / spectrum.freqs_hz.mean()) ** index
        axes.plot(freqs_mhz, law, color=LAW, label=f"power law, index {index:+.3f} ± {index_error:.3f}")
    known = _brightest_known(tile_image)
    if known:
        axes.plot(tile_image.freq_hz / 1e6, known.entry.flux_jy, "D", color=KNOWN, markerfacecolor="none", markersize=9,
                  label=f"catalogue: {known.entry.name}, {flux_text(known.entry.flux_jy)}")  # fmt: skip
    middle, spread = float(np.median(flux)), float(np.ptp(flux) + 2 * error.max())
    reach = max(0.6 * spread, 0.03 * abs(middle))
    low, high = middle - reach, middle + reach
    if known:
        low, high = min(low, 0.99 * known.entry.flux_jy), max(high, 1.01 * known.entry.flux_jy)
    axes.set_ylim(low, high)
    axes.set_xlabel("frequency, MHz")
    axes.set_ylabel("flux over the primary beam, Jy")
    axes.grid(color="#d5d8dc", linewidth=0.6)
    axes.legend(frameon=False, fontsize=9)
    name = known.entry.name if known else "brightest source"
    _title(axes, tile_image.group, f"{name}: {flux_text(tile_image.peak_jy)}/beam apparent, behind "
           f"{spectrum.attenuation.mean():.2f} of the primary beam")  # fmt: skip
    save(figure, path)


def _brightest_known(tile_image: ImagingResult) -> Any:
    """The catalogued source that is the brightest of the image, or None."""
    first = tile_image.matches[0] if tile_image.matches else None
    return first if first and abs(first.apparent_jy / tile_image.peak_jy - 1) < 0.1 else None


def _title(axes: Any, group: str, text: str) -> None:
    axes.text(0, 1.07, group, transform=axes.transAxes, fontsize=14, weight="bold", color=INK)
    axes.text(0, 1.025, text, transform=axes.transAxes, fontsize=10, color=FAINT)
