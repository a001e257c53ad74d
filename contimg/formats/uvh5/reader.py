"""Reads blocks of rows of one subband file."""

import hashlib
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadFile
from contimg.formats.arrays import BufferPool
from contimg.formats.uvh5.chunks import Bricks, brick_reader, rows_of
from contimg.formats.uvh5.header import SubbandHeader
from contimg.formats.uvh5.opening import opened

_SAMPLE_ROWS = 256
_TYPES: dict[str, type] = {"visdata": np.complex64, "flags": np.bool_, "nsamples": np.float32}


class Block(NamedTuple):
    """Rows of a file: visibilities (complex64), flags (bool) and numbers of samples (float32)."""

    visibilities: Bricks
    flags: Bricks
    nsamples: Bricks


class SubbandReader:
    """Reads row blocks of one subband file; a context manager. Values come as they stand in the file."""

    def __init__(self, header: SubbandHeader) -> None:
        self.header = header

    def __enter__(self) -> "SubbandReader":
        self._file = opened(self.header.path, self.header.locking)
        try:
            self._data = {name: self._file[f"Data/{name}"] for name in _TYPES}
            shape = self._data["visdata"].shape
        except (KeyError, OSError) as error:
            self._file.close()
            raise BadFile(self.header.path, f"it changed while it was read ({error}); try again") from error
        if shape[0] != self.header.rows:
            self._file.close()
            raise BadFile(self.header.path, "it changed while it was read; try again")
        self._quick: Any = None
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()

    def read(self, start: int, stop: int) -> tuple[NDArray[np.complex64], NDArray[np.bool_], NDArray[np.float32]]:
        """Visibilities, flags and sample counts of rows [start, stop), each of shape (rows, channels, correlations)."""
        values = [rows_of(self.header.path, self._data[name], kind, start, stop) for name, kind in _TYPES.items()]
        return values[0], values[1], values[2]

    def prepare(self) -> None:
        """Find out how blocks are read best; after it threads may read blocks side by side."""
        if self._quick is None:
            self._quick = [brick_reader(self.header.path, self._data[name], kind) for name, kind in _TYPES.items()]

    def block(self, start: int, stop: int, space: BufferPool) -> Block:
        """The same values as they lie in the file, which is quicker; they may lie in `space`."""
        self.prepare()
        return Block(*(read(start, stop, space) for read in self._quick))

    def fingerprint(self) -> bytes | None:
        """A digest of some visibilities from the file's begin and middle; None when these are all alike.

        Receiver noise differs from subband to subband, so two files with one fingerprint are one file twice.
        """
        digest = hashlib.blake2b()
        various = False
        for start in (0, self.header.rows // 2):
            values = rows_of(self.header.path, self._data["visdata"], np.complex64, start, start + _SAMPLE_ROWS)
            various |= bool((values != values.flat[0]).any())
            digest.update(np.ascontiguousarray(values).view(np.uint8).data)
        return digest.digest() if various else None
