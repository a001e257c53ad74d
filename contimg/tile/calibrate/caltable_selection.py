"""Select the caltable set for a Measurement Set: by time, declination strip, channels, antennas and grade."""

from collections.abc import Sequence

import numpy as np

from contimg.formats.caltables.caltable_set import STRIP_DEG, CaltableSet
from contimg.formats.ms.info import MSInfo
from contimg.quality.grades import GOOD

_MIN_SHARED = 0.5  # of the Measurement Set's channels, and of its antennas


def find_mismatch(caltable_set: CaltableSet, ms: MSInfo, strip_deg: float = STRIP_DEG) -> str | None:
    """Find why a caltable set cannot calibrate a Measurement Set.

    Parameters
    ----------
    caltable_set, ms : the set, and the Measurement Set's metadata.
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
    channel = (ms.freqs_hz - caltable_set.first_freq_hz) / caltable_set.channel_width_hz
    is_shared = (np.abs(channel - np.rint(channel)) < 0.01) & (channel > -0.5) & (channel < caltable_set.channels - 0.5)
    has_same_width = abs(caltable_set.channel_width_hz - ms.channel_width_hz) < 0.01 * ms.channel_width_hz
    if not has_same_width or np.mean(is_shared) < _MIN_SHARED:
        return "other frequencies"
    names = {ms.antenna_names[slot] for slot in ms.antennas}
    if len(names.intersection(caltable_set.antennas)) < _MIN_SHARED * len(names):
        return "other antennas"
    return None


def pointing_dec_deg(ms: MSInfo) -> float:
    """Give the declination (ICRS) that the telescope points at in mid-tile, degrees."""
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
        return best, f"{best.name} on {best.calibrator}, {when}{suspect}"
    if not caltable_sets:
        return None, "no caltable set"
    last = ", ".join(f"{name}: {reason}" for name, reason in list(mismatches.items())[-3:])
    return None, f"none of {len(caltable_sets)} caltable sets fits ({last})"
