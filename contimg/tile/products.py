"""Products of a tile's stages: the fields that the store keeps and the API answers, each defined here alone.

Light to import: no numerical library.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.records import about
from contimg.quality.antennas import AntennaNumbers
from contimg.quality.calibration import CalibrationNumbers
from contimg.quality.image import ImageNumbers

log = logging.getLogger(__name__)
FLAGS = "flags"  # directory of the tiles' flag summaries, below that of the caltable sets


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
    """Measurement Set that the convert stage wrote."""

    path: Annotated[Path, about("The Measurement Set", example="/data/products/ms/2026-02-22T03:04:05.ms")]
    mjd_start: Annotated[float, about("Beginning of the first integration, MJD, UTC", "d", 61093.127835)]
    mjd_end: Annotated[float, about("End of the last integration, MJD, UTC", "d", 61093.131412)]
    ra_deg: Annotated[float, about("Right ascension of the phase centre, ICRS", "deg", 24.42)]
    dec_deg: Annotated[float, about("Declination of the phase centre, ICRS", "deg", 33.16)]
    integrations: Annotated[int, about("Number of integrations", "integrations", 24)]
    channels: Annotated[int, about("Number of channels", "channels", 768)]
    antennas: Annotated[int, about("Number of antennas with data", "antennas", 96)]
    missing_subbands: Annotated[tuple[int, ...], about("Subbands that are flagged gaps", "subband numbers", [4, 15])]
    flagged_fraction: Annotated[
        float,
        about(
            "Flagged part of the values of the converted subbands; after calibration, of the cross-correlations",
            "fraction",
            0.08,
        ),
    ]
    bytes: Annotated[int, about("Size on disk", "bytes", 5200000000)]


@dataclass(frozen=True)
class ChannelInterference:
    """Interference in a tile by channel.

    Attributes
    ----------
    first_freq_hz, channel_width_hz : frequency of the first channel, and from one channel to the next, Hz.
    fractions : of the samples of each channel that flagging added, less that of the channel in which it added least,
        which is what the dead antennas have in every channel; None for a channel without data.
    """

    first_freq_hz: float
    channel_width_hz: float
    fractions: tuple[float | None, ...]


@dataclass(frozen=True)
class CalibratedMS(CalibrationNumbers):
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
    bad_antennas : dict of str to str
        Names of the antennas without usable data, and why: no signal, no fringes of the calibrator, no solution.
    seconds : dict of str to float
        Time of each step, s.
    antenna_numbers, set_antenna_numbers : tuple of AntennaNumbers
        Health of each antenna and polarisation in the tile, and in `new_set`.
    interference : ChannelInterference or None
        Interference by channel.
    solve_failure : str
        Why the set solved on a calibrator in this tile is bad or could not be solved; empty where there is none.
    """

    calibration_set: str | None
    calibration_note: str | None
    flagged_fraction: float
    new_set: CaltableSet | None = None
    dead_antennas: tuple[str, ...] = ()
    bad_antennas: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    solve_failure: str = ""
    antenna_numbers: tuple[AntennaNumbers, ...] = ()
    set_antenna_numbers: tuple[AntennaNumbers, ...] = ()
    interference: ChannelInterference | None = None


@dataclass(frozen=True, kw_only=True)
class TileImage(ImageNumbers):
    """Image of one tile: its files, numbers and QA grade. Fluxes are apparent, not corrected for the primary beam."""

    fits_path: Annotated[
        Path,
        about("The FITS image on the pipeline's machine", example="/data/products/images/2026-02-22T03:04:05.fits"),
    ]
    beam_fits_path: Annotated[
        Path | None,
        about("The primary beam as a FITS image", example="/data/products/images/2026-02-22T03:04:05.pb.fits"),
    ]
    png_path: Annotated[Path | None, about("The preview", example="/data/products/images/2026-02-22T03:04:05.png")]
    thumbnail_path: Annotated[
        Path | None, about("The small preview", example="/data/products/images/2026-02-22T03:04:05.thumb.png")
    ]
    dynamic_range: Annotated[float, about("Peak over noise", "ratio", 652.0)]
    beam_angle_deg: Annotated[float, about("Position angle of the synthesized beam, north through east", "deg", 12.0)]
    ra_deg: Annotated[float, about("Right ascension of the phase centre (the middle pixel), ICRS", "deg", 24.42)]
    dec_deg: Annotated[float, about("Declination of the phase centre, ICRS", "deg", 33.16)]
    mjd: Annotated[float, about("Middle of the observation, MJD, UTC", "d", 61093.129624)]
    freq_hz: Annotated[float, about("Mean frequency, weighted as in the image", "Hz", 1405000000.0)]
    pixels: Annotated[int, about("Pixels on a side", "pixels", 2048)]
    cell_arcsec: Annotated[float, about("Size of a pixel", "arcsec", 3.0)]
    sources: Annotated[
        tuple[Mapping[str, Any], ...],
        about(
            "The brightest sources: name, `ra_deg`, `dec_deg` (ICRS), `flux_jy` (apparent) and more",
            "keys end in the unit",
            [{"name": "J012345+334455", "ra_deg": 20.9375, "dec_deg": 33.7486, "flux_jy": 0.32}],
        ),
    ] = ()
    verdict: Annotated[str | None, about("QA grade: good, suspect or bad; null before grading", example="good")] = None
    verdict_reasons: Annotated[
        tuple[str, ...],
        about("Why the grade is not good", example=["noise 9.1 mJy/beam is 7.6 times what is expected"]),
    ] = ()
    subtracted_sources: Annotated[
        tuple[Mapping[str, Any], ...],
        about(
            "The brightest sources outside the image whose cleaning removed their sidelobes from it: name, `ra_deg`, "
            "`dec_deg` (ICRS), `flux_jy` (apparent), `distance_deg` from the centre, `components`",
            "keys end in the unit",
            [
                {
                    "name": "J014912+341500",
                    "ra_deg": 27.3,
                    "dec_deg": 34.25,
                    "flux_jy": 0.21,
                    "distance_deg": 2.64,
                    "components": 31,
                }
            ],
        ),
    ] = ()
    subtracted_count: Annotated[
        int | None, about("Number of these sources; null of images of earlier versions", "sources", 38)
    ] = None
    subtracted_jy: Annotated[float | None, about("Apparent flux of these sources", "Jy", 0.74)] = None
    iterations: Annotated[int | None, about("Iterations of clean", "iterations", 18300)] = None
    dish_diameter_m: Annotated[
        float | None,
        about("Diameter of the dishes, which gives the primary beam; null where it is not known", "m", 4.65),
    ] = None
