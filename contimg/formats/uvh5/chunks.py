"""The values of a block of rows in the order of the file: as HDF5's chunks, or as a single one.

A chunk of a subband file holds some rows of some channels of one polarisation. Sorting it into rows costs a pass over
all values; the fringe kernel reads chunks directly instead.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadFile
from contimg.formats.arrays import BufferPool, split_runs
from contimg.formats.uvh5.opening import read_error

_MAX_GAP_BYTES = 1 << 16  # reading a gap of this size costs less than another call


class Chunks(NamedTuple):
    """Rows of one data set, cut into chunks of (rows, channels, correlations).

    Attributes
    ----------
    values : every chunk, one-dimensional, possibly with gaps.
    starts : index in `values` at which each chunk starts, shape (row chunks, channel chunks, correlation chunks).
    rows, channels, correlations : size of a chunk; the last ones may extend beyond the data.
    skipped : rows of the first chunk that precede the block's first row.
    """

    values: NDArray[Any]
    starts: NDArray[np.int64]
    rows: int
    channels: int
    correlations: int
    skipped: int


ChunkReader = Callable[[int, int, BufferPool], Chunks]


def single_chunk(values: NDArray[Any]) -> Chunks:
    """Return an array as one chunk.

    Parameters
    ----------
    values : shape (rows, channels, correlations); copied unless contiguous.
    """
    flat = np.ascontiguousarray(values).ravel()
    rows, channels, correlations = values.shape
    return Chunks(flat, np.zeros((1, 1, 1), dtype=np.int64), rows, channels, correlations, 0)


def chunk_reader(path: Path, dataset: Any, dtype: type) -> ChunkReader:
    """Return a function that reads rows [start, stop) of a data set into a buffer pool.

    Uncompressed chunks of the right type are read by their offsets in the file, past HDF5, which spends more time on
    each 12 KiB chunk than the disk does. Other data sets, and those whose first and last chunk HDF5 reads otherwise,
    are read by HDF5 and returned as one chunk.

    Parameters
    ----------
    path : the file, for messages.
    dataset : an open `h5py.Dataset`.
    dtype : of the values to return.
    """
    if _is_plain(dataset, dtype):
        offsets = _chunk_offsets(dataset)
        if offsets is not None:
            reader = _OffsetReader(path, dataset, np.dtype(dtype), offsets)
            if reader.agrees_with_hdf5():
                return reader.read
    return lambda start, stop, _: single_chunk(read_row_range(path, dataset, dtype, start, stop))


def read_row_range(path: Path, dataset: Any, dtype: type, start: int, stop: int) -> NDArray[Any]:
    """Read rows [start, stop) by HDF5.

    Parameters
    ----------
    path : the file, for messages.
    dataset : an open `h5py.Dataset` of rows, perhaps an axis of length 1, channels and correlations.
    dtype : of the values to return.
    start, stop : rows.

    Returns
    -------
    shape (rows, channels, correlations); values too large for `dtype` are infinite.

    Raises
    ------
    BadFile, Transient : they cannot be read.
    """
    try:
        values = dataset[start:stop]
    except OSError as error:
        raise read_error(path, error) from error
    if values.ndim == 4:
        values = values[:, 0]
    if values.dtype.names:  # integers of a correlator: a compound of r and i
        visibilities = np.empty(values.shape, dtype=np.complex64)
        visibilities.real, visibilities.imag = values["r"], values["i"]
        return visibilities
    with np.errstate(over="ignore"):
        return np.asarray(values.astype(dtype, copy=False))


def _is_plain(dataset: Any, dtype: type) -> bool:
    if dataset.file.userblock_size:  # HDF5 1.14.4 counts the block in the offsets of chunks, earlier releases do not
        return False
    unfiltered = dataset.id.get_create_plist().get_nfilters() == 0 and dataset.external is None
    return bool(unfiltered and not dataset.is_virtual and dataset.chunks and dataset.dtype == np.dtype(dtype))


def _chunk_offsets(dataset: Any) -> NDArray[np.int64] | None:
    """Byte offset of each chunk, shape (row, channel, correlation chunks); None when a chunk is not allocated."""
    chunk = dataset.chunks
    counts = [-(-size // step) for size, step in zip(dataset.shape, chunk, strict=True)]
    offsets = np.full(counts, -1, dtype=np.int64)

    def record(info: Any) -> None:
        index = tuple(first // step for first, step in zip(info.chunk_offset, chunk, strict=True))
        offsets[index] = info.byte_offset

    dataset.id.chunk_iter(record)
    dataset.id.refresh()  # otherwise the library keeps the index of every open file in memory
    offsets = offsets.reshape(counts[0], *counts[-2:])
    return None if (offsets < 0).any() else offsets


class _OffsetReader:
    """Reads chunks by their byte offsets."""

    def __init__(self, path: Path, dataset: Any, dtype: np.dtype[Any], offsets: NDArray[np.int64]) -> None:
        self._path, self._name, self._dtype, self._offsets = path, dataset.name, dtype, offsets
        self._shape = (dataset.chunks[0], *dataset.chunks[-2:])
        self._bytes = int(np.prod(self._shape)) * self._dtype.itemsize
        self._descriptor = dataset.file.id.get_vfd_handle()
        self._dataset = dataset

    def agrees_with_hdf5(self) -> bool:
        """Whether the first and the last chunk in the file have the bytes that HDF5 reads."""
        for index in (np.argmin(self._offsets), np.argmax(self._offsets)):
            row, channel, correlation = np.unravel_index(index, self._offsets.shape)
            first = [int(row) * self._shape[0], int(channel) * self._shape[1], int(correlation) * self._shape[2]]
            first[1:1] = [0] * (self._dataset.ndim - 3)
            try:
                _, expected = self._dataset.id.read_direct_chunk(tuple(first))
                actual = os.pread(self._descriptor, self._bytes, int(self._offsets.flat[index]))
            except OSError as error:
                raise read_error(self._path, error) from error
            if len(actual) == self._bytes and actual != expected:
                return False
        return True

    def read(self, start: int, stop: int, pool: BufferPool) -> Chunks:
        rows, channels, correlations = self._shape
        first, last = start // rows, -(-stop // rows)
        offsets = self._offsets[first:last]
        order = np.argsort(offsets, axis=None)
        ascending = offsets.ravel()[order]
        gaps = np.diff(ascending) - self._bytes
        runs = split_runs((gaps > _MAX_GAP_BYTES) | (gaps % self._dtype.itemsize != 0))  # one call for each run
        lengths = [int(ascending[run][-1] - ascending[run][0]) + self._bytes for run in runs]
        values = pool.array(self._name, (sum(lengths) // self._dtype.itemsize,), self._dtype)
        buffer, starts, begin = values.view(np.uint8).data, np.empty(order.size, dtype=np.int64), 0
        for run, length in zip(runs, lengths, strict=True):
            self._read_bytes(buffer[begin : begin + length], int(ascending[run][0]))
            starts[order[run]] = (begin + ascending[run] - ascending[run][0]) // self._dtype.itemsize
            begin += length
        return Chunks(values, starts.reshape(offsets.shape), rows, channels, correlations, start - first * rows)

    def _read_bytes(self, buffer: memoryview, offset: int) -> None:
        done = 0
        while done < len(buffer):
            try:
                count = os.preadv(self._descriptor, [buffer[done:]], offset + done)
            except OSError as error:
                raise read_error(self._path, error) from error
            if count == 0:
                raise BadFile(self._path, f"it ends before its data do ({os.strerror(errno.ENODATA)}); it is truncated")
            done += count
