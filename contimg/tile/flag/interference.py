"""Search baselines for interference in processes beside this one, each with an AOFlagger of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, cast

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.errors import Transient
from contimg.tile.flag.searcher import received

Masks = NDArray[np.bool_]


class Searchers:
    """So many searching processes; a context manager. Leaving it stops them, in the middle of a request too."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._ends = ExitStack()
        self._searchers: list[_Searcher] = []

    def __enter__(self) -> "Searchers":
        with ExitStack() as ends:
            for _ in range(self._processes):
                self._searchers.append(_Searcher())
                ends.callback(self._searchers[-1].stop)
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def submit(self, amplitude: NDArray[np.float32], missing: Masks) -> Callable[[], Masks]:
        """Have baselines searched; all shapes (baselines, times, channels), amplitudes and where there are none.

        The result, when called, waits for the masks: where there is interference or nothing. It raises Transient
        when a searching process died.
        """
        count = len(self._searchers)
        parts = zip(np.array_split(amplitude, count), np.array_split(missing, count), strict=True)
        asked = [one.submit(*part) for one, part in zip(self._searchers, parts, strict=True)]
        return lambda: np.concatenate([one.result() for one in asked])


class _Searcher:
    """One process, and a thread that writes to it and waits for its answers."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "contimg.tile.flag.searcher"],
            env=_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self._to, self._answers = cast(BinaryIO, self._process.stdin), cast(BinaryIO, self._process.stdout)
        self._thread = ThreadPoolExecutor(1)

    def submit(self, amplitude: NDArray[np.float32], missing: Masks) -> Future[Masks]:
        """The masks to come."""
        return self._thread.submit(self._ask, amplitude, missing)

    def _ask(self, amplitude: NDArray[np.float32], missing: Masks) -> Masks:
        masks = np.empty(amplitude.shape, dtype=np.bool_)
        if not masks.size:
            return masks
        with suppress(BrokenPipeError):
            for part in (np.array(amplitude.shape, dtype=np.int64), amplitude, missing):
                self._to.write(np.ascontiguousarray(part).data.cast("B"))
            self._to.flush()
            if received(self._answers, masks):
                return masks
        status = self._process.wait()
        raise Transient(f"the search for interference ended with status {status}; is there enough memory?")

    def stop(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._thread.shutdown()
        for pipe in (self._to, self._answers):
            with suppress(BrokenPipeError):
                pipe.close()


def _environment() -> dict[str, str]:
    """This process's environment; the package's own root goes first on the path, one thread each."""
    root = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, inherited])), "OMP_NUM_THREADS": "1"}


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def amplitudes(data: NDArray[np.complex64], flags: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What AOFlagger looks at: |V| over each polarisation's mean, averaged over the unflagged polarisations.

    data, flags : (times, baselines, channels, polarisations); returns amplitudes and where there is none,
    both (baselines, times, channels).
    """
    times, baselines, channels, pols = data.shape
    out = np.zeros((baselines, times, channels), dtype=np.float32)
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
                out[baseline, time, channel] = summed / max(used, 1)
    return out, missing
