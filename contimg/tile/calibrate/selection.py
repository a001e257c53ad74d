"""Select the sources that a tile can be solved on, and the caltable set that is valid for it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from contimg.formats.caltables.caltable_set import STRIP_DEG, CaltableSet
from contimg.formats.ms.info import MSInfo
from contimg.instrument import calibrators
from contimg.instrument.calibrators import SEARCH_RADIUS_RAD, Calibrator
from contimg.instrument.coordinates import separation_rad
from contimg.instrument.dsa110 import primary_beam
from contimg.quality.grades import GOOD

COMPANION_FRACTION = 0.01  # of the calibrator's apparent flux
_MIN_SHARED = 0.5  # of the Measurement Set's channels, and of its antennas


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

    Parameters
    ----------
    ms : metadata of the tile's Measurement Set.
    main : the calibrator.
    sources : the catalogue when not given.

    Returns
    -------
    `main`, then its companions by apparent flux, descending.
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
        if separation <= SEARCH_RADIUS_RAD and source.has_flux_at(freq_hz):
            response = float(primary_beam(separation, freq_hz, ms.dish_diameter_m, ms.mid_mjd))
            yield CalibratorInBeam(source, response, response * float(source.flux_jy(freq_hz)))


def find_mismatch(caltable_set: CaltableSet, ms: MSInfo, strip_deg: float = STRIP_DEG) -> str | None:
    """Find why a caltable set cannot calibrate a Measurement Set.

    Parameters
    ----------
    caltable_set, ms : the set, and the Measurement Set's metadata; its `antennas` are those that need solutions.
    strip_deg : difference in declination beyond which the set is of another declination strip, degrees.

    Returns
    -------
    The reason in a few words, or None when the set fits.
    """
    mjd = ms.mid_mjd_s / 86400.0
    if not caltable_set.valid_from_mjd <= mjd <= caltable_set.valid_to_mjd:
        return "not valid at this time"
    if abs(caltable_set.dec_deg - pointing_dec_deg(ms)) > strip_deg:
        return "another declination"
    if not all((path / "table.dat").exists() for path in caltable_set.paths):
        return "tables missing"
    has_same_width = abs(caltable_set.channel_width_hz - ms.channel_width_hz) < 0.01 * ms.channel_width_hz
    channels, antennas = _measure_shared(caltable_set, ms)
    if not has_same_width or channels < _MIN_SHARED:
        return "other frequencies"
    if antennas >= _MIN_SHARED:
        return None
    return f"{round((1 - antennas) * len(ms.antennas))} of {len(ms.antennas)} live antennas have no solution"


def _measure_shared(caltable_set: CaltableSet, ms: MSInfo) -> tuple[float, float]:
    """Measure the fractions of a Measurement Set's channels and antennas that a set has."""
    channel = (ms.freqs_hz - caltable_set.first_freq_hz) / caltable_set.channel_width_hz
    is_shared = (np.abs(channel - np.rint(channel)) < 0.01) & (channel > -0.5) & (channel < caltable_set.channels - 0.5)
    names = {ms.antenna_names[slot] for slot in ms.antennas}
    return float(np.mean(is_shared)), len(names.intersection(caltable_set.antennas)) / len(names)


def pointing_dec_deg(ms: MSInfo) -> float:
    """Give the declination (ICRS) that the telescope points at in mid-tile, degrees.

    Parameters
    ----------
    ms : metadata of the Measurement Set.
    """
    return float(np.rad2deg(ms.pointing_rad[len(ms.times_mjd_s) // 2, 1]))


def select_caltable_set(
    caltable_sets: Sequence[CaltableSet], ms: MSInfo, strip_deg: float = STRIP_DEG
) -> tuple[CaltableSet | None, str]:
    """Select the set nearest in time to mid-tile among those that fit; a suspect one only where no good one fits.

    Parameters
    ----------
    caltable_sets : the known sets.
    ms : the Measurement Set's metadata.
    strip_deg : difference in declination beyond which a set is of another declination strip, degrees.

    Returns
    -------
    The set or None, and the reason in words.
    """
    mjd = ms.mid_mjd_s / 86400.0
    mismatches = {caltable_set.name: find_mismatch(caltable_set, ms, strip_deg) for caltable_set in caltable_sets}
    fitting = [caltable_set for caltable_set in caltable_sets if mismatches[caltable_set.name] is None]
    if fitting:
        best = min(fitting, key=lambda fit: (fit.grade != GOOD, abs(fit.mjd - mjd), -fit.mjd))
        hours = 24.0 * (mjd - best.mjd)
        suspect = "" if best.grade == GOOD else f", {best.grade}: {'; '.join(best.reasons)}"
        when = f"{abs(hours):.1f} h {'earlier' if hours >= 0 else 'later'}"
        shared = zip(_measure_shared(best, ms), ("channels", "antennas"), strict=True)
        lacking = "".join(f", for {fraction:.0%} of the {noun}" for fraction, noun in shared if fraction < 1)
        return best, f"{best.name} on {best.calibrator}, {when}{lacking}{suspect}"
    if not caltable_sets:
        return None, "no caltable set"
    last = ", ".join(f"{name}: {reason}" for name, reason in list(mismatches.items())[-3:])
    return None, f"none of {len(caltable_sets)} caltable sets fits ({last})"
