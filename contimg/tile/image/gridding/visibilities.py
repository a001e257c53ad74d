"""Stokes I visibilities of a Measurement Set, read in blocks of rows and averaged in frequency on the way.

I = (XX + YY)/2, of samples where both are unflagged and finite. Autocorrelations are left out.
"""

from dataclasses import dataclass

import numba
import numpy as np
from casacore.tables import table
from numpy.typing import NDArray

from contimg.errors import BadInput
from contimg.formats.ms.info import MSInfo

BLOCK_BYTES = 32 << 20
PARALLEL_HANDS = (("XX", "YY"), ("RR", "LL"))


@dataclass(frozen=True)
class Rows:
    """The rows that go into an image, chosen before any visibility is read.

    Attributes
    ----------
    chosen : mask over the MS's rows.
    baselines : a number for each pair of antennas, shape (rows,).
    uvw_m : of the chosen rows, shape (rows, 3).
    times : index into `Description.times_mjd_s`, shape (rows,).
    weights : of Stokes I, shape (rows,); inverse variances if WEIGHT is.
    """

    chosen: NDArray[np.bool_]
    baselines: NDArray[np.int64]
    uvw_m: NDArray[np.float64]
    times: NDArray[np.int64]
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class Visibilities:
    """Averaged Stokes I.

    Attributes
    ----------
    uvw_m : shape (rows, 3), as in the MS.
    freqs_hz : shape (channels,), ascending.
    stokes_i : shape (rows, channels), complex64; 0 where the weight is 0.
    weights : natural weights, shape (rows, channels), float32; 0 where nothing is unflagged.
    row_weights : natural weight of one native sample of a row, shape (rows,).
    times : index into `Description.times_mjd_s`, shape (rows,).
    averaged : native channels in one.
    samples : native samples that went in, of `candidates` that the chosen rows hold.
    """

    uvw_m: NDArray[np.float64]
    freqs_hz: NDArray[np.float64]
    stokes_i: NDArray[np.complex64]
    weights: NDArray[np.float32]
    row_weights: NDArray[np.float32]
    times: NDArray[np.int64]
    averaged: int
    samples: int
    candidates: int

    @property
    def unflagged_fraction(self) -> float:
        """Part of the chosen rows' samples that are unflagged in both hands."""
        return self.samples / self.candidates if self.candidates else 0.0


def choose_rows(description: MSInfo) -> Rows:
    """Every cross-correlation that is not flagged as a whole and has weight, short ones too.

    Baselines too short for the image still count in the density that uniform and robust weights are made of.
    """
    hands = _parallel_hands(description)
    with table(str(description.path), ack=False) as main:
        first, second = main.getcol("ANTENNA1"), main.getcol("ANTENNA2")
        uvw, stamps, weight = main.getcol("UVW"), main.getcol("TIME"), main.getcol("WEIGHT")[:, hands]
        unflagged = ~main.getcol("FLAG_ROW")
    chosen = (first != second) & unflagged & (weight > 0).all(axis=1)
    # var I = (var XX + var YY)/4
    of_stokes_i = 4 / (1 / weight[chosen]).sum(axis=1)
    baselines = first[chosen].astype(np.int64) * len(description.antenna_names) + second[chosen]
    times = np.searchsorted(description.times_mjd_s, stamps[chosen])
    return Rows(chosen, baselines, np.ascontiguousarray(uvw[chosen]), times, of_stokes_i.astype(np.float32))


def read_visibilities(description: MSInfo, rows: Rows, column: str, averaged: int) -> Visibilities:
    """Read the chosen rows of a data column, averaging `averaged` channels (a divisor of their number) into one."""
    hands = _parallel_hands(description)
    freqs = description.freqs_hz.reshape(-1, averaged).mean(axis=1)
    stokes_i = np.empty((rows.uvw_m.shape[0], freqs.size), np.complex64)
    counts = np.empty(stokes_i.shape, np.float32)
    places = np.cumsum(rows.chosen) - 1
    # The same memory for every block: fresh pages for each would cost as much as the reading.
    shape = (_rows_at_once(description), description.freqs_hz.size, len(description.correlations))
    whole_data, whole_flag = np.empty(shape, np.complex64), np.empty(shape, np.bool_)
    with table(str(description.path), ack=False) as main:
        for start in range(0, description.rows, shape[0]):
            chosen = rows.chosen[start : start + shape[0]]
            if not chosen.any():
                continue
            data, flag = whole_data[: chosen.size], whole_flag[: chosen.size]
            main.getcolnp(column, data, start, chosen.size)
            main.getcolnp("FLAG", flag, start, chosen.size)
            _average(data, flag, np.flatnonzero(chosen), hands, averaged, places[start:], stokes_i, counts)
    samples = int(counts.sum(dtype=np.float64))
    counts *= rows.weights[:, None]
    candidates = stokes_i.shape[0] * description.freqs_hz.size
    return Visibilities(rows.uvw_m, freqs, stokes_i, counts, rows.weights, rows.times, averaged, samples, candidates)


@numba.njit(nogil=True, cache=True)
def _average(
    data: NDArray[np.complex64],
    flag: NDArray[np.bool_],
    chosen: NDArray[np.int64],
    hands: tuple[int, int],
    averaged: int,
    places: NDArray[np.int64],
    stokes_i: NDArray[np.complex64],
    counts: NDArray[np.float32],
) -> None:
    """Put the mean Stokes I of the unflagged channels in each bin, and their number, into the chosen rows' places."""
    first, second = hands
    for row in chosen:
        place = places[row]
        for to in range(stokes_i.shape[1]):
            total, count = np.complex64(0), 0
            for channel in range(to * averaged, (to + 1) * averaged):
                value = data[row, channel, first] + data[row, channel, second]
                unflagged = not (flag[row, channel, first] or flag[row, channel, second])
                if unflagged and np.isfinite(value.real) and np.isfinite(value.imag):
                    total += value
                    count += 1
            stokes_i[place, to] = total / np.float32(2 * max(count, 1))
            counts[place, to] = count


def _rows_at_once(description: MSInfo) -> int:
    row_bytes = description.freqs_hz.size * len(description.correlations) * 8
    return max(1, min(description.rows, BLOCK_BYTES // row_bytes))


def _parallel_hands(description: MSInfo) -> tuple[int, int]:
    names = description.correlations
    for first, second in PARALLEL_HANDS:
        if first in names and second in names:
            return names.index(first), names.index(second)
    raise BadInput(f"{description.path}: Stokes I needs XX and YY, the Measurement Set has {', '.join(names)}")
