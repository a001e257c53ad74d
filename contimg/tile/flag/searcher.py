"""Search baselines for interference with AOFlagger: `python -m contimg.tile.flag.searcher PARENT_PID`.

A request on standard input is three int64 (baselines, times, channels), float32 amplitudes and bool (missing samples)
of that shape; the answer on standard output is bool of that shape. AOFlagger (Offringa et al. 2012, A&A 539, A95)
holds the interpreter's lock, and a Celery worker's child may not start children by `multiprocessing`: so searchers
are processes with pipes. They end with their input or their parent.
"""

import os
import sys
from importlib.resources import files
from tempfile import NamedTemporaryFile
from typing import BinaryIO

import aoflagger
import numpy as np
from numpy.typing import NDArray

from contimg.common.files.processes import bind_to_parent

SKY_VARIATION = 0.1  # of a baseline's mean amplitude: the interference pattern of several sources reaches it


class Search:
    """AOFlagger with the strategy of interference.lua, for baselines of one shape (times, channels)."""

    def __init__(self, times: int, channels: int) -> None:
        self._flagger = aoflagger.AOFlagger()
        self._with_gaps, self._whole = _strategies(self._flagger)
        self.shape = (times, channels)
        self._image = self._flagger.make_image_set(times, channels, 1)
        # AOFlagger's thresholds follow the scatter of the data. A minimum of scatter keeps it from flagging the
        # variation of a strong sky where the noise is lower still. The same seed each time: same data, same flags.
        self._floor = np.random.default_rng(0).normal(scale=SKY_VARIATION, size=self.shape).astype(np.float32)

    def run(self, amplitude: NDArray[np.float32], missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Find interference in one baseline.

        Parameters
        ----------
        amplitude, missing : amplitudes, and where there are none, shape (times, channels).

        Returns
        -------
        Where there is interference or no sample, shape (times, channels).
        """
        self._image.set_image_buffer(0, (amplitude + self._floor).T)
        mask = self._flagger.make_flag_mask(*self.shape, False)
        mask.set_buffer(np.ascontiguousarray(missing.T))
        strategy = self._with_gaps if missing.any() else self._whole
        return np.asarray(strategy.run(self._image, mask).get_buffer().T)


def _strategies(flagger: aoflagger.AOFlagger) -> tuple[aoflagger.Strategy, aoflagger.Strategy]:
    """Load the strategies for baselines with and without missing samples; AOFlagger reads them from files only."""
    source = files("contimg.tile.flag").joinpath("interference.lua").read_text(encoding="utf-8")
    strategies = []
    for gaps in ("true", "false"):
        with NamedTemporaryFile("w", suffix=".lua", encoding="utf-8") as file:
            file.write(source.replace("local gaps = true", f"local gaps = {gaps}"))
            file.flush()
            strategies.append(flagger.load_strategy_file(file.name))
    return strategies[0], strategies[1]


def main() -> None:
    """Answer requests until the input ends."""
    bind_to_parent(int(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # messages of a library must not mix with the answers
    requests = sys.stdin.buffer
    search: Search | None = None
    header = np.zeros(3, dtype=np.int64)
    while read_into(requests, header):
        baselines, times, channels = map(int, header)
        amplitude = np.empty((baselines, times, channels), dtype=np.float32)
        missing = np.empty((baselines, times, channels), dtype=np.bool_)
        if not (read_into(requests, amplitude) and read_into(requests, missing)):
            return
        if search is None or search.shape != (times, channels):
            search = Search(times, channels)
        for index in range(baselines):
            missing[index] = search.run(amplitude[index], missing[index])
        answers.write(missing.data)
        answers.flush()


def read_into(stream: BinaryIO, array: NDArray[np.generic]) -> bool:
    """Fill an array from a stream; return False when the stream ends before.

    Parameters
    ----------
    stream : a binary stream, buffered or not.
    array : filled in place; contiguous. Undefined values are left in it when the stream ends before.
    """
    remaining = array.data.cast("B")
    while len(remaining):
        count = stream.readinto(remaining)  # type: ignore[attr-defined]
        if not count:
            return False
        remaining = remaining[count:]
    return True


if __name__ == "__main__":
    main()
