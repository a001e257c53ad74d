"""The synthetic telescope at work: one tile, or a run of them, into a directory."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contimg.errors import Misconfigured, Transient
from contimg.simulation import drift
from contimg.simulation.array import build_array
from contimg.simulation.corruption import draw_corruption
from contimg.simulation.options import SimulateOptions
from contimg.simulation.plan import TilePlan, plan_tiles
from contimg.simulation.sky import CALIBRATOR
from contimg.simulation.subband_file import finish, write_subband
from contimg.simulation.truth import write_truth
from contimg.simulation.visibilities import Run, subband_visibilities
from contimg.telescope import BAND

Progress = Callable[[Path], None]


@dataclass(frozen=True)
class SimulatedTile:
    """A tile that was written.

    Attributes
    ----------
    plan : what it shows.
    files : path of each subband.
    truth : the JSON file that says what is in it.
    seconds : how long it took.
    """

    plan: TilePlan
    files: dict[int, Path]
    truth: Path
    seconds: float

    @property
    def size_bytes(self) -> int:
        """Size of its files together, as long as they are there."""
        return sum(path.stat().st_size for path in self.files.values())


def simulate_tile(
    plan: TilePlan, options: SimulateOptions, directory: Path, progress: Progress | None = None
) -> SimulatedTile:
    """Write one tile's sixteen files and its truth; at most `threads` subbands are in memory at a time.

    Files get their final names in order of subband, the highest first; `progress` is called with each. Raises
    Misconfigured when the directory cannot be written to, Transient when the disk is full.
    """
    began = time.perf_counter()
    array = build_array(options.antennas)
    zero_jd, _ = drift.transit(CALIBRATOR.ra_deg, CALIBRATOR.dec_deg, options.date)
    run = Run(options, array, draw_corruption(options, array), zero_jd)
    offsets_s = clock_offsets_s(plan, options)

    def write(subband: int) -> Path:
        path = directory / plan.file_name(subband, int(offsets_s[subband]))
        return write_subband(path, options, plan, array, subband, subband_visibilities(run, plan, subband))

    files = {}
    try:
        truth = write_truth(directory, run, plan)
        with ThreadPoolExecutor(options.threads) as pool:
            for subband, incomplete in enumerate(pool.map(write, range(BAND.subbands))):
                files[subband] = finish(incomplete)
                if progress is not None:
                    progress(files[subband])
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise Misconfigured(f"{directory}: cannot write here ({error.strerror}); give a writable directory") from error
    except OSError as error:
        raise Transient(f"{directory}: writing failed ({error}); make room or check the file system") from error
    return SimulatedTile(plan, files, truth, time.perf_counter() - began)


def simulate(options: SimulateOptions, directory: Path, progress: Progress | None = None) -> Iterator[SimulatedTile]:
    """Write a run tile by tile, yielding each when done; at the options' pace, tile n begins n cadences on."""
    began = time.monotonic()
    for plan in plan_tiles(options):
        if options.pace > 0:
            due = began + plan.index * options.cadence_s / options.pace
            time.sleep(max(0.0, due - time.monotonic()))
        yield simulate_tile(plan, options, directory, progress)


def clock_offsets_s(plan: TilePlan, options: SimulateOptions) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """How late each machine stamps its file, whole seconds, shape (16,); the first is the one in time.

    Only names differ: the integrations' own times come from one clock and are the same in all files of a group.
    """
    rng = np.random.default_rng([options.seed, 6, plan.index])
    offsets = rng.integers(0, options.clock_spread, size=BAND.subbands, endpoint=True)
    offsets[0] = 0
    return offsets
