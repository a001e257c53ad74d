"""Products of a tile's stages: the fields that the store keeps and the API answers, each defined here alone.

Light to import: no numerical library.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.quality.image import ImageNumbers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepTimer:
    """Times of the steps of a stage, s, as the `seconds` of its product have them."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Time a block as a step."""
        start = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - start, 3)
        log.debug("%s took %.2f s", step, self.seconds[step])


@dataclass(frozen=True)
class ConvertedMS:
    """Measurement Set that the convert stage wrote.

    Attributes
    ----------
    path : Path
        The Measurement Set.
    mjd_start, mjd_end : float
        Beginning of the first and end of the last integration, days, UTC.
    ra_deg, dec_deg : float
        Phase centre, ICRS.
    integrations, channels, antennas : int
        Size of the data; `antennas` counts those with data.
    missing_subbands : tuple of int
        Subbands that are flagged gaps.
    flagged_fraction : float
        Flagged part of the values of the subbands that were converted; after calibration, of the cross-correlations.
    bytes : int
        Size on disk.
    """

    path: Path
    mjd_start: float
    mjd_end: float
    ra_deg: float
    dec_deg: float
    integrations: int
    channels: int
    antennas: int
    missing_subbands: tuple[int, ...]
    flagged_fraction: float
    bytes: int


@dataclass(frozen=True)
class CalibratedMS:
    """Result of the calibrate stage for one Measurement Set.

    Attributes
    ----------
    calibration_set : str or None
        Name of the set that CORRECTED_DATA was calibrated with; None when DATA is uncalibrated.
    calibration_note : str or None
        Why that set was applied, or why none was.
    flagged_fraction : float
        Flagged part of the cross-correlations' samples after calibration.
    new_set : CaltableSet or None
        The set solved on this tile.
    dead_antennas : tuple of str
        Names of antennas without signal.
    seconds : dict of str to float
        Time of each step, s.
    """

    calibration_set: str | None
    calibration_note: str | None
    flagged_fraction: float
    new_set: CaltableSet | None = None
    dead_antennas: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TileImage(ImageNumbers):
    """Image of one tile: its files, numbers and QA grade. Fluxes are apparent, not corrected for the primary beam.

    Attributes
    ----------
    fits_path, beam_fits_path, png_path, thumbnail_path : Path
        The image, the primary beam, the preview and a small preview.
    rms_jy : float
        Noise per beam, from the median absolute deviation of the residual.
    peak_jy, minimum_jy : float
        Brightest and faintest pixel, Jy per beam.
    dynamic_range : float
        Peak over noise.
    expected_rms_jy : float
        Thermal noise per beam, from SEFD, samples and weights.
    bowl_jy : float
        Negative bowl: median around the brightest source, Jy per beam.
    beam_major_arcsec, beam_minor_arcsec, beam_angle_deg : float
        Synthesized beam: full widths at half maximum and position angle, north through east.
    ra_deg, dec_deg : float
        Phase centre (the middle pixel), ICRS.
    mjd : float
        Middle of the observation, days, UTC.
    freq_hz : float
        Mean frequency, weighted as in the image.
    pixels, cell_arcsec : int, float
        Pixels on a side and their size.
    unflagged_fraction : float
        Part of the cross-correlations' samples that are unflagged.
    calibration_set, calibration_note : str or None
        The set that the data were calibrated with, or None and why they are uncalibrated.
    catalogue_matches, catalogue_offset_arcsec, catalogue_flux_ratio : int, float, float
        Catalogued sources compared, length of their median offset, and median of measured over catalogued flux.
    iterations, clean_stopped_by, uncleaned_jy : int, str, float
        Iterations of clean, what ended it (`noise`, or the limit that stopped it), and flux in the residual above the
        depth of its mask, Jy.
    dish_diameter_m : float or None
        Diameter of the dishes, which gives the primary beam; None where it is not known.
    sources : tuple of mapping
        The brightest sources, each of plain numbers and strings.
    verdict, verdict_reasons : str, tuple of str
        QA grade (good, suspect, bad) and why it is not good; None before grading.
    """

    fits_path: Path
    beam_fits_path: Path | None
    png_path: Path | None
    thumbnail_path: Path | None
    dynamic_range: float
    beam_angle_deg: float
    ra_deg: float
    dec_deg: float
    mjd: float
    freq_hz: float
    pixels: int
    cell_arcsec: float
    sources: tuple[Mapping[str, Any], ...] = ()
    verdict: str | None = None
    verdict_reasons: tuple[str, ...] = ()
    catalogue_matches: int | None = None
    iterations: int | None = None
    dish_diameter_m: float | None = None
