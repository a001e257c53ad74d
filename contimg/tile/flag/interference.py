"""Search baselines for interference in processes beside this one, each with an AOFlagger of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import BinaryIO, cast

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import Transient
from contimg.common.files.processes import module_environment
from contimg.tile.flag.searcher import read_into

Masks = NDArray[np.bool_]
Search = Callable[[NDArray[np.float32], Masks], Callable[[], Masks]]


@contextmanager
def start_searchers(processes: int) -> Iterator[Search]:
    """Start searching processes; they are stopped at the end of the block, also in the middle of a request.

    Parameters
    ----------
    processes : how many.

    Yields
    ------
    A function of amplitudes, and of where there are none, shape (baselines, times, channels), that submits them to the
    processes. It returns a function that waits for the masks, of the same shape: where there is interference or no
    sample. That one raises Transient when a process has died.
    """
    with ExitStack() as stops:
        searchers = []
        for _ in range(processes):
            searchers.append(_Searcher())
            stops.callback(searchers[-1].stop)

        def submit(amplitude: NDArray[np.float32], missing: Masks) -> Callable[[], Masks]:
            parts = zip(np.array_split(amplitude, processes), np.array_split(missing, processes), strict=True)
            futures = [searcher.submit(*part) for searcher, part in zip(searchers, parts, strict=True)]
            return lambda: np.concatenate([future.result() for future in futures])

        yield submit


class _Searcher:
    """One process, and a thread that writes to it and waits for its answers."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "contimg.tile.flag.searcher", str(os.getpid())],
            env=module_environment(os.environ, "1"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        self._requests, self._answers = cast(BinaryIO, self._process.stdin), cast(BinaryIO, self._process.stdout)
        self._thread = ThreadPoolExecutor(1)

    def submit(self, amplitude: NDArray[np.float32], missing: Masks) -> Future[Masks]:
        return self._thread.submit(self._search, amplitude, missing)

    def _search(self, amplitude: NDArray[np.float32], missing: Masks) -> Masks:
        masks = np.empty(amplitude.shape, dtype=np.bool_)
        if not masks.size:
            return masks
        with suppress(BrokenPipeError):
            for part in (np.array(amplitude.shape, dtype=np.int64), amplitude, missing):
                self._requests.write(np.ascontiguousarray(part).data.cast("B"))
            self._requests.flush()
            if read_into(self._answers, masks):
                return masks
        status = self._process.wait()
        raise Transient(f"the search for interference ended with status {status}; is there enough memory?")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.shutdown()
        for pipe in (self._requests, self._answers):
            with suppress(BrokenPipeError):
                pipe.close()


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def compute_amplitudes(data: NDArray[np.complex64], flags: Masks) -> tuple[NDArray[np.float32], Masks]:
    """Compute the amplitudes that AOFlagger searches: |V| over its polarisation's mean, averaged over the unflagged.

    Parameters
    ----------
    data, flags : shape (times, baselines, channels, polarisations).

    Returns
    -------
    The amplitudes, and where there is none, both of shape (baselines, times, channels).
    """
    times, baselines, channels, pols = data.shape
    amplitude = np.zeros((baselines, times, channels), dtype=np.float32)
    missing = np.zeros((baselines, times, channels), dtype=np.bool_)
    size = np.empty((times, channels, pols), dtype=np.float32)
    for baseline in range(baselines):
        total, count = np.zeros(pols), np.zeros(pols)
        for time in range(times):
            for channel in range(channels):
                for pol in range(pols):
                    value = data[time, baseline, channel, pol]
                    good = not flags[time, baseline, channel, pol]
                    size[time, channel, pol] = np.sqrt(value.real**2 + value.imag**2) if good else np.float32(0)
                    total[pol] += size[time, channel, pol]
                    count[pol] += good
        for time in range(times):
            for channel in range(channels):
                summed, samples = 0.0, 0
                for pol in range(pols):
                    if not flags[time, baseline, channel, pol] and total[pol] > 0:
                        summed += size[time, channel, pol] * count[pol] / total[pol]
                        samples += 1
                missing[baseline, time, channel] = samples == 0
                amplitude[baseline, time, channel] = summed / max(samples, 1)
    return amplitude, missing
