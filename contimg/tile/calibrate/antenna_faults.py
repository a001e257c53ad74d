"""Antennas with power but without usable fringes of the calibrator, and what is wrong with each.

Crossed receptors: with X and Y exchanged at one antenna, XX is the product of two independent polarisations and shows
no fringes of an unpolarised source but the leakage between the receptors. Two such antennas fringe with one another.
A single one shows its leakage against the healthy antennas added in phase towards the calibrator; one without leakage
cannot be told from one without signal.

Wrong positions: an antenna at x' that is taken to be at x keeps a phase of 2 pi nu/c (x' - x).s towards the calibrator
s, which turns as the Earth does. Two antennas with exchanged cables turn against one another, at a rate that follows
from their positions.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from contimg.formats.arrays import Rows
from contimg.formats.caltables.solutions import Solutions
from contimg.formats.ms.info import MSInfo
from contimg.instrument.calibrators import Calibrator
from contimg.instrument.coordinates import Site, itrf_directions
from contimg.instrument.dsa110 import C_M_S
from contimg.instrument.time import mjd_s_to_jd
from contimg.quality.caltables import finite_median
from contimg.tile.calibrate.solve.solving_data import SolvingData

CROSSED = "receptors crossed: fringes only with other crossed antennas"
LEAKING = "receptors crossed, most likely: {share:.1%} of the fringes that its power is worth, as leakage leaves"
TURNING = "fringes turn from minute to minute: its position is wrong, or its cable another antenna's"
BLIND = "no fringes of the calibrator: receptors crossed without leakage, position far wrong, or no signal"
EXCHANGED = "phases turn by {rate:+.0f} deg a minute, as at the position of {other}: their cables are exchanged"
MISPLACED = "phases turn by {rate:+.0f} deg a minute: its position is wrong, or its cable another antenna's"
MIN_FRINGING = 0.25  # of the baselines
FAINT = 0.2  # of the fringes that the array has for the same total power; leakage is a few per cent
LIMIT_DEG = 15.0  # a minute; the atmosphere turns the longest baseline by a tenth of it
_PADDING = 4
_DETECTED = 8.0  # peak of the delay spectrum over its rms; noise alone reaches 5
_MIN_ERRORS = 4.0  # standard errors by which a rate must differ from 0
_SIMILAR = 0.15  # fraction by which rates may differ from those of an exchange
Gains = NDArray[np.complex128]
Floats = NDArray[np.float64]


def find_faint_antennas(gains: Gains, powers: Floats) -> list[int]:
    """Find antennas whose gains are far too small for their total power in both receptors: they hold leakage alone.

    Parameters
    ----------
    gains : shape (slots, channels, receptors), NaN without a solution.
    powers : mean autocorrelations, shape (slots,).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        share = finite_median(np.abs(gains) ** 2 / powers[:, None, None], axis=1)
        is_faint = share < FAINT**2 * finite_median(share, axis=(0, 1))
    return [int(slot) for slot in np.flatnonzero(is_faint.all(axis=1))]


def explain_missing_fringes(
    data: SolvingData, names: Sequence[str], blind: Sequence[str], gains: Gains
) -> dict[str, str]:  # fmt: skip
    """Explain why antennas have no solution.

    Parameters
    ----------
    data : what was solved on.
    names : of all slots.
    blind : names of the antennas without a solution.
    gains : of the healthy antennas, NaN of the others, shape (slots, channels, receptors).

    Returns
    -------
    The reason for each of `blind`, by name.
    """
    slots = [names.index(name) for name in blind]
    crossed: set[int] = set()
    for i, j in combinations(sorted(slots), 2):
        baselines = np.flatnonzero((data.ant1 == i) & (data.ant2 == j))
        if baselines.size and _has_fringes(data, baselines):
            crossed |= {i, j}
    return {names[slot]: CROSSED if slot in crossed else _explain_antenna(data, slot, gains) for slot in slots}


def has_fringes(data: SolvingData, slot: int) -> bool:
    """Whether an antenna shows fringes of the calibrator on a quarter of its baselines or more.

    Parameters
    ----------
    data : what is solved on.
    slot : of the antenna.
    """
    baselines = np.flatnonzero(((data.ant1 == slot) | (data.ant2 == slot)) & data.weights.any(axis=(0, 2, 3)))
    lines = data.visibilities[:, baselines].mean(axis=0)
    fringing = np.count_nonzero((_delay_peaks(lines) > _DETECTED).any(axis=1))
    return bool(fringing > 0 and fringing >= MIN_FRINGING * baselines.size)


def _explain_antenna(data: SolvingData, slot: int, gains: Gains) -> str:
    """Explain an antenna by its fringes with all healthy ones together."""
    by_minute = _solve_antenna(data, slot, gains)
    lines = by_minute.mean(axis=0)
    if _delay_peaks(lines).max() > _DETECTED:
        peaks = np.abs(np.fft.fft(lines, _PADDING * len(lines), axis=0)).max(axis=0) / len(lines)
        usual = np.nanmedian(np.abs(gains) ** 2 / data.total_powers[:, None, None])
        return LEAKING.format(share=np.sqrt(np.mean(peaks**2) / data.total_powers[slot] / usual))
    turning = np.mean(_delay_peaks(by_minute).max(axis=1) > _DETECTED)
    return TURNING if turning >= 0.5 else BLIND


def _solve_antenna(data: SolvingData, slot: int, gains: Gains) -> Gains:
    """Solve an antenna's gain by least squares, its partners' gains known, shape (minutes, channels, receptors)."""
    is_own_baseline = (data.ant1 == slot) | (data.ant2 == slot)
    is_second = data.ant2[is_own_baseline] == slot
    visibilities = data.visibilities[:, is_own_baseline]
    visibilities = np.where(is_second[:, None, None], visibilities.conj(), visibilities)
    partner = gains[np.where(is_second, data.ant1[is_own_baseline], data.ant2[is_own_baseline])]
    good = (data.weights[:, is_own_baseline] > 0) & np.isfinite(partner)
    products = np.where(good, visibilities * partner, 0).sum(axis=1)
    power = np.where(good, np.abs(partner) ** 2, 0).sum(axis=1)
    return np.asarray(np.divide(products, power, out=np.zeros_like(products), where=power > 0))


def _has_fringes(data: SolvingData, baselines: Rows) -> bool:
    """Whether a baseline shows a delay in any receptor, its minutes added in phase."""
    lines = data.visibilities[:, baselines].mean(axis=(0, 1))
    return bool(_delay_peaks(lines).max() > _DETECTED)


def _delay_peaks(lines: NDArray[np.complexfloating]) -> Floats:
    """Compute the peak over the rms of the delay spectra of lines of shape (..., channels, hands)."""
    spectra = np.abs(np.fft.fft(lines, _PADDING * lines.shape[-2], axis=-2))
    return np.asarray(spectra.max(axis=-2) / np.maximum(np.sqrt(np.mean(spectra**2, axis=-2)), 1e-30))


def find_turning_antennas(phases: Solutions, ms: MSInfo, calibrator: Calibrator) -> dict[int, str]:
    """Find antennas whose phases turn within the transit: they are not where the antenna table has them.

    Parameters
    ----------
    phases : solutions by the minute.
    ms : metadata of the Measurement Set.
    calibrator : the source that was solved on.

    Returns
    -------
    Their slots, and the reason of each.
    """
    rates = _measure_rates_deg(phases)
    slots = [int(slot) for slot in np.flatnonzero(np.abs(np.nan_to_num(rates)) > LIMIT_DEG) if slot in ms.antennas]
    expected = _position_rates_deg(ms, calibrator)
    reasons = {slot: MISPLACED.format(rate=rates[slot]) for slot in slots}
    for i, j in combinations(slots, 2):
        swap = expected[j] - expected[i]
        if max(abs(rates[i] - swap), abs(rates[j] + swap)) < max(_SIMILAR * abs(swap), 0.3 * LIMIT_DEG):
            reasons[i] = EXCHANGED.format(rate=rates[i], other=ms.antenna_names[j])
            reasons[j] = EXCHANGED.format(rate=rates[j], other=ms.antenna_names[i])
    return reasons


def _measure_rates_deg(phases: Solutions) -> Floats:
    """Measure the rate of each antenna's phase against the array's median, degrees a minute, shape (slots,).

    NaN where fewer than three solutions are valid or the rate is not significant.
    """
    minutes = (phases.times_mjd_s[:, 0] - phases.times_mjd_s[:, 0].mean()) / 60.0
    if minutes.size < 3:
        return np.full(phases.gains.shape[1], np.nan)
    angles = np.rad2deg(np.unwrap(np.angle(phases.gains[:, :, 0]), axis=0))  # (times, slots, receptors)
    spread = float(np.sum(minutes**2))
    slopes = np.einsum("t,tsr->sr", minutes, angles) / spread
    residuals = angles - angles.mean(axis=0) - minutes[:, None, None] * slopes
    errors = np.sqrt(np.sum(residuals**2, axis=0) / (minutes.size - 2) / spread)
    is_known = np.isfinite(slopes).all(axis=1)
    rate, error = slopes.mean(axis=1), errors.max(axis=1)
    rate = rate - np.median(rate[is_known]) if is_known.any() else rate
    return np.where(is_known & (np.abs(rate) > _MIN_ERRORS * error), rate, np.nan)


def _position_rates_deg(ms: MSInfo, calibrator: Calibrator) -> Floats:
    """Compute the rate of the calibrator's phase at each antenna's position, degrees a minute, shape (slots,)."""
    site = Site.from_itrf(ms.antenna_positions_m[ms.antennas].mean(axis=0))
    ends_jd = mjd_s_to_jd(ms.mid_mjd_s + np.array([-30.0, 30.0]))
    before, after = itrf_directions(site, ends_jd, calibrator.ra_rad, calibrator.dec_rad)
    turns = ms.antenna_positions_m @ (after - before) * float(ms.freqs_hz.mean()) / C_M_S
    return np.asarray(360.0 * turns)
