"""Memory that is used again: what is taken fresh for every block costs the kernel more than the block's work."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class BufferPool:
    """Named arrays of which each new one lies where the last of its name lay."""

    def __init__(self) -> None:
        self._bytes: dict[str, NDArray[np.uint8]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """An array with undefined values; the last one of this name must no longer be in use."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if name not in self._bytes or self._bytes[name].size < size:
            self._bytes[name] = np.empty(size, dtype=np.uint8)
        flat: NDArray[Any] = self._bytes[name][:size].view(dtype)
        return flat.reshape(shape)
