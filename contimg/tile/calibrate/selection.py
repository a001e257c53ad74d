"""Select the sources that a tile can be solved on, and the caltable set that is valid for it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from contimg.formats.caltables.caltable_set import STRIP_DEG, CaltableSet
from contimg.formats.ms.info import MSInfo
from contimg.instrument import calibrators
from contimg.instrument.calibrators import SEARCH_RADIUS_RAD, Calibrator
from contimg.instrument.coordinates import separation_rad
from contimg.instrument.dsa110 import primary_beam
from contimg.quality.calibration import CalibrationClass, CalibrationNumbers
from contimg.quality.grades import GOOD
from contimg.sky.catalogue import open_catalogue
from contimg.tile.calibrate.interpolation import find_nearest_gain_mjd

COMPANION_FRACTION, MAX_COMPANIONS = 0.01, 30  # of the calibrator's apparent flux; the model costs time by its sources
UNKNOWN_SEFD_JY = 3.0  # apparent flux that a calibrator needs where no signal to noise can be expected
_NEIGHBOUR_DEG, _NEIGHBOUR_JY = 3.2, 0.005  # to the primary beam's first null; 1 % of the faintest calibrators
_SAME_RAD = np.deg2rad(45.0 / 3600.0)
_MIN_COUNTERPART = 0.3  # of a calibrator's flux in a reference catalogue; variable ones change by less
_DAY_HOURS = 24.0
_MIN_SHARED = 0.5  # of the Measurement Set's channels, and of its antennas


@dataclass(frozen=True)
class CalibratorInBeam:
    """A catalogued source at mid-tile and mid-band.

    Attributes
    ----------
    calibrator : the source.
    pb_response : response of the primary beam, 0 to 1.
    apparent_jy : flux density through the primary beam, Jy.
    catalogue : name and version of the reference catalogue that has the source too; empty for none.
    catalogue_flux_ratio : flux in that catalogue over the calibrator's, at mid-band; None without one.
    """

    calibrator: Calibrator
    pb_response: float
    apparent_jy: float
    catalogue: str = ""
    catalogue_flux_ratio: float | None = None


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
    """Return the tile's model: `main` and the `MAX_COMPANIONS` brightest of at least 1 % of its apparent flux.

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
    return [main, *sorted(companions, key=lambda candidate: -candidate.apparent_jy)[:MAX_COMPANIONS]]


def compute_min_calibrator_jy(ms: MSInfo, antennas: int, snr: float) -> float:
    """Compute the apparent flux that a calibrator needs for a signal to noise of its gains per channel and antenna.

    Parameters
    ----------
    ms : metadata of the tile's Measurement Set: SEFD, channel width, exposure.
    antennas : number of antennas with data.
    snr : signal to noise of a gain.

    Returns
    -------
    Jy; `UNKNOWN_SEFD_JY` where the SEFD of the telescope is not known.
    """
    if ms.sefd_jy is None:
        return UNKNOWN_SEFD_JY
    return calibrators.min_flux_jy(snr, antennas, ms.channel_width_hz, ms.exposure_s, ms.sefd_jy)


def read_neighbours(catalogue_path: Path, ra_rad: float, dec_rad: float) -> list[Calibrator]:
    """Read the sources of a reference catalogue in the primary beam at a pointing, as sources of a model.

    Parameters
    ----------
    catalogue_path : the catalogue's file.
    ra_rad, dec_rad : the pointing, ICRS.

    Returns
    -------
    Sources with the catalogue's name, and fluxes at 1.45 GHz by its spectral indices; none outside its survey, and none
    of a catalogue of the pipeline's own images, which may lack calibrators.

    Raises
    ------
    Misconfigured : the file is missing or damaged.
    """
    centre_deg = float(np.rad2deg(ra_rad)), float(np.rad2deg(dec_rad))
    catalogue = open_catalogue(catalogue_path)
    if catalogue.is_from_pipeline:
        return []
    sources = catalogue.cone(*centre_deg, _NEIGHBOUR_DEG, min_flux_jy=_NEIGHBOUR_JY)
    positions = np.deg2rad(sources.ra_deg), np.deg2rad(sources.dec_deg)
    columns = (sources.source_id, *positions, sources.flux_at(calibrators.CATALOGUE_HZ), sources.spectral_index)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [
        Calibrator(name, "", ra, dec, flux_jy, index, quality="?")
        for name, ra, dec, flux_jy, index in rows
    ]  # fmt: skip


def without_counterpart(candidate: Calibrator, neighbours: Sequence[Calibrator]) -> bool:
    """Tell whether a calibrator is missing in a reference catalogue that has its field.

    Parameters
    ----------
    candidate : the calibrator.
    neighbours : the catalogue's sources in the beam; without any the catalogue does not cover the field.
    """
    flux_jy = sum(source.flux_20cm_jy for source in neighbours if _is_same(source, candidate))
    return bool(neighbours) and flux_jy < _MIN_COUNTERPART * candidate.flux_20cm_jy


def compare_with_catalogue(
    candidate: CalibratorInBeam, neighbours: Sequence[Calibrator], ms: MSInfo, catalogue: str
) -> CalibratorInBeam:
    """Give a calibrator with its flux in a reference catalogue, which ties the catalogue's scale to the set's.

    Parameters
    ----------
    candidate : the calibrator; the flux of a variable one is that of the day, and is not compared.
    neighbours : the catalogue's sources in the beam.
    ms : metadata of the tile's Measurement Set.
    catalogue : name and version of the catalogue.
    """
    freq_hz = float(np.mean(ms.freqs_hz))
    calibrator = candidate.calibrator
    flux_jy = sum(float(source.flux_jy(freq_hz)) for source in neighbours if _is_same(source, calibrator))
    if calibrator.variable or not flux_jy:
        return candidate
    ratio = round(flux_jy / float(calibrator.flux_jy(freq_hz)), 4)
    return replace(candidate, catalogue=catalogue, catalogue_flux_ratio=ratio)


def merge_sources(listed: Iterable[Calibrator], neighbours: Iterable[Calibrator], ms: MSInfo) -> list[Calibrator]:
    """Merge the calibrators in a tile's field with a reference catalogue's sources, which give way where both have one.

    Parameters
    ----------
    listed : the calibrators.
    neighbours : the catalogue's sources in the beam.
    ms : metadata of the tile's Measurement Set.
    """
    in_beam = [candidate.calibrator for candidate in _within_beam(ms, listed)]
    return in_beam + [
        source for source in neighbours if not any(_is_same(source, calibrator) for calibrator in in_beam)
    ]


def _is_same(source: Calibrator, calibrator: Calibrator) -> bool:
    positions = (source.ra_rad, source.dec_rad), (calibrator.ra_rad, calibrator.dec_rad)
    return bool(separation_rad(*positions) < _SAME_RAD)


def _within_beam(ms: MSInfo, sources: Iterable[Calibrator]) -> Iterator[CalibratorInBeam]:
    freq_hz = float(np.mean(ms.freqs_hz))
    pointing_rad = ms.pointing_rad[len(ms.times_mjd_s) // 2]
    for source in sources:
        separation = float(separation_rad(pointing_rad, (source.ra_rad, source.dec_rad)))
        if separation <= SEARCH_RADIUS_RAD and source.has_flux_at(freq_hz):
            response = float(primary_beam(separation, freq_hz, ms.dish_diameter_m, ms.mid_mjd))
            yield CalibratorInBeam(source, response, response * float(source.flux_jy(freq_hz)))


def find_mismatch(
    caltable_set: CaltableSet, ms: MSInfo, strip_deg: float = STRIP_DEG, borrow_days: float = 0.0
) -> str | None:
    """Find why a caltable set cannot calibrate a Measurement Set.

    Parameters
    ----------
    caltable_set, ms : the set, and the Measurement Set's metadata; its `antennas` are those that need solutions.
    strip_deg : difference in declination beyond which the set is of another declination strip, degrees.
    borrow_days : age up to which a set fits that is not valid, days.

    Returns
    -------
    The reason in a few words, or None when the set fits.
    """
    if not caltable_set.is_valid_at(ms.mid_mjd) and abs(caltable_set.mjd - ms.mid_mjd) > borrow_days:
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
    caltable_sets: Sequence[CaltableSet], ms: MSInfo, strip_deg: float = STRIP_DEG, borrow_days: float = 0.0
) -> tuple[CaltableSet | None, str]:
    """Select the set nearest in time to mid-tile among those that fit; a suspect one only where no good one fits.

    A set that is not valid is borrowed only where none is.

    Parameters
    ----------
    caltable_sets : the known sets.
    ms : the Measurement Set's metadata.
    strip_deg : difference in declination beyond which a set is of another declination strip, degrees.
    borrow_days : age up to which a set is borrowed, days; 0: none is.

    Returns
    -------
    The set or None, and the reason in words.
    """
    mismatches = {stored.name: find_mismatch(stored, ms, strip_deg) for stored in caltable_sets}
    fitting = [stored for stored in caltable_sets if mismatches[stored.name] is None] or [
        stored for stored in caltable_sets if borrow_days and find_mismatch(stored, ms, strip_deg, borrow_days) is None
    ]
    if fitting:
        best = min(fitting, key=lambda fit: (fit.grade != GOOD, abs(fit.mjd - ms.mid_mjd), -fit.mjd))
        hours = 24.0 * (ms.mid_mjd - best.mjd)
        suspect = "" if best.grade == GOOD else f", {best.grade}: {'; '.join(best.reasons)}"
        age = f"{abs(hours):.1f} h {'earlier' if hours >= 0 else 'later'}"
        borrowed = "" if best.is_valid_at(ms.mid_mjd) else ", borrowed from another day"
        shared = zip(_measure_shared(best, ms), ("channels", "antennas"), strict=True)
        lacking = "".join(f", for {fraction:.0%} of the {noun}" for fraction, noun in shared if fraction < 1)
        return best, f"{best.name} on {best.calibrator}, {age}{borrowed}{lacking}{suspect}"
    if not caltable_sets:
        return None, "no caltable set"
    last = ", ".join(f"{name}: {reason}" for name, reason in list(mismatches.items())[-3:])
    return None, f"none of {len(caltable_sets)} caltable sets fits ({last})"


def select_second_set(
    caltable_sets: Sequence[CaltableSet], first: CaltableSet, ms: MSInfo, strip_deg: float = STRIP_DEG
) -> CaltableSet | None:
    """Select the set to interpolate the gains with: the nearest good one that is valid, on the other side of the tile.

    Parameters
    ----------
    caltable_sets : the known sets.
    first : the set that was selected.
    ms : the Measurement Set's metadata.
    strip_deg : difference in declination beyond which a set is of another declination strip, degrees.

    Returns
    -------
    The set; None where there is none, where `first` is not good or not valid, or was solved on this tile.
    """
    if first.grade != GOOD or first.name == ms.name or not first.is_valid_at(ms.mid_mjd):
        return None
    is_later = first.mjd <= ms.mid_mjd
    candidates = [
        stored
        for stored in caltable_sets
        if stored.grade == GOOD
        and (stored.mjd > ms.mid_mjd) == is_later
        and stored.mjd != first.mjd
        and find_mismatch(stored, ms, strip_deg) is None
    ]
    return min(candidates, key=lambda stored: abs(stored.mjd - ms.mid_mjd), default=None)


def describe_calibration(
    caltable_set: CaltableSet | None, second: CaltableSet | None, ms: MSInfo, gains_hours: float
) -> CalibrationNumbers:
    """Describe the class and the age of the calibration of a tile.

    Parameters
    ----------
    caltable_set : the set that is applied; None for none.
    second : the set that its gains are interpolated with; None for none.
    ms : the Measurement Set's metadata.
    gains_hours : age up to which gains are of the same transit, hours.

    Raises
    ------
    BadInput : a caltable is unreadable.
    """
    if caltable_set is None:
        return CalibrationNumbers(calibration_class=CalibrationClass.NONE)
    age_h = 24.0 * (ms.mid_mjd - caltable_set.mjd)
    gain_age_h = 24.0 * (ms.mid_mjd - find_nearest_gain_mjd(caltable_set, ms.mid_mjd))
    if not caltable_set.is_valid_at(ms.mid_mjd) or abs(age_h) > _DAY_HOURS:
        calibration_class = CalibrationClass.BORROWED
    elif abs(gain_age_h) <= gains_hours:
        calibration_class = CalibrationClass.SAME_TRANSIT
    else:
        calibration_class = CalibrationClass.SAME_DAY
    return CalibrationNumbers(
        calibration_class=calibration_class, second_set=second.name if second else None, bandpass_age_h=age_h,
        gain_age_h=gain_age_h, gain_snr=caltable_set.quality.get("gain_snr", caltable_set.quality.get("bandpass_snr")),
    )  # fmt: skip
