"""Arrays of rows: memory that is reused from block to block, and runs of neighbouring rows."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Data = NDArray[np.complex64]
Mask = NDArray[np.bool_]
Slots = NDArray[np.int32]  # antenna slots, as ANTENNA1 and ANTENNA2 have them
Rows = NDArray[np.int64]  # row numbers, or indices of rows


class BufferPool:
    """Named arrays whose memory is reused: fresh memory for every block costs the kernel more than the block's work."""

    def __init__(self) -> None:
        self._bytes: dict[str, NDArray[np.uint8]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Return an array with undefined values in the memory of the last array of this name.

        Parameters
        ----------
        name : which memory to reuse; the last array of this name must no longer be in use.
        shape, dtype : of the array.
        """
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if name not in self._bytes or self._bytes[name].size < size:
            self._bytes[name] = np.empty(size, dtype=np.uint8)
        flat: NDArray[Any] = self._bytes[name][:size].view(dtype)
        return flat.reshape(shape)


def split_runs(breaks: NDArray[np.bool_]) -> list[slice]:
    """Split a sequence into runs.

    Parameters
    ----------
    breaks : whether a run ends between element i and element i + 1, shape (elements - 1,). For runs of equal values
        give `np.diff(values) != 0`, for runs of consecutive numbers `np.diff(values) != 1`.

    Returns
    -------
    one slice of positions for each run, in order.
    """
    edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), breaks.size + 1]
    return [slice(start, stop) for start, stop in pairwise(edges)]
