"""Stokes I visibilities of a Measurement Set, read in blocks of rows and averaged in frequency.

I = (XX + YY)/2, of samples where both are unflagged and finite; where one hand has hardly any data, it is the other
one. Autocorrelations are left out, and rows whose weights or coordinates are no numbers: they would make the whole
image NaN.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadInput
from contimg.formats.ms.columns import read_calibration_record
from contimg.formats.ms.info import MSInfo
from contimg.formats.tables import open_table
from contimg.instrument.dsa110 import BAND, C_M_S, NAMES
from contimg.quality.calibration import CalibrationNumbers
from contimg.quality.grades import BAD
from contimg.tile.image.result import Calibration

BLOCK_BYTES = 32 << 20
MAX_AMPLITUDE_JY = 1e12
PARALLEL_HANDS = (("XX", "YY"), ("RR", "LL"))
MAX_PIXEL_ARCSEC = 6.0
ARCSEC_RAD = float(np.deg2rad(1 / 3600))
DIFFERENCE_SAMPLES = 2_000_000  # of which the half difference of the hands is kept


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
    hands : positions in `MSInfo.correlations` of the two that are added; the same twice where one is imaged alone.
    cross_rows : number of all cross-correlation rows of the MS.
    """

    mask: NDArray[np.bool_]
    baselines: NDArray[np.int64]
    uvw_m: NDArray[np.float64]
    times: NDArray[np.int64]
    weights: NDArray[np.float32]
    hands: tuple[int, int]
    cross_rows: int


class HalfDifference(NamedTuple):
    """(XX - YY)/2 of some rows of `Visibilities`, averaged as they are.

    Attributes
    ----------
    rows : their numbers, shape (some rows,), ascending.
    values : shape (some rows, channels), Jy.
    """

    rows: NDArray[np.int64]
    values: NDArray[np.complex64]


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
    samples, candidates : unflagged native samples, and all native samples of cross-correlations.
    hands : names of the correlations in Stokes I, such as ("XX", "YY"); one where it is imaged alone.
    channel_samples : unflagged native samples of each native channel, shape (native channels,).
    half_difference : difference of the hands in some rows; None where there is one hand.
    integrations : native integrations averaged into each row, shape (rows,), or the same number for all.
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
    hands: tuple[str, ...]
    channel_samples: NDArray[np.int64]
    half_difference: HalfDifference | None = None
    integrations: NDArray[np.int64] | int = 1

    @property
    def unflagged_fraction(self) -> float:
        """Fraction of the cross-correlations' samples that are unflagged in the hands that are imaged."""
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
    The column and its calibration. A column without a note has no grade, for it may be calibrated by another program.

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
    numbers = CalibrationNumbers.from_record(note)
    if note.get("set") is None:
        return Calibration(
            column,
            reason=str(note.get("reason") or "no reason was given"),
            grade=BAD if note else None,
            numbers=numbers,
        )
    mjd, hand_ratio = note.get("mjd"), note.get("hand_ratio")
    return Calibration(
        column, str(note["set"]), note.get("calibrator"), None if mjd is None else float(mjd),
        "; ".join(note.get("reasons", ())), note.get("grade"), None if hand_ratio is None else float(hand_ratio),
        numbers,
    )  # fmt: skip


def select_rows(ms: MSInfo, hands: tuple[int, int] | None = None) -> SelectedRows:
    """Select every cross-correlation with weight whose row is not flagged, and whose weight and uvw are numbers.

    Baselines that are too short for the image are included: they count in the density of uniform and robust weights.

    Parameters
    ----------
    ms : metadata of the Measurement Set.
    hands : positions of the correlations in Stokes I, whose weights count; both parallel hands when not given.
    """
    hands = hands or find_hands(ms)
    with open_table(ms.path) as main:
        ant1, ant2 = main.getcol("ANTENNA1"), main.getcol("ANTENNA2")
        uvw_m, times_mjd_s, weight = main.getcol("UVW"), main.getcol("TIME"), main.getcol("WEIGHT")[:, hands]
        unflagged = ~main.getcol("FLAG_ROW")
    is_cross = ant1 != ant2
    mask = is_cross & unflagged & ~(weight <= 0).any(axis=1) & ms.usable_rows
    # var I = (var XX + var YY)/4
    stokes_i_weights = 4 / (1 / weight[mask]).sum(axis=1)
    baselines = ant1[mask].astype(np.int64) * len(ms.antenna_names) + ant2[mask]
    times = np.searchsorted(ms.times_mjd_s, times_mjd_s[mask])
    uvw_m, weights = np.ascontiguousarray(uvw_m[mask]), stokes_i_weights.astype(np.float32)
    return SelectedRows(mask, baselines, uvw_m, times, weights, hands, int(np.count_nonzero(is_cross)))


def read_visibilities(ms: MSInfo, rows: SelectedRows, column: str, channel_average: int) -> Visibilities:
    """Read the selected rows of a data column as Stokes I, averaged in frequency.

    Parameters
    ----------
    ms, rows : the Measurement Set and its selected rows.
    column : DATA or CORRECTED_DATA.
    channel_average : native channels averaged into one; a divisor of their number.
    """
    hands, channels = rows.hands, ms.freqs_hz.size
    freqs_hz = ms.freqs_hz.reshape(-1, channel_average).mean(axis=1)
    stokes_i = np.empty((rows.uvw_m.shape[0], freqs_hz.size), np.complex64)
    counts = np.empty(stokes_i.shape, np.float32)
    channel_samples = np.zeros(channels, np.int64)
    difference, slots = _allocate_difference(stokes_i.shape, hands)
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
            _average(
                data, flag, np.flatnonzero(mask), hands, channel_average, targets[start:], slots, stokes_i, counts,
                channel_samples, difference.values,
            )  # fmt: skip
    samples = int(counts.sum(dtype=np.float64))
    counts *= rows.weights[:, None]
    return Visibilities(
        rows.uvw_m, freqs_hz, stokes_i, counts, rows.weights, rows.times, channel_average, samples,
        rows.cross_rows * channels, tuple(dict.fromkeys(ms.correlations[hand] for hand in hands)), channel_samples,
        difference if difference.rows.size else None,
    )  # fmt: skip


def find_missing_subbands(ms: MSInfo, channel_samples: NDArray[np.int64]) -> tuple[int, ...]:
    """Find the subbands that a Measurement Set has channels of, but no unflagged sample.

    Parameters
    ----------
    ms : metadata of the Measurement Set; one of another telescope has no subbands.
    channel_samples : unflagged samples of each channel, shape (channels,).
    """
    if ms.telescope not in NAMES:
        return ()
    steps = np.floor((BAND.top_hz - ms.freqs_hz) / BAND.subband_width_hz).astype(np.int64)
    subbands = {above: BAND.subbands_above(int(above)) for above in np.unique(steps) if 0 <= above < BAND.subbands}
    return tuple(sorted(number for above, number in subbands.items() if not channel_samples[steps == above].any()))


def _allocate_difference(shape: tuple[int, int], hands: tuple[int, int]) -> tuple[HalfDifference, NDArray[np.int64]]:
    """The half difference of some rows, chosen at random, and the place of every row in it; -1 of those left out."""
    slots = np.full(shape[0], -1)
    is_kept = np.zeros(shape[0], dtype=bool)
    if hands[0] != hands[1]:
        is_kept = np.random.default_rng(0).random(shape[0]) * shape[0] * shape[1] < DIFFERENCE_SAMPLES
    rows = np.flatnonzero(is_kept)
    slots[rows] = np.arange(rows.size)
    return HalfDifference(rows, np.zeros((rows.size, shape[1]), np.complex64)), slots


@numba.njit(nogil=True, cache=True)
def _average(
    data: NDArray[np.complex64], flag: NDArray[np.bool_], selected: NDArray[np.int64], hands: tuple[int, int],
    channel_average: int, targets: NDArray[np.int64], slots: NDArray[np.int64], stokes_i: NDArray[np.complex64],
    counts: NDArray[np.float32], channel_samples: NDArray[np.int64], difference: NDArray[np.complex64],
) -> None:  # fmt: skip
    """Write mean Stokes I and number of the unflagged channels of each bin to the selected rows' targets.

    The mean half difference of the hands is written to the slots of the targets that have one.
    """
    hand1, hand2 = hands
    for row in selected:
        target = targets[row]
        for bin_ in range(stokes_i.shape[1]):
            total, total_difference, count = np.complex64(0), np.complex64(0), 0
            for channel in range(bin_ * channel_average, (bin_ + 1) * channel_average):
                value = data[row, channel, hand1] + data[row, channel, hand2]
                unflagged = not (flag[row, channel, hand1] or flag[row, channel, hand2])
                if unflagged and abs(value.real) < MAX_AMPLITUDE_JY and abs(value.imag) < MAX_AMPLITUDE_JY:
                    total += value
                    total_difference += data[row, channel, hand1] - data[row, channel, hand2]
                    count += 1
                    channel_samples[channel] += 1
            stokes_i[target, bin_] = total / np.float32(2 * max(count, 1))
            counts[target, bin_] = count
            if slots[target] >= 0:
                difference[slots[target], bin_] = total_difference / np.float32(2 * max(count, 1))


def find_hands(ms: MSInfo) -> tuple[int, int]:
    """Find the positions of the two correlations that make Stokes I; the same twice where there is one hand.

    Parameters
    ----------
    ms : metadata of the Measurement Set.

    Raises
    ------
    BadInput : it has neither Stokes I nor a parallel hand.
    """
    names = ms.correlations
    if "I" in names:
        return names.index("I"), names.index("I")
    for pair in PARALLEL_HANDS:
        hands = [names.index(hand) for hand in pair if hand in names]
        if hands:
            return hands[0], hands[-1]
    raise BadInput(
        f"{ms.path}: Stokes I needs I, or XX and YY, or RR and LL; the Measurement Set has {', '.join(names)}"
    )
