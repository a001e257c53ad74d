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
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.solve.solving_data import SolvingData, average_channels, average_intervals
from contimg.tile.calibrate.solve.stefcal import solve_gains

Gains = NDArray[np.complex128]
Floats = NDArray[np.float64]


def solve_caltables(
    ms: MSInfo, data: SolvingData, directory: Path, reference: int, min_wavelengths: float, options: CalibrateOptions
) -> None:
    """Solve and write the caltables `<tile>.start`, `.phase`, `.bcal` and `.gcal` in a directory.

    Parameters
    ----------
    ms : metadata of the Measurement Set.
    data : what is solved on.
    directory : where the caltables are written.
    reference : slot of the reference antenna.
    min_wavelengths : length at mid-band of the baselines that the phases are solved on; 0 for all.
    options : of them, the minimum signal to noise of solutions, `bandpass_snr` and `gain_snr`, is used.

    Raises
    ------
    Transient : the disk is full.
    """
    shape = (len(ms.antenna_names), reference)
    steady = np.ones((data.times_mjd_s.size, shape[0], data.visibilities.shape[3]), dtype=np.complex128)
    middle = np.atleast_1d(np.average(data.times_mjd_s, weights=data.intervals_s))

    def write(kind: str, times_mjd_s: Floats, gains: Gains, snr: Floats) -> None:
        write_caltable(directory / f"{ms.name}.{kind}", ms, times_mjd_s, gains, snr, reference)

    start, snr = _solve_channels(data, steady, *shape, options.bandpass_snr, robust=False)
    write("start", middle, start[None], snr[None])
    lengths_m = np.linalg.norm(data.uvw_m, axis=2)
    is_long = lengths_m * float(ms.freqs_hz.mean()) / C_M_S >= min_wavelengths
    averaged, weights = average_channels(data, start)
    phases, phase_snr = _solve(
        averaged, weights * is_long[:, None], data, *shape, options.gain_snr, phase_only=True, robust=False
    )
    write("phase", data.times_mjd_s, phases[:, :, None], phase_snr[:, :, None])
    bandpass, snr = _solve_channels(data, phases, *shape, options.bandpass_snr)
    write("bcal", middle, bandpass[None], snr[None])
    averaged, weights = average_channels(data, bandpass)
    total = weights.sum(axis=0, keepdims=True)
    mean = np.divide((averaged * weights).sum(axis=0, keepdims=True), total, out=averaged[:1], where=total > 0)
    gains, snr = _solve(mean, total, data, *shape, options.gain_snr)
    write("gcal", middle, gains[:, :, None], snr[:, :, None])


def _solve_channels(
    data: SolvingData, phases: Gains, slots: int, reference: int, min_snr: float, robust: bool = True
) -> tuple[Gains, Floats]:  # fmt: skip
    """Solve a bandpass on all intervals together; gains and S/N have the shape (slots, channels, hands)."""
    gains, snr = _solve(*average_intervals(data, phases), data, slots, reference, min_snr, robust=robust)
    return np.moveaxis(gains, 1, 0), np.moveaxis(snr, 1, 0)


def _solve(
    averaged: Data, weights: NDArray[np.float32], data: SolvingData, slots: int, reference: int, min_snr: float,
    phase_only: bool = False, robust: bool = True,
) -> tuple[Gains, Floats]:  # fmt: skip
    """Solve averages of shape (batch, hands, baselines) by threads.

    Gives the gains, NaN without a solution, and their S/N as CASA has it, of shape (batch, slots, hands).
    """
    batch, hands, baselines = averaged.shape
    parts = np.array_split(np.arange(batch * hands), min(_count_threads(), batch * hands))
    flat, flat_weights = averaged.reshape(-1, baselines), weights.reshape(-1, baselines)

    def solve(part: NDArray[Any]) -> tuple[Gains, Floats]:
        rows = slice(part[0], part[-1] + 1)
        solutions = solve_gains(
            flat[rows], 1.0, flat_weights[rows], data.ant1, data.ant2, slots, phase_only=phase_only,
            reference_antenna=reference, robust=robust,
        )  # fmt: skip
        snr = solutions.snr / np.sqrt(2.0)  # CASA: over the rms of the complex error
        is_solved = ~solutions.flagged & (snr >= min_snr)
        return np.where(is_solved, solutions.gains, np.nan), np.where(is_solved, snr, np.nan)

    with ThreadPoolExecutor(len(parts)) as pool:
        gains, snr = (np.concatenate(column) for column in zip(*pool.map(solve, parts), strict=True))
    shape = (batch, hands, slots)
    return gains.reshape(shape).swapaxes(1, 2), snr.reshape(shape).swapaxes(1, 2)


def _count_threads() -> int:
    return max(1, int(os.environ.get("OMP_NUM_THREADS", "2")))
