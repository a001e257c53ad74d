"""Solve a tile's gains on its catalogued sources, and keep them only where they improve independent data.

The channels are split into two halves, every second one in each. Gains solved on one half are tested on the other:
the sum of Re(V M* g1* g2) is the flux of the sources that is recovered, and it rises only where the gains are more
right than wrong. Gains that follow the noise lower it.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from contimg.formats.arrays import Data
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.ms.info import MSInfo
from contimg.sky.catalogue import open_catalogue
from contimg.tile.calibrate.sky_gains.field import FieldModel, outside_field, read_field
from contimg.tile.calibrate.sky_gains.flux_scale import choose_mean, measure_flux_scale
from contimg.tile.calibrate.sky_gains.gains import SkyGains, SkyGainsResult
from contimg.tile.calibrate.sky_gains.products import BaselineSums, mean_freqs_hz, split_band, sum_products
from contimg.tile.calibrate.solve.stefcal import solve_gains

MIN_INTERVAL_S = 60.0
MIN_SNR = 5.0  # of a phase in an interval
MIN_GAIN = 0.0005  # of the flux on independent channels: phases of 1.3 deg rms cost as much
MIN_INTERVAL_GAIN = 0.003  # of a division over a coarser one: short intervals fit errors of the model
MIN_AMPLITUDE_SNR = 10.0  # of an amplitude, from the whole tile
MIN_AMPLITUDE_SCATTER = 0.02  # below it amplitudes do not matter
MIN_SCATTER_ERRORS = 1.5  # of the amplitudes, over their error
IMAGE_HALF_WIDTH_DEG = 2.0  # of an image of default size
OUTSIDE_SIGMA = 3.0
MAX_LOG_AMPLITUDE = float(np.log(3.0))
Gains = NDArray[np.complex128]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Solved:
    """Solutions of intervals: gains and S/N of shape (intervals, slots, receptors); S/N 0 where there is none."""

    gains: Gains
    snr: Floats


def solve_sky_gains(
    ms: MSInfo, inverse: Data, catalogue: str, min_apparent_jy: float, caltable_set: CaltableSet | None = None
) -> SkyGainsResult:
    """Solve gains on the catalogued sources in a tile's primary beam.

    Phases are solved for the whole tile and for shorter intervals down to a minute where the signal to noise allows
    it, and those that recover most flux on independent channels are kept; then amplitudes, one for the tile. Their mean
    is that of the caltable set, or the model's where the walk of the amplitudes explains the difference.

    Parameters
    ----------
    ms : metadata of the flagged Measurement Set; `antennas` are those that work.
    inverse : inverse gains of the caltable set, shape (times or 1, slots, channels, receptors).
    catalogue : file of the reference catalogue; empty without one.
    min_apparent_jy : flux through the primary beam that the brightest source has to have.
    caltable_set : the set, with the flux of its calibrator in the catalogue where this was compared.

    Returns
    -------
    The gains, or the reason why there are none, and what was measured.

    Raises
    ------
    Misconfigured : the file is not a catalogue.
    """
    if not catalogue:
        return SkyGainsResult(
            None, "no gains from the sky: no reference catalogue is installed, and no earlier mosaic has the field"
        )
    if np.isnan(ms.dish_diameter_m):
        return SkyGainsResult(None, "no gains from the sky: the primary beam is not known")
    edges = split_band(ms)
    opened = open_catalogue(catalogue)
    field = read_field(opened, ms, mean_freqs_hz(ms, edges))
    brightest_jy = float(field.mean_jy[0]) if field.mean_jy.size else 0.0
    if brightest_jy < min_apparent_jy:
        limits = f"{brightest_jy * 1e3:.0f} mJy apparent, {min_apparent_jy * 1e3:.0f} needed"
        reason = f"no gains from the sky: the brightest catalogued source has {limits}"
        return SkyGainsResult(None, reason, opened.label)
    catalogue_ratio = caltable_set.catalogue_flux_ratio(opened.label) if caltable_set else None
    result = choose_gains(ms, sum_products(ms, inverse, edges, field), field, catalogue_ratio)
    return replace(result, catalogue=opened.label)


def choose_gains(
    ms: MSInfo, sums: BaselineSums, field: FieldModel, catalogue_ratio: float | None = None
) -> SkyGainsResult:
    """Solve gains and choose those that are applied.

    Parameters
    ----------
    ms : metadata of the Measurement Set.
    sums : of its visibilities and the model.
    field : the model.
    catalogue_ratio : flux scale of the model over the caltable set's; None where it is not known.
    """
    noise_jy = _measure_noise(sums)  # of a sample of unit weight
    model_jy, total = float(field.mean_jy.sum()), sums.products.sum(axis=(0, 1))
    result = SkyGainsResult(None, "", sources=len(field.lmn), model_jy=round(model_jy, 5))
    whole = _solve_phases(ms, sums, [slice(None)], (0, 1))
    is_solved = whole.snr[0] > 0
    if not is_solved.any():
        return replace(result, reason="no gains from the sky: no antenna has a solution")
    thermal_jy = noise_jy / np.sqrt(2 * max(sums.weight, 1e-30))
    outside = outside_field(field, ms, IMAGE_HALF_WIDTH_DEG, OUTSIDE_SIGMA * thermal_jy)
    snr, variance = float(np.median(whole.snr[0][is_solved])), _measure_variance(whole)
    corrected = (total * _turn(whole.gains[0], sums)).real.sum()
    result = replace(
        result, snr=round(snr, 2), outside=outside, flux_ratio=round(float(corrected / sums.power.sum()), 4)
    )
    if snr < MIN_SNR:
        return replace(result, reason=f"no gains from the sky: their S/N would be {snr:.1f}, {MIN_SNR:g} needed")
    result = replace(result, phase_residual_deg=round(float(np.rad2deg(np.sqrt(variance))), 3))
    intervals, solved, gain = _choose_intervals(ms, sums)
    if variance < _rms_error(whole.snr) ** 2:
        error = f"{np.rad2deg(_rms_error(whole.snr)):.2g} deg of the gains"
        reason = f"no gains from the sky: the phase residual, {result.phase_residual_deg:.2g} deg, is below the error"
        return replace(result, reason=f"{reason}, {error}")
    if gain < MIN_GAIN:
        change = f"the flux on independent channels would change by {gain:+.2%}, {MIN_GAIN:+.2%} needed"
        reason = f"no gains from the sky: {change}"
        return replace(result, reason=reason)
    amplitude, amplitude_note = _solve_amplitudes(ms, sums, field, intervals, solved.gains, noise_jy, catalogue_ratio)
    snr = _median_snr(solved.snr)
    times_mjd_s = np.array([ms.times_mjd_s[interval].mean() for interval in intervals])
    phase_deg = np.rad2deg(np.angle(solved.gains))
    gains = SkyGains(ms.antenna_names, times_mjd_s, phase_deg, amplitude, solved.snr.mean(axis=0))
    spans = f"{len(intervals)} intervals" if len(intervals) > 1 else "the tile"
    reason = (
        f"gains from {len(field.lmn)} catalogued sources for {spans}, S/N {snr:.0f}: phase residual "
        f"{result.phase_residual_deg:.1f} deg, flux on independent channels +{gain:.2%}; {amplitude_note}"
    )
    return replace(result, gains=gains, reason=reason, snr=round(snr, 2))


def _turn(gains: Gains, sums: BaselineSums) -> Gains:
    """The factor g1* g2 that corrects each baseline, shape (baselines, receptors)."""
    return gains[sums.antenna1].conj() * gains[sums.antenna2]


def _measure_noise(sums: BaselineSums) -> float:
    """Measure the rms of a complex sample of unit weight from the difference of the band's halves."""
    products, power = sums.products.sum(axis=0), sums.power.sum(axis=0)
    both = (power > 0).all(axis=0)
    if not both.any():
        return 0.0
    products, power = products[:, both], power[:, both]
    squared = np.abs(products[0] / power[0] - products[1] / power[1]) ** 2 / (1 / power[0] + 1 / power[1])
    return float(np.sqrt(np.median(squared) / np.log(2)))  # |complex noise|² has the median ln 2


def _divide(ms: MSInfo) -> list[list[slice]]:
    """The divisions of a tile into intervals: whole, halves, and so on down to a minute."""
    times = len(ms.times_mjd_s)
    divisions, parts = [], 1
    while parts == 1 or times * ms.time_step_s / parts >= MIN_INTERVAL_S:
        bounds = np.linspace(0, times, parts + 1).round().astype(int)
        divisions.append([slice(int(i), int(j)) for i, j in pairwise(bounds)])
        parts *= 2
    return divisions


def _solve_phases(ms: MSInfo, sums: BaselineSums, intervals: list[slice], halves: tuple[int, ...]) -> _Solved:
    """Solve phases of each interval from halves of the band, of mean 0 over the antennas of each receptor."""
    products = np.stack([sums.products[interval][:, halves].sum(axis=(0, 1)) for interval in intervals])
    power = np.stack([sums.power[interval][:, halves].sum(axis=(0, 1)) for interval in intervals])
    gains, snr = _run_solver(ms, sums, products, power, phase_only=True)
    return _Solved(_without_mean(gains), snr)


def _run_solver(
    ms: MSInfo, sums: BaselineSums, products: Gains, power: Floats, *, phase_only: bool
) -> tuple[Gains, Floats]:
    """Solve a batch of problems, `products` and `power` of shape (intervals, baselines, receptors).

    The S/N follows from the scatter of the residuals: errors of the model lower it as noise does.
    """
    intervals, baselines, receptors = products.shape
    slots = len(ms.antenna_names)
    data = np.divide(products, power, out=np.zeros_like(products), where=power > 0)
    # The model's flux may be wrong: without a common scale its error would look like noise to the clipping.
    scale = np.abs(products).sum(axis=1, keepdims=True) / np.maximum(power.sum(axis=1, keepdims=True), 1e-30)
    data = np.moveaxis(data / np.maximum(scale, 1e-30), 2, 1).reshape(-1, baselines)
    weights = np.moveaxis(power, 2, 1).reshape(-1, baselines)
    weights = weights / max(float(weights.max()), 1e-30)
    solved = solve_gains(data, 1.0, weights, sums.antenna1, sums.antenna2, slots, phase_only=phase_only)
    gains = np.where(solved.flagged, np.nan, solved.gains)
    shape = intervals, receptors, slots
    return np.moveaxis(gains.reshape(shape), 1, 2), np.moveaxis(solved.snr.reshape(shape), 1, 2)


def _without_mean(gains: Gains) -> Gains:
    """Gains of mean phase 0 over the antennas; 1 where there is no solution."""
    mean = np.nansum(gains, axis=1, keepdims=True)
    return np.where(np.isfinite(gains), gains * np.exp(-1j * np.angle(mean)), 1.0)


def _measure_variance(solved: _Solved) -> float:
    """Measure the variance of the phases, rad², without that of their errors."""
    phases = np.angle(solved.gains[solved.snr > 0])
    return max(0.0, float(np.mean(phases**2)) - _rms_error(solved.snr) ** 2)


def _rms_error(snr: Floats) -> float:
    """The rms error of phases, rad, or of logarithms of amplitudes."""
    return float(np.sqrt(np.mean(1 / np.square(snr[snr > 0])))) if (snr > 0).any() else np.inf


def _choose_intervals(ms: MSInfo, sums: BaselineSums) -> tuple[list[slice], _Solved, float]:
    """Choose the division that recovers most flux on independent channels; give its phases and the flux's gain."""
    before = float(sums.products.real.sum())
    choices: list[tuple[list[slice], _Solved, float]] = []
    for intervals in _divide(ms):
        solved = _solve_phases(ms, sums, intervals, (0, 1))
        if choices and _median_snr(solved.snr) < MIN_SNR:
            break
        after = 0.0
        for half in (0, 1):
            trained = _solve_phases(ms, sums, intervals, (1 - half,)).gains
            after += float(_correct(sums.products[:, half], sums, intervals, trained).real.sum())
        gain = after / before - 1 if before > 0 else np.inf
        if not choices or gain > choices[-1][2] + MIN_INTERVAL_GAIN:
            choices.append((intervals, solved, gain))
    return choices[-1]


def _median_snr(snr: Floats) -> float:
    return float(np.median(snr[snr > 0])) if (snr > 0).any() else 0.0


def _correct(products: Gains, sums: BaselineSums, intervals: list[slice], gains: Gains) -> Gains:
    """Correct products, shape (times, baselines, receptors), with the phases of intervals, and sum over the tile."""
    corrected = [
        products[interval].sum(axis=0) * _turn(solution, sums)
        for interval, solution in zip(intervals, gains, strict=True)
    ]
    return np.asarray(sum(corrected))


def _solve_amplitudes(
    ms: MSInfo, sums: BaselineSums, field: FieldModel, intervals: list[slice], phases: Gains, noise_jy: float,
    catalogue_ratio: float | None,
) -> tuple[Floats, str]:  # fmt: skip
    """Solve amplitudes after the phases; all 1 where they do not lower the residual on independent channels."""
    products = [_correct(sums.products[:, half], sums, intervals, phases) for half in (0, 1)]
    power = [sums.power[:, half].sum(axis=0) for half in (0, 1)]
    amplitude, snr = _amplitudes(ms, sums, products[0] + products[1], power[0] + power[1])
    unit_amplitudes = np.ones_like(amplitude)
    if _median_snr(snr) < MIN_AMPLITUDE_SNR:
        return (
            unit_amplitudes,
            f"no amplitudes: their S/N would be {_median_snr(snr):.0f}, {MIN_AMPLITUDE_SNR:g} needed",
        )
    change = 0.0
    for half in (0, 1):
        trained, _ = _amplitudes(ms, sums, products[1 - half], power[1 - half])
        chi2 = [
            _measure_residual(products[half], power[half], products[1 - half], power[1 - half], gains, sums)
            for gains in (unit_amplitudes, trained)
        ]
        change += chi2[1] - chi2[0]
    if change >= 0:
        return unit_amplitudes, "no amplitudes: they would raise the residual on independent channels"
    scatter = float(np.std(np.log(amplitude[snr > 0])))
    least = max(MIN_AMPLITUDE_SCATTER, MIN_SCATTER_ERRORS * _rms_error(snr))
    if scatter < least:
        return unit_amplitudes, f"no amplitudes: their rms would be {scatter:.1%}, {least:.1%} needed"
    stops = [interval.stop for interval in intervals]
    kept_phases = phases[np.searchsorted(stops, sums.kept.times, side="right")]
    scale = measure_flux_scale(ms, sums, field, kept_phases * amplitude, noise_jy)
    mean, mean_note = choose_mean(scale, catalogue_ratio, scatter, _rms_error(snr), int(np.count_nonzero(snr > 0)))
    return amplitude * mean, f"amplitudes, rms {scatter:.1%}{mean_note}"


def _measure_residual(
    products: Gains, power: Floats, trained_products: Gains, trained_power: Floats, gains: Floats, sums: BaselineSums
) -> float:
    """Measure the sum of w |V - s a1 a2 M|², less that of w |V|², with the scale s of the channels that were solved."""
    model = gains[sums.antenna1] * gains[sums.antenna2]
    scale = (trained_products.real * model).sum(axis=0) / np.maximum((trained_power * model**2).sum(axis=0), 1e-30)
    model = scale * model
    return float((power * model**2 - 2 * products.real * model).sum())


def _amplitudes(ms: MSInfo, sums: BaselineSums, products: Gains, power: Floats) -> tuple[Floats, Floats]:
    """Amplitudes of geometric mean 1 over the antennas of each receptor, 1 without one, and S/N, (slots, receptors)."""
    gains, snr = _run_solver(ms, sums, products[None], power[None], phase_only=False)
    logarithm = np.log(np.maximum(np.abs(gains[0]), 1e-30))
    logarithm = np.clip(logarithm - np.nanmedian(logarithm, axis=0), -MAX_LOG_AMPLITUDE, MAX_LOG_AMPLITUDE)
    return np.exp(np.nan_to_num(logarithm - np.nanmean(logarithm, axis=0))), snr[0]
