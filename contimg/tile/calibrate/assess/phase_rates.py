"""Antennas whose phases turn within the transit: they do not stand where the antenna table has them.

An antenna that stands at x' and is taken for one at x keeps a phase of 2 pi nu/c (x' - x).s towards the calibrator s,
which turns as the Earth does. Two whose cables are exchanged turn against one another, as fast as their places differ.
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from contimg.formats.caltables.tables import Solutions
from contimg.formats.ms.info import MSInfo
from contimg.instrument.calibrators import Calibrator
from contimg.instrument.coordinates import Site, itrf_directions
from contimg.instrument.dsa110 import C_M_S
from contimg.instrument.time import mjd_s_to_jd

EXCHANGED = "phases turn by {rate:+.0f} deg a minute, as they would at the place of {other}: their cables are exchanged"
MISPLACED = "phases turn by {rate:+.0f} deg a minute: its position is wrong, or its cable another antenna's"
LIMIT_DEG = 15.0  # a minute; what the air does to the longest baseline is a tenth of it
_ERRORS = 4.0  # how sure it must be, in standard errors
_ALIKE = 0.15  # part by which rates may differ from those of an exchange


def turning(phases: Solutions, tile: MSInfo, calibrator: Calibrator) -> dict[int, str]:
    """What is said of each antenna slot whose phases turn; `phases` are solutions by the minute on the calibrator."""
    rates = rates_deg(phases)
    hits = [slot for slot in np.flatnonzero(np.abs(np.nan_to_num(rates)) > LIMIT_DEG) if slot in tile.antennas]
    expected = _place_rates_deg(tile, calibrator)
    said = {int(slot): MISPLACED.format(rate=rates[slot]) for slot in hits}
    for one, other in combinations(hits, 2):
        swap = expected[other] - expected[one]
        if max(abs(rates[one] - swap), abs(rates[other] + swap)) < max(_ALIKE * abs(swap), 0.3 * LIMIT_DEG):
            said[int(one)] = EXCHANGED.format(rate=rates[one], other=tile.antenna_names[other])
            said[int(other)] = EXCHANGED.format(rate=rates[other], other=tile.antenna_names[one])
    return said


def rates_deg(phases: Solutions) -> NDArray[np.float64]:
    """How fast each antenna's phase turns against the array's median, degrees a minute, shape (slots,).

    NaN where fewer than three solutions hold or it is not sure.
    """
    minutes = (phases.times_mjd_s[:, 0] - phases.times_mjd_s[:, 0].mean()) / 60.0
    slots = phases.gains.shape[1]
    if minutes.size < 3:
        return np.full(slots, np.nan)
    angles = np.rad2deg(np.unwrap(np.angle(phases.gains[:, :, 0]), axis=0))  # (times, slots, receptors)
    spread = float(np.sum(minutes**2))
    slopes = np.einsum("t,tsr->sr", minutes, angles) / spread
    left = angles - angles.mean(axis=0) - minutes[:, None, None] * slopes
    errors = np.sqrt(np.sum(left**2, axis=0) / (minutes.size - 2) / spread)
    known = np.isfinite(slopes).all(axis=1)
    rate, error = slopes.mean(axis=1), errors.max(axis=1)
    rate = rate - np.median(rate[known]) if known.any() else rate
    return np.where(known & (np.abs(rate) > _ERRORS * error), rate, np.nan)


def _place_rates_deg(tile: MSInfo, calibrator: Calibrator) -> NDArray[np.float64]:
    """How fast the calibrator's phase turns at each antenna's place, degrees a minute, shape (slots,)."""
    site = Site.from_itrf(tile.antenna_positions_m[tile.antennas].mean(axis=0))
    ends_jd = mjd_s_to_jd(tile.mid_mjd_s + np.array([-30.0, 30.0]))
    before, after = itrf_directions(site, ends_jd, calibrator.ra_rad, calibrator.dec_rad)
    turns = tile.antenna_positions_m @ (after - before) * float(tile.freqs_hz.mean()) / C_M_S
    return np.asarray(360.0 * turns)
