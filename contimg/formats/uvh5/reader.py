"""Reading blocks of rows of a subband file."""

import hashlib
from contextlib import ExitStack
from types import TracebackType
from typing import NamedTuple

import numpy as np

from contimg.common.errors import BadFile
from contimg.formats.arrays import BufferPool
from contimg.formats.uvh5.chunks import Chunks, chunk_reader, read_row_range
from contimg.formats.uvh5.header import SubbandHeader
from contimg.formats.uvh5.opening import open_subband_file

_SAMPLE_ROWS = 256
_TYPES: dict[str, type] = {"visdata": np.complex64, "flags": np.bool_, "nsamples": np.float32}


class Block(NamedTuple):
    """Rows of a file: visibilities (complex64), flags (bool) and numbers of samples (float32)."""

    visibilities: Chunks
    flags: Chunks
    nsamples: Chunks


class SubbandReader:
    """A context manager that reads blocks of rows of a subband file; values are as in the file.

    Raises
    ------
    BadFile : the file is not what its header was read from.
    """

    def __init__(self, header: SubbandHeader) -> None:
        self.header = header

    def __enter__(self) -> "SubbandReader":
        with ExitStack() as on_error:
            self._file = on_error.enter_context(open_subband_file(self.header.path, self.header.locking))
            try:
                self._data = {name: self._file[f"Data/{name}"] for name in _TYPES}
                rows = self._data["visdata"].shape[0]
            except (KeyError, OSError) as error:
                raise BadFile(self.header.path, f"it changed while it was read ({error}); try again") from error
            if rows != self.header.rows:
                raise BadFile(self.header.path, "it changed while it was read; try again")
            self._readers = [chunk_reader(self.header.path, self._data[name], kind) for name, kind in _TYPES.items()]
            on_error.pop_all()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()

    def read_block(self, start: int, stop: int, pool: BufferPool) -> Block:
        """Read rows [start, stop) as chunks in the order of the file, which is faster; their memory may be `pool`'s.

        Threads may read blocks of one file at the same time.

        Parameters
        ----------
        start, stop : rows.
        pool : memory to use; it must not be in use by another block.
        """
        return Block(*(read(start, stop, pool) for read in self._readers))

    def fingerprint(self) -> bytes | None:
        """Return a digest of visibilities from the start and the middle of the file; None when these are all equal.

        Receiver noise differs between subbands, so two files with one fingerprint are copies.
        """
        digest = hashlib.blake2b()
        varies = False
        for start in (0, self.header.rows // 2):
            values = read_row_range(
                self.header.path, self._data["visdata"], np.complex64, start, start + _SAMPLE_ROWS
            )  # fmt: skip
            varies |= bool((values != values.flat[0]).any())
            digest.update(np.ascontiguousarray(values).view(np.uint8).data)
        return digest.digest() if varies else None
