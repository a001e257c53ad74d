"""The page of reference catalogues: provenance, density on the sky, and coverage of today's declination."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np
from flask import Blueprint, render_template
from numpy.typing import NDArray

from contimg.sky.coverage import REACH_DEG, measure_density
from web.sources.catalogues.service import InstalledCatalogue, list_catalogues
from web.tiles.nights import Tick

catalogue_pages = Blueprint("catalogue_pages", __name__)
STEP_DEG = 3.0
_DEC_LABELS = {60: "+60°", 30: "+30°", 0: "0°", -30: "−30°", -60: "−60°"}
LEVELS = 4  # of the density, equal in its logarithm


@dataclass(frozen=True)
class DensityRun:
    """Cells in a row of one level, percent of the map: left edge, upper edge, width, height; level 1 to `LEVELS`."""

    x: float
    y: float
    width: float
    height: float
    level: int


@dataclass(frozen=True)
class DensityMap:
    """The density of a catalogue on the whole sky, right ascension increasing to the left.

    Attributes
    ----------
    limits_per_deg2 : density above which each level begins.
    """

    catalogue: InstalledCatalogue
    runs: tuple[DensityRun, ...]
    limits_per_deg2: tuple[float, ...]


@catalogue_pages.get("/catalogues")
def show() -> str:
    """Show the installed catalogues."""
    listed = list_catalogues()
    strip = None
    if listed.dec_deg is not None:
        strip = (100 * (90 - listed.dec_deg - REACH_DEG) / 180, 100 * 2 * REACH_DEG / 180)
    return render_template(
        "catalogues/page.html", listed=listed, maps=[draw_density(catalogue) for catalogue in listed.catalogues],
        strip=strip, ra_ticks=[Tick(100 * (1 - hour / 24), f"{hour}h") for hour in range(0, 25, 3)],
        dec_ticks=[Tick(100 * (90 - dec) / 180, _DEC_LABELS[dec]) for dec in _DEC_LABELS],
    )  # fmt: skip


def draw_density(catalogue: InstalledCatalogue) -> DensityMap:
    """Draw the density of a catalogue in `LEVELS` steps between its lowest and its highest tenth.

    Parameters
    ----------
    catalogue : an installed one.
    """
    density = measure_density(catalogue, STEP_DEG)
    limits = _find_limits(density)
    levels = np.searchsorted(limits, density, side="right") * (density > 0)
    rows, columns = levels.shape
    runs = []
    for row in range(rows):
        for level, cells in groupby(range(columns), key=levels[row].__getitem__):
            columns_of_run = list(cells)
            first, count = columns_of_run[0], len(columns_of_run)
            if level:
                x = 100 * (1 - (first + count) / columns)
                runs.append(DensityRun(x, 100 * row / rows, 100 * count / columns, 100 / rows, int(level)))
    return DensityMap(catalogue, tuple(runs), tuple(limits.tolist()))


def _find_limits(density: NDArray[np.float64]) -> NDArray[np.float64]:
    """The densities above which the levels begin; the first is below every cell with a source."""
    filled = density[density > 0]
    if not filled.size:
        return np.zeros(LEVELS)
    low, high = np.quantile(filled, (0.1, 0.9))
    return np.append(0.0, np.geomspace(low, max(high, low * 1.01), LEVELS)[1:])
