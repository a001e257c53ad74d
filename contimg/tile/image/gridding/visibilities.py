"""Stokes I visibilities of a Measurement Set, read in blocks of rows and averaged in frequency.

I = (XX + YY)/2, of samples where both are unflagged and finite. Autocorrelations are left out, and rows whose weights
or coordinates are no numbers: they would make the whole image NaN.
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadInput
from contimg.formats.ms.columns import read_calibration_record
from contimg.formats.ms.info import MSInfo
from contimg.formats.tables import open_table
from contimg.instrument.dsa110 import C_M_S
from contimg.tile.image.result import Calibration

BLOCK_BYTES = 32 << 20
MAX_AMPLITUDE_JY = 1e12
PARALLEL_HANDS = (("XX", "YY"), ("RR", "LL"))
MAX_PIXEL_ARCSEC = 6.0
PIXELS_PER_FRINGE = 2.6  # of the longest baseline; the Nyquist limit is 2
ARCSEC_RAD = float(np.deg2rad(1 / 3600))


@dataclass(frozen=True)
class SelectedRows:
    """Rows of a Measurement Set that go into an image, selected before visibilities are read.

    Attributes
    ----------
    mask : over the rows of the MS, shape (MS rows,).
    baselines : a number for each pair of antennas, shape (rows,).
    uvw_m : shape (rows, 3).
    times : index into `MSInfo.times_mjd_s`, shape (rows,).
    weights : of Stokes I, shape (rows,); inverse variances if WEIGHT is.
    unusable : number of rows left out because WEIGHT or UVW is not finite or out of range.
    """

    mask: NDArray[np.bool_]
    baselines: NDArray[np.int64]
    uvw_m: NDArray[np.float64]
    times: NDArray[np.int64]
    weights: NDArray[np.float32]
    unusable: int = 0


@dataclass(frozen=True)
class Visibilities:
    """Averaged Stokes I visibilities.

    Attributes
    ----------
    uvw_m : shape (rows, 3), as in the MS.
    freqs_hz : shape (channels,), ascending.
    stokes_i : shape (rows, channels), complex64; 0 where the weight is 0.
    weights : natural weights, shape (rows, channels), float32; 0 where no sample is unflagged.
    row_weights : natural weight of one native sample of a row, shape (rows,).
    times : index into `MSInfo.times_mjd_s`, shape (rows,).
    channel_average : native channels averaged into one.
    samples, candidates : unflagged native samples, and all native samples of the selected and the unusable rows.
    """

    uvw_m: NDArray[np.float64]
    freqs_hz: NDArray[np.float64]
    stokes_i: NDArray[np.complex64]
    weights: NDArray[np.float32]
    row_weights: NDArray[np.float32]
    times: NDArray[np.int64]
    channel_average: int
    samples: int
    candidates: int

    @property
    def unflagged_fraction(self) -> float:
        """Fraction of the selected rows' samples that are unflagged in both hands."""
        return self.samples / self.candidates if self.candidates else 0.0

    @property
    def longest_baseline_lambda(self) -> float:
        """Longest projected baseline that has weight, wavelengths."""
        length_m = np.hypot(self.uvw_m[:, 0], self.uvw_m[:, 1])
        highest_hz = np.where(self.weights > 0, self.freqs_hz[None, :], 0).max(axis=1)
        return float((length_m * highest_hz).max() / C_M_S)


def read_calibration(ms: MSInfo) -> Calibration:
    """Choose the column to image, CORRECTED_DATA before DATA, and read the note on its calibration.

    Parameters
    ----------
    ms : metadata of the Measurement Set.

    Returns
    -------
    The column and its calibration; uncalibrated, with the reason, where the column has no note.

    Raises
    ------
    BadInput : the Measurement Set has neither column.
    """
    column = next((name for name in ("CORRECTED_DATA", "DATA") if name in ms.columns), None)
    if column is None:
        raise BadInput(f"{ms.path}: has neither CORRECTED_DATA nor DATA; convert the group again")
    with open_table(ms.path) as main:
        note = read_calibration_record(main, column)
    if note is None:
        return Calibration(column, reason=f"{column} has no note of its calibration")
    if note.get("set") is None:
        return Calibration(column, reason=str(note.get("reason") or "no reason was given"))
    mjd = note.get("mjd")
    return Calibration(column, str(note["set"]), note.get("calibrator"), None if mjd is None else float(mjd))


def choose_pixel_arcsec(visibilities: Visibilities) -> float:
    """Choose a pixel that samples the longest baseline's fringe, rounded down to 0.1 arcsec, at most 6 arcsec.

    Parameters
    ----------
    visibilities : their longest baseline with weight counts, in wavelengths.
    """
    pixel_arcsec = 1 / (PIXELS_PER_FRINGE * visibilities.longest_baseline_lambda) / ARCSEC_RAD
    return float(min(MAX_PIXEL_ARCSEC, max(0.1, np.floor(pixel_arcsec * 10) / 10)))


def select_rows(ms: MSInfo) -> SelectedRows:
    """Select every cross-correlation with weight whose row is not flagged, and whose weight and uvw are numbers.

    Baselines that are too short for the image are included: they count in the density of uniform and robust weights.

    Parameters
    ----------
    ms : metadata of the Measurement Set; the weights are those of both parallel hands.
    """
    hands = _parallel_hands(ms)
    with open_table(ms.path) as main:
        ant1, ant2 = main.getcol("ANTENNA1"), main.getcol("ANTENNA2")
        uvw_m, times_mjd_s, weight = main.getcol("UVW"), main.getcol("TIME"), main.getcol("WEIGHT")[:, hands]
        unflagged = ~main.getcol("FLAG_ROW")
    candidates = (ant1 != ant2) & unflagged & ~(weight <= 0).any(axis=1)
    mask, unusable = candidates & ms.usable_rows, int(np.count_nonzero(candidates & ~ms.usable_rows))
    # var I = (var XX + var YY)/4
    stokes_i_weights = 4 / (1 / weight[mask]).sum(axis=1)
    baselines = ant1[mask].astype(np.int64) * len(ms.antenna_names) + ant2[mask]
    times = np.searchsorted(ms.times_mjd_s, times_mjd_s[mask])
    uvw_m, weights = np.ascontiguousarray(uvw_m[mask]), stokes_i_weights.astype(np.float32)
    return SelectedRows(mask, baselines, uvw_m, times, weights, unusable)


def read_visibilities(ms: MSInfo, rows: SelectedRows, column: str, channel_average: int) -> Visibilities:
    """Read the selected rows of a data column as Stokes I, averaged in frequency.

    Parameters
    ----------
    ms, rows : the Measurement Set and its selected rows.
    column : DATA or CORRECTED_DATA.
    channel_average : native channels averaged into one; a divisor of their number.
    """
    hands, channels = _parallel_hands(ms), ms.freqs_hz.size
    freqs_hz = ms.freqs_hz.reshape(-1, channel_average).mean(axis=1)
    stokes_i = np.empty((rows.uvw_m.shape[0], freqs_hz.size), np.complex64)
    counts = np.empty(stokes_i.shape, np.float32)
    targets = np.cumsum(rows.mask) - 1
    # The same buffers for every block: allocating fresh pages would cost as much as reading.
    block_rows = max(1, min(ms.rows, BLOCK_BYTES // (channels * len(ms.correlations) * 8)))
    shape = (block_rows, channels, len(ms.correlations))
    data_buffer, flag_buffer = np.empty(shape, np.complex64), np.empty(shape, np.bool_)
    with open_table(ms.path) as main:
        for start in range(0, ms.rows, block_rows):
            mask = rows.mask[start : start + block_rows]
            if not mask.any():
                continue
            data, flag = data_buffer[: mask.size], flag_buffer[: mask.size]
            main.getcolnp(column, data, start, mask.size)
            main.getcolnp("FLAG", flag, start, mask.size)
            _average(data, flag, np.flatnonzero(mask), hands, channel_average, targets[start:], stokes_i, counts)
    samples = int(counts.sum(dtype=np.float64))
    counts *= rows.weights[:, None]
    candidates = (stokes_i.shape[0] + rows.unusable) * channels
    return Visibilities(
        rows.uvw_m, freqs_hz, stokes_i, counts, rows.weights, rows.times, channel_average, samples, candidates
    )


@numba.njit(nogil=True, cache=True)
def _average(
    data: NDArray[np.complex64], flag: NDArray[np.bool_], selected: NDArray[np.int64], hands: tuple[int, int],
    channel_average: int, targets: NDArray[np.int64], stokes_i: NDArray[np.complex64], counts: NDArray[np.float32],
) -> None:  # fmt: skip
    """Write mean Stokes I and number of the unflagged channels of each bin to the selected rows' targets."""
    hand1, hand2 = hands
    for row in selected:
        target = targets[row]
        for bin_ in range(stokes_i.shape[1]):
            total, count = np.complex64(0), 0
            for channel in range(bin_ * channel_average, (bin_ + 1) * channel_average):
                value = data[row, channel, hand1] + data[row, channel, hand2]
                unflagged = not (flag[row, channel, hand1] or flag[row, channel, hand2])
                if unflagged and abs(value.real) < MAX_AMPLITUDE_JY and abs(value.imag) < MAX_AMPLITUDE_JY:
                    total += value
                    count += 1
            stokes_i[target, bin_] = total / np.float32(2 * max(count, 1))
            counts[target, bin_] = count


def _parallel_hands(ms: MSInfo) -> tuple[int, int]:
    names = ms.correlations
    if "I" in names:
        return names.index("I"), names.index("I")
    for hand1, hand2 in PARALLEL_HANDS:
        if hand1 in names and hand2 in names:
            return names.index(hand1), names.index(hand2)
    raise BadInput(
        f"{ms.path}: Stokes I needs I, or XX and YY, or RR and LL; the Measurement Set has {', '.join(names)}"
    )
