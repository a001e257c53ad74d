"""The convert stage: the subband files of one group become one Measurement Set."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadFile, BadInput
from contimg.measurement_set import geometry
from contimg.measurement_set.fringe import rotate_block
from contimg.measurement_set.subtables import write_subtables
from contimg.measurement_set.writer import MainTable
from contimg.options import option
from contimg.staging import size_bytes, staged
from contimg.tile import Tile, read_tile
from contimg.uvh5 import SubbandHeader, SubbandReader

ENVIRONMENT = "CONTIMG_CONVERT"
UVW_TOLERANCE_M = 0.05  # the file's uvw are float32 of kilometres and of a simpler earth model


@dataclass(frozen=True)
class ConvertOptions:
    """How to convert a group."""

    block_mb: int = option(32, "size of the block of one subband that is read and rotated at once", minimum=1)


@dataclass(frozen=True)
class MeasurementSet:
    """The product of the convert stage.

    Attributes
    ----------
    path : the Measurement Set.
    group : the group's name.
    start_mjd, end_mjd : begin of the first and end of the last integration, UTC, days.
    ra_deg, dec_deg : phase centre, ICRS.
    rows, channels, antennas : its size; antennas with data.
    subbands : how many files went in.
    missing : subbands left as flagged gaps.
    flagged_fraction : of the values of the subbands that are there.
    bytes_read, bytes_written, seconds : the work.
    """

    path: Path
    group: str
    start_mjd: float
    end_mjd: float
    ra_deg: float
    dec_deg: float
    rows: int
    channels: int
    antennas: int
    subbands: int
    missing: tuple[int, ...]
    flagged_fraction: float
    bytes_read: int
    bytes_written: int
    seconds: float


def convert(files: Mapping[int, Path], target: Path, options: ConvertOptions | None = None) -> MeasurementSet:
    """Convert one group of subband files into the Measurement Set `target`.

    The phase centre is the meridian at mid-tile, expressed in ICRS; see docs/maths.md.

    Parameters
    ----------
    files : path by subband number, as the names say; a missing subband becomes a flagged gap.
    target : `<group>.ms`; replaced when it exists.

    Raises
    ------
    BadFile naming the file that spoils the group; Transient when the disk is full or a file cannot be reached.
    """
    began = perf_counter()
    options = options or ConvertOptions()
    tile = read_tile(files)
    header = tile.reference
    site = geometry.Site.at(header.centre_m)
    middle = np.array([0.5 * (header.times_jd[0] + header.times_jd[-1])])
    phase_centre = geometry.meridian_icrs(site, middle, header.pointing_dec_rad)[0]
    baselines = _Baselines.of(header)
    name = target.name.removesuffix(".ms")
    with staged(target) as temporary:
        with MainTable(temporary, tile) as main:
            uvw_m = _uvw(header, baselines, site, phase_centre)
            main.put_rows(baselines.antenna_1, baselines.antenna_2, uvw_m)
            flagged = _put_visibilities(main, tile, baselines, site, uvw_m, options)
        pointing = geometry.meridian_icrs(site, header.times_jd, header.pointing_dec_rad)
        write_subtables(temporary, tile, name, phase_centre, pointing)
        written = size_bytes(temporary)
    half = 0.5 * header.integration_s / 86400
    return MeasurementSet(
        path=target,
        group=name,
        start_mjd=float(header.times_jd[0] - 2400000.5 - half),
        end_mjd=float(header.times_jd[-1] - 2400000.5 + half),
        ra_deg=float(np.rad2deg(phase_centre[0])),
        dec_deg=float(np.rad2deg(phase_centre[1])),
        rows=header.rows,
        channels=tile.freqs_hz.size,
        antennas=int(np.unique([baselines.antenna_1, baselines.antenna_2]).size),
        subbands=len(tile.headers),
        missing=tile.missing,
        flagged_fraction=flagged,
        bytes_read=sum(one.path.stat().st_size for one in tile.headers.values()),
        bytes_written=written,
        seconds=perf_counter() - began,
    )


@dataclass(frozen=True)
class _Baselines:
    """The baselines of one integration in the Measurement Set's order, and how the file's order maps to it.

    Attributes
    ----------
    antenna_1, antenna_2 : slots, sorted, antenna_1 <= antenna_2, shape (baselines,).
    lengths_m : position of antenna 1 minus position of antenna 2, ITRF, shape (baselines, 3).
    place : where each of the file's baselines goes, shape (baselines,).
    swapped : in the file's order, whether its antennas change places.
    """

    antenna_1: NDArray[np.int64]
    antenna_2: NDArray[np.int64]
    lengths_m: NDArray[np.float64]
    place: NDArray[np.int64]
    swapped: NDArray[np.bool_]

    @classmethod
    def of(cls, header: SubbandHeader) -> "_Baselines":
        first = np.array([header.slot_of[int(number)] for number in header.antenna_1])
        second = np.array([header.slot_of[int(number)] for number in header.antenna_2])
        low, high = np.minimum(first, second), np.maximum(first, second)
        order = np.lexsort((high, low))
        if np.unique(low * len(header.slot_of) + high).size != low.size:
            raise BadInput(f"{header.path}: a baseline occurs twice in one integration; the group cannot be converted")
        place = np.empty_like(order)
        place[order] = np.arange(order.size)
        low, high = low[order], high[order]
        positions = header.antenna_positions_m
        return cls(low, high, positions[low] - positions[high], place, first > second)


def _uvw(
    header: SubbandHeader, baselines: _Baselines, site: geometry.Site, centre: geometry.Vectors
) -> geometry.Vectors:
    """UVW of every row towards the phase centre, in the Measurement Set's sense, shape (rows, 3), metres."""
    axes = geometry.uvw_axes(site, header.times_jd, centre[0], centre[1])
    uvw_m: geometry.Vectors = np.einsum("tij,bj->tbi", axes, baselines.lengths_m).reshape(-1, 3)
    return uvw_m


def _put_visibilities(
    main: MainTable,
    tile: Tile,
    baselines: _Baselines,
    site: geometry.Site,
    uvw_m: geometry.Vectors,
    options: ConvertOptions,
) -> float:
    """Rotate and write every subband, then the weights; returns the flagged fraction of the subbands present."""
    header = tile.reference
    w_old_m = baselines.lengths_m @ geometry.meridian_direction(site, header.pointing_dec_rad)
    # In the file's sense w is antenna 2 − antenna 1: minus the Measurement Set's, and minus again where swapped.
    change = uvw_m[:, 2].reshape(-1, header.baselines) - w_old_m
    change = np.where(baselines.swapped, -change[:, baselines.place], change[:, baselines.place])
    shape = (header.rows, len(header.polarizations))
    samples, good = np.zeros(shape), np.zeros(shape, dtype=np.int64)
    for subband, one in tile.headers.items():
        before = good.sum()
        rotation = _Rotation(one, change, baselines, options)
        for start, data, flags in rotation.blocks(samples, good):
            main.put_block(start, tile.channel_slice(subband), data, flags)
        if good.sum() == before:
            raise BadFile(one.path, "it holds no usable value (all flagged, zero, not a number or without samples)")
    for subband in tile.missing:
        _put_gap(main, tile, subband)
    main.put_weights(np.divide(samples, good, out=np.zeros(shape), where=good > 0).astype(np.float32))
    present = len(tile.headers) * tile.channels * samples.size
    return 1.0 - float(good.sum()) / present


@dataclass(frozen=True)
class _Rotation:
    """One subband's blocks, read, rotated and reordered, a whole number of integrations at a time."""

    header: SubbandHeader
    w_change_m: geometry.Vectors
    baselines: _Baselines
    options: ConvertOptions

    def blocks(
        self, samples: NDArray[np.float64], good: NDArray[np.int64]
    ) -> Iterator[tuple[int, NDArray[np.complex64], NDArray[np.bool_]]]:
        """First row, data and flags of each block; `samples` and `good` gain each block's counts."""
        count = self.header.baselines
        row_bytes = 8 * self.header.freqs_hz.size * len(self.header.polarizations)
        step = max(1, (self.options.block_mb << 20) // (row_bytes * count))
        times = self.header.times_jd.size
        with SubbandReader(self.header) as reader:
            for first in range(0, times, step):
                last = min(first + step, times)
                start, stop = first * count, last * count
                visibilities, flags, nsamples = reader.read(start, stop)
                data, flagged = np.empty_like(visibilities), np.empty_like(flags)
                rows = (np.arange(last - first)[:, None] * count + self.baselines.place).ravel()
                rotate_block(
                    visibilities, flags, nsamples, self.w_change_m[first:last].ravel(),
                    np.tile(self.baselines.swapped, last - first), rows, self.header.freqs_hz[0],
                    self.header.channel_width_hz, data, flagged, samples[start:stop], good[start:stop],
                )  # fmt: skip
                yield start, data, flagged


def _put_gap(main: MainTable, tile: Tile, subband: int) -> None:
    """A missing subband: zeros, flagged, one integration at a time."""
    header = tile.reference
    shape = (header.baselines, tile.channels, len(header.polarizations))
    zeros, flags = np.zeros(shape, dtype=np.complex64), np.ones(shape, dtype=np.bool_)
    for start in range(0, header.rows, header.baselines):
        main.put_block(start, tile.channel_slice(subband), zeros, flags)
