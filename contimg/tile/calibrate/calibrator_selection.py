"""Which catalogued sources a tile can be calibrated on, and which belong to its model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from contimg.formats.ms.info import MSInfo
from contimg.instrument import calibrators
from contimg.instrument.calibrators import SEARCH_RADIUS_RAD, Calibrator
from contimg.instrument.coordinates import separation_rad
from contimg.instrument.dsa110 import primary_beam

COMPANION_FRACTION = 0.01  # of the calibrator's apparent flux


@dataclass(frozen=True)
class CalibratorInBeam:
    """A catalogued source at mid-tile and mid-band.

    Attributes
    ----------
    calibrator : the source.
    pb_response : response of the primary beam, 0 to 1.
    apparent_jy : flux density through the primary beam, Jy.
    """

    calibrator: Calibrator
    pb_response: float
    apparent_jy: float


def select_calibrators(
    ms: MSInfo, min_pb_response: float, min_apparent_jy: float, sources: Iterable[Calibrator] | None = None
) -> list[CalibratorInBeam]:
    """Return the calibrators that a tile can be solved on: constant ones first, then by apparent flux, descending.

    Parameters
    ----------
    ms : the tile's Measurement Set.
    min_pb_response, min_apparent_jy : smallest response of the primary beam at mid-tile and mid-band, and smallest
        flux through it (Jy).
    sources : the catalogue when not given.
    """
    usable = [source for source in (calibrators.catalogue() if sources is None else sources) if source.usable]
    selected = [
        candidate
        for candidate in _within_beam(ms, usable)
        if candidate.pb_response >= min_pb_response and candidate.apparent_jy >= min_apparent_jy
    ]
    return sorted(selected, key=lambda candidate: (candidate.calibrator.variable, -candidate.apparent_jy))


def with_companions(
    ms: MSInfo, main: CalibratorInBeam, sources: Iterable[Calibrator] | None = None
) -> list[CalibratorInBeam]:
    """Return the tile's model: `main` and the catalogued sources of at least 1 % of its apparent flux.

    Companions may be of any quality: a resolved source modelled as a point errs less than one left out.
    """
    companions = [
        candidate
        for candidate in _within_beam(ms, calibrators.catalogue() if sources is None else sources)
        if candidate.calibrator is not main.calibrator
        and candidate.apparent_jy >= COMPANION_FRACTION * main.apparent_jy
    ]
    return [main, *sorted(companions, key=lambda candidate: -candidate.apparent_jy)]


def _within_beam(ms: MSInfo, sources: Iterable[Calibrator]) -> Iterator[CalibratorInBeam]:
    freq_hz = float(np.mean(ms.freqs_hz))
    pointing_rad = ms.pointing_rad[len(ms.times_mjd_s) // 2]
    for source in sources:
        separation = float(separation_rad(pointing_rad, (source.ra_rad, source.dec_rad)))
        if separation <= SEARCH_RADIUS_RAD:
            response = float(primary_beam(separation, freq_hz))
            yield CalibratorInBeam(source, response, response * float(source.flux_jy(freq_hz)))
