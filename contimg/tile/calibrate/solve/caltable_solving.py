"""Solve the caltables of a set with StEFCal and write them.

A first bandpass takes out the delays (up to 1.7 microseconds: without it an average over the band is noise), then
phases per interval on the long baselines, the bandpass proper with those phases applied, and gains of amplitude and
phase on top of it. Outliers are clipped in the last two: the fringes of an antenna at a wrong position turn, which is
found in the phases, and would be outliers in the first two.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.formats.arrays import Data
from contimg.formats.caltables.writing import write_caltable
from contimg.formats.ms.info import MSInfo
from contimg.instrument.dsa110 import C_M_S
from contimg.quality.caltables import finite_median
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.solve.solving_data import SolvingData, average_channels, average_intervals
from contimg.tile.calibrate.solve.stefcal import solve_gains

Gains = NDArray[np.complex128]
Floats = NDArray[np.float64]


def solve_caltables(
    ms: MSInfo, data: SolvingData, directory: Path, reference: int, min_wavelengths: float, options: CalibrateOptions
) -> dict[str, float]:
    """Solve and write the caltables `<tile>.start`, `.phase`, `.bcal` and `.gcal` in a directory.

    Parameters
    ----------
    ms : metadata of the Measurement Set.
    data : what is solved on.
    directory : where the caltables are written.
    reference : slot of the reference antenna.
    min_wavelengths : length at mid-band of the baselines that the phases are solved on; 0 for all.
    options : of them, the minimum signal to noise of solutions, `bandpass_snr` and `gain_snr`, and what the gains are
        solved for, `gain_mode`, `gain_interval_s` and `gain_parts`, are used.

    Returns
    -------
    Median chi squared per degree of freedom of `.bcal` and `.gcal`, by file name, in units of the thermal noise; empty
    where the SEFD of the telescope is not known.

    Raises
    ------
    Transient : the disk is full.
    """
    shape = (len(ms.antenna_names), reference)
    steady = np.ones((data.times_mjd_s.size, shape[0], data.visibilities.shape[3]), dtype=np.complex128)
    middle = np.atleast_1d(np.average(data.times_mjd_s, weights=data.intervals_s))

    def write(kind: str, times_mjd_s: Floats, gains: Gains, snr: Floats) -> None:
        write_caltable(directory / f"{ms.name}.{kind}", ms, times_mjd_s, gains, snr, reference)

    start, snr, _ = _solve_channels(data, steady, *shape, options.bandpass_snr, robust=False)
    write("start", middle, start[None], snr[None])
    lengths_m = np.linalg.norm(data.uvw_m, axis=2)
    is_long = lengths_m * float(ms.freqs_hz.mean()) / C_M_S >= min_wavelengths
    averaged, weights = average_channels(data, start)
    phases, phase_snr, _ = _solve(
        averaged, weights * is_long[:, None], data, *shape, options.gain_snr, phase_only=True, robust=False
    )
    write("phase", data.times_mjd_s, phases[:, :, None], phase_snr[:, :, None])
    bandpass, snr, bandpass_chi2 = _solve_channels(data, phases, *shape, options.bandpass_snr)
    write("bcal", middle, bandpass[None], snr[None])
    times_mjd_s, gains, snr, gain_chi2 = _solve_gains(data, bandpass, reference, options)
    write("gcal", times_mjd_s, gains, snr)
    if ms.sefd_jy is None:
        return {}
    variance_jy2 = ms.sefd_jy**2 / (2.0 * ms.channel_width_hz * ms.integration_s)
    medians = {
        kind: float(finite_median(chi2.ravel(), axis=0)) / variance_jy2
        for kind, chi2 in (("bcal", bandpass_chi2), ("gcal", gain_chi2))
    }
    return {f"{ms.name}.{kind}": chi2 for kind, chi2 in medians.items() if np.isfinite(chi2)}


def _solve_channels(
    data: SolvingData, phases: Gains, slots: int, reference: int, min_snr: float, robust: bool = True
) -> tuple[Gains, Floats, Floats]:  # fmt: skip
    """Solve a bandpass on all intervals together; gains and S/N have the shape (slots, channels, hands)."""
    gains, snr, chi2 = _solve(*average_intervals(data, phases), data, slots, reference, min_snr, robust=robust)
    return np.moveaxis(gains, 1, 0), np.moveaxis(snr, 1, 0), chi2 / _mean_power(gains, axis=1) ** 2


def _solve_gains(
    data: SolvingData, bandpass: Gains, reference: int, options: CalibrateOptions
) -> tuple[Floats, Gains, Floats, Floats]:  # fmt: skip
    """Solve the gains on top of a bandpass: their times, gains, S/N and chi squared.

    Gains and S/N have the shape (times, slots, 1, hands), or (times, slots, channels, hands) with several parts of the
    band, whose gain is repeated in each of their channels.
    """
    slots, channels, _ = bandpass.shape
    count = data.times_mjd_s.size
    runs = round(float(data.intervals_s.sum()) / options.gain_interval_s) if options.gain_interval_s else 1
    starts = np.array([run[0] for run in np.array_split(np.arange(count), min(max(runs, 1), count))])
    length_s = np.add.reduceat(data.intervals_s, starts)
    times_mjd_s = np.add.reduceat(data.times_mjd_s * data.intervals_s, starts) / length_s
    parts = np.array_split(np.arange(channels), min(options.gain_parts, channels))
    columns = []
    for part in parts:
        masked = np.full_like(bandpass, np.nan)
        masked[:, part] = bandpass[:, part]
        averaged, weights = average_channels(data, masked)
        total = np.add.reduceat(weights, starts, axis=0)
        sums = np.add.reduceat(averaged * weights, starts, axis=0)
        mean = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
        gains, snr, chi2 = _solve(
            mean, total, data, slots, reference, options.gain_snr, phase_only=options.gain_mode == "phase"
        )
        power = _mean_power(masked, axis=(0, 1)) * _mean_power(gains, axis=1)
        width = 1 if len(parts) == 1 else part.size
        columns.append((*(np.repeat(values[:, :, None], width, axis=2) for values in (gains, snr)), chi2 / power**2))
    gains, snr = (np.concatenate([column[i] for column in columns], axis=2) for i in range(2))
    return times_mjd_s, gains, snr, np.stack([column[2] for column in columns])


def _mean_power(gains: Gains, axis: int | tuple[int, ...]) -> Floats:
    """Average |g|^2 over the solutions along axes; NaN without one."""
    is_solved = np.isfinite(gains)
    total = np.where(is_solved, np.abs(gains) ** 2, 0.0).sum(axis=axis)
    count = is_solved.sum(axis=axis)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))


def _solve(
    averaged: Data, weights: NDArray[np.float32], data: SolvingData, slots: int, reference: int, min_snr: float,
    phase_only: bool = False, robust: bool = True,
) -> tuple[Gains, Floats, Floats]:  # fmt: skip
    """Solve averages of shape (batch, hands, baselines) by threads.

    Gives the gains, NaN without a solution, and their S/N as CASA has it, of shape (batch, slots, hands), and chi
    squared per degree of freedom, of shape (batch, hands).
    """
    batch, hands, baselines = averaged.shape
    parts = np.array_split(np.arange(batch * hands), min(_count_threads(), batch * hands))
    flat, flat_weights = averaged.reshape(-1, baselines), weights.reshape(-1, baselines)

    def solve(part: NDArray[Any]) -> tuple[Gains, Floats, Floats]:
        rows = slice(part[0], part[-1] + 1)
        solutions = solve_gains(
            flat[rows], 1.0, flat_weights[rows], data.ant1, data.ant2, slots, phase_only=phase_only,
            reference_antenna=reference, robust=robust,
        )  # fmt: skip
        snr = solutions.snr / np.sqrt(2.0)  # CASA: over the rms of the complex error
        is_solved = ~solutions.flagged & (snr >= min_snr)
        return np.where(is_solved, solutions.gains, np.nan), np.where(is_solved, snr, np.nan), solutions.chi2

    with ThreadPoolExecutor(len(parts)) as pool:
        gains, snr, chi2 = (np.concatenate(column) for column in zip(*pool.map(solve, parts), strict=True))
    shape = (batch, hands, slots)
    return gains.reshape(shape).swapaxes(1, 2), snr.reshape(shape).swapaxes(1, 2), chi2.reshape(batch, hands)


def _count_threads() -> int:
    return max(1, int(os.environ.get("OMP_NUM_THREADS", "2")))
