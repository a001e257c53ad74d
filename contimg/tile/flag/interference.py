"""Search baselines for interference in processes beside this one, each with an AOFlagger of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import BinaryIO, cast

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.errors import Transient
from contimg.files.processes import module_environment
from contimg.tile.flag.searcher import read_into

Masks = NDArray[np.bool_]


class Searchers:
    """A pool of searching processes; a context manager. Leaving it stops them, also in the middle of a request.

    Parameters
    ----------
    processes : how many.
    """

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._stops = ExitStack()
        self._searchers: list[_Searcher] = []

    def __enter__(self) -> "Searchers":
        with ExitStack() as stops:
            for _ in range(self._processes):
                self._searchers.append(_Searcher())
                stops.callback(self._searchers[-1].stop)
            self._stops = stops.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stops.close()

    def submit(self, amplitude: NDArray[np.float32], missing: Masks) -> Callable[[], Masks]:
        """Submit baselines to the searchers.

        Parameters
        ----------
        amplitude, missing : amplitudes, and where there are none, shape (baselines, times, channels).

        Returns
        -------
        A function that waits for the masks, of the same shape: where there is interference or no sample. It raises
        Transient when a searching process has died.
        """
        count = len(self._searchers)
        parts = zip(np.array_split(amplitude, count), np.array_split(missing, count), strict=True)
        futures = [searcher.submit(*part) for searcher, part in zip(self._searchers, parts, strict=True)]
        return lambda: np.concatenate([future.result() for future in futures])


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
                summed, used = 0.0, 0
                for pol in range(pols):
                    if not flags[time, baseline, channel, pol] and total[pol] > 0:
                        summed += size[time, channel, pol] * count[pol] / total[pol]
                        used += 1
                missing[baseline, time, channel] = used == 0
                amplitude[baseline, time, channel] = summed / max(used, 1)
    return amplitude, missing
