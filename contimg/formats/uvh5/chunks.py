"""The values of a block of rows as they lie in the file: a set of equal bricks, HDF5's chunks, or a single one.

A chunk of a subband file holds some rows of some channels of one polarisation. To bring them into rows costs a pass
over all values; the fringe kernel reads them where they lie instead.
"""

import errno
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadFile
from contimg.formats.arrays import BufferPool
from contimg.formats.uvh5.opening import unreadable

_READ_ALONG_BYTES = 1 << 16  # reading so much too much costs less than another call


class Bricks(NamedTuple):
    """Rows of one data set, cut into bricks of (rows, channels, correlations).

    Attributes
    ----------
    values : every brick, one-dimensional, perhaps with something else in between.
    starts : where each brick begins in `values`, shape (row bricks, channel bricks, correlation bricks).
    rows, channels, correlations : size of one brick; those at the end may reach past the data.
    skipped : rows of the first brick that come before the block's first.
    """

    values: NDArray[Any]
    starts: NDArray[np.int64]
    rows: int
    channels: int
    correlations: int
    skipped: int


def one_brick(values: NDArray[Any]) -> Bricks:
    """An array of shape (rows, channels, correlations) as a single brick."""
    rows, channels, correlations = values.shape
    whole = np.ascontiguousarray(values).ravel()
    return Bricks(whole, np.zeros((1, 1, 1), dtype=np.int64), rows, channels, correlations, 0)


BrickReader = Callable[[int, int, BufferPool], Bricks]


def brick_reader(path: Path, dataset: Any, dtype: type) -> BrickReader:
    """How to read rows [start, stop) of a data set, into a space, the quickest way that its storage allows.

    Uncompressed chunks of the right type are read by their place in the file, past HDF5, which spends more time on
    each 12 KiB chunk than the disk does. All else goes through HDF5 and comes as one brick.
    """
    if _plain(dataset, dtype):
        places = _chunk_places(dataset)
        if places is not None:
            return _Chunks(path, dataset, np.dtype(dtype), places).read
    return lambda start, stop, _: one_brick(_converted(path, dataset, dtype, start, stop))


def rows_of(path: Path, dataset: Any, dtype: type, start: int, stop: int) -> NDArray[Any]:
    """Rows [start, stop) through HDF5, shape (rows, channels, correlations)."""
    return _converted(path, dataset, dtype, start, stop)


def _converted(path: Path, dataset: Any, dtype: type, start: int, stop: int) -> NDArray[Any]:
    try:
        values = dataset[start:stop]
    except OSError as error:
        raise unreadable(path, error) from error
    if values.ndim == 4:
        values = values[:, 0]
    if values.dtype.names:  # integers of a correlator: a compound of r and i
        whole = np.empty(values.shape, dtype=np.complex64)
        whole.real, whole.imag = values["r"], values["i"]
        return whole
    # A value too large for float32 becomes infinite, and that is flagged.
    with np.errstate(over="ignore"):
        return np.asarray(values.astype(dtype, copy=False))


def _plain(dataset: Any, dtype: type) -> bool:
    kept_as_is = dataset.id.get_create_plist().get_nfilters() == 0 and dataset.external is None
    return bool(kept_as_is and not dataset.is_virtual and dataset.chunks and dataset.dtype == np.dtype(dtype))


def _chunk_places(dataset: Any) -> NDArray[np.int64] | None:
    """Byte offset of each chunk, shape (row bricks, channel bricks, correlation bricks); None if one is not there."""
    chunk = dataset.chunks
    counts = [-(-size // step) for size, step in zip(dataset.shape, chunk, strict=True)]
    places = np.full(counts, -1, dtype=np.int64)

    def note(info: Any) -> None:
        places[tuple(at // step for at, step in zip(info.chunk_offset, chunk, strict=True))] = info.byte_offset

    dataset.id.chunk_iter(note)
    dataset.id.refresh()  # or the library keeps the index that was walked, of every open file
    places = places.reshape(counts[0], *counts[-2:])
    return None if (places < 0).any() else places


class _Chunks:
    """Reads chunks by their byte offsets."""

    def __init__(self, path: Path, dataset: Any, dtype: np.dtype[Any], places: NDArray[np.int64]) -> None:
        self._path, self._name, self._dtype, self._places = path, dataset.name, dtype, places
        self._shape = (dataset.chunks[0], *dataset.chunks[-2:])
        self._bytes = int(np.prod(self._shape)) * self._dtype.itemsize
        self._descriptor = dataset.file.id.get_vfd_handle()
        self._base = dataset.file.userblock_size

    def read(self, start: int, stop: int, space: BufferPool) -> Bricks:
        rows, channels, correlations = self._shape
        first, last = start // rows, -(-stop // rows)
        places = self._places[first:last]
        order = np.argsort(places, axis=None)
        sorted_places = places.ravel()[order]
        runs = self._runs(sorted_places)
        lengths = [int(sorted_places[end - 1] - sorted_places[begin]) + self._bytes for begin, end in runs]
        values = space.array(self._name, (sum(lengths) // self._dtype.itemsize,), self._dtype)
        buffer, starts, at = values.view(np.uint8).data, np.empty(order.size, dtype=np.int64), 0
        for (begin, end), length in zip(runs, lengths, strict=True):
            self._read_at(buffer[at : at + length], int(sorted_places[begin]) + self._base)
            starts[order[begin:end]] = (at + sorted_places[begin:end] - sorted_places[begin]) // self._dtype.itemsize
            at += length
        return Bricks(values, starts.reshape(places.shape), rows, channels, correlations, start - first * rows)

    def _runs(self, places: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Chunks, sorted by place, that one call reads, with the little that HDF5 keeps between them."""
        gaps = np.diff(places) - self._bytes
        apart = (gaps > _READ_ALONG_BYTES) | (gaps % self._dtype.itemsize != 0)
        edges = [0, *(np.flatnonzero(apart) + 1).tolist(), places.size]
        return list(pairwise(edges))

    def _read_at(self, buffer: memoryview, offset: int) -> None:
        done = 0
        while done < len(buffer):
            try:
                count = os.preadv(self._descriptor, [buffer[done:]], offset + done)
            except OSError as error:
                raise unreadable(self._path, error) from error
            if count == 0:
                raise BadFile(self._path, f"it ends before its data do ({os.strerror(errno.ENODATA)}); it is truncated")
            done += count
