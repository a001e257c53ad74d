"""One searcher: `python -m contimg.tile.flag.searcher` flags baselines given on its input, by AOFlagger.

A request is three int64 (baselines, times, channels), float32 amplitudes and bool, where there are none, of that
shape; the answer is bool of that shape. AOFlagger's module keeps the interpreter's lock, and a Celery worker's child
may have no children by `multiprocessing`: so searchers are processes that talk through pipes. They end with their
input, so none outlives whoever started it.
"""

import os
import sys
from importlib.resources import files
from tempfile import NamedTemporaryFile
from typing import BinaryIO

import aoflagger
import numpy as np
from numpy.typing import NDArray

SKY_VARIATION = 0.1  # of a baseline's mean amplitude: sources that beat against each other do as much


class Search:
    """AOFlagger with the strategy of interference.lua, for baselines of one shape (times, channels)."""

    def __init__(self, times: int, channels: int) -> None:
        self._flagger = aoflagger.AOFlagger()
        self._with_gaps, self._whole = _strategies(self._flagger)
        self.shape = (times, channels)
        self._image = self._flagger.make_image_set(times, channels, 1)
        # AOFlagger takes its thresholds from the scatter it sees. A floor under that scatter keeps it from taking the
        # beats of a strong sky for interference where the noise is smaller still. Always the same: same data, same
        # flags.
        self._floor = np.random.default_rng(0).normal(scale=SKY_VARIATION, size=self.shape).astype(np.float32)

    def run(self, amplitude: NDArray[np.float32], missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Where there is interference or nothing; all (times, channels)."""
        self._image.set_image_buffer(0, (amplitude + self._floor).T)
        mask = self._flagger.make_flag_mask(*self.shape, False)
        mask.set_buffer(np.ascontiguousarray(missing.T))
        strategy = self._with_gaps if missing.any() else self._whole
        return np.asarray(strategy.run(self._image, mask).get_buffer().T)


def _strategies(flagger: aoflagger.AOFlagger) -> tuple[aoflagger.Strategy, aoflagger.Strategy]:
    """For baselines with and without samples that are missing; AOFlagger reads a strategy from a file only."""
    source = files("contimg.tile.flag").joinpath("interference.lua").read_text(encoding="utf-8")
    loaded = []
    for gaps in ("true", "false"):
        with NamedTemporaryFile("w", suffix=".lua", encoding="utf-8") as file:
            file.write(source.replace("local gaps = true", f"local gaps = {gaps}"))
            file.flush()
            loaded.append(flagger.load_strategy_file(file.name))
    return loaded[0], loaded[1]


def main() -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    serve(sys.stdin.buffer, answers)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer the requests of a stream, one after the other."""
    search: Search | None = None
    header = np.zeros(3, dtype=np.int64)
    while received(requests, header):
        baselines, times, channels = map(int, header)
        amplitude = np.empty((baselines, times, channels), dtype=np.float32)
        missing = np.empty((baselines, times, channels), dtype=np.bool_)
        if not (received(requests, amplitude) and received(requests, missing)):
            return
        if search is None or search.shape != (times, channels):
            search = Search(times, channels)
        for index in range(baselines):
            missing[index] = search.run(amplitude[index], missing[index])
        answers.write(missing.data)
        answers.flush()


def received(stream: BinaryIO, into: NDArray[np.generic]) -> bool:
    """Fill an array from a stream; False when the stream ends before."""
    wanted = into.data.cast("B")
    at = 0
    while at < len(wanted):
        count = stream.readinto(wanted[at:])  # type: ignore[attr-defined]
        if not count:
            return False
        at += count
    return True


if __name__ == "__main__":
    main()
