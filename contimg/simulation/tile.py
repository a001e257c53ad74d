"""The synthetic telescope at work: one tile, or a run of them, into a directory."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contimg.errors import Misconfigured, Transient
from contimg.instrument.dsa110 import BAND
from contimg.simulation.options import SimulateOptions
from contimg.simulation.plan import TilePlan, plan_tiles
from contimg.simulation.subband_file import incomplete_path, write_subband
from contimg.simulation.truth import write_truth
from contimg.simulation.visibilities import Run, prepare_run, subband_visibilities

Progress = Callable[[Path], None]


@dataclass(frozen=True)
class SimulatedTile:
    """A tile that was written.

    Attributes
    ----------
    plan : what it shows.
    files : path of each subband.
    truth : the JSON file that says what is in it.
    size_bytes : size of the files together.
    seconds : how long it took.
    """

    plan: TilePlan
    files: Mapping[int, Path]
    truth: Path
    size_bytes: int
    seconds: float


def simulate(options: SimulateOptions, directory: Path, progress: Progress | None = None) -> Iterator[SimulatedTile]:
    """Write a run tile by tile, yielding each when done; at the options' pace, tile n begins n cadences on."""
    began = time.monotonic()
    for plan in plan_tiles(options):
        if options.pace > 0:
            due = began + plan.index * options.cadence_s / options.pace
            time.sleep(max(0.0, due - time.monotonic()))
        yield simulate_tile(plan, options, directory, progress)


def simulate_tile(
    plan: TilePlan, options: SimulateOptions, directory: Path, progress: Progress | None = None
) -> SimulatedTile:
    """Write one tile's sixteen files and its truth; at most `threads` subbands are in memory at a time.

    Files get their final names in order of subband, the highest first; `progress` is called with each. What an
    interruption leaves unfinished is removed. Raises Misconfigured when the directory cannot be written to,
    Transient when the disk is in the way.
    """
    began = time.perf_counter()
    run = prepare_run(options)
    paths = tile_paths(plan, options, directory)
    try:
        truth = write_truth(directory, run, plan)
        size_bytes = _write_subbands(run, plan, paths, progress)
    except (PermissionError, FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise Misconfigured(f"{directory}: cannot write here ({error.strerror}); give a writable directory") from error
    except OSError as error:
        raise Transient(f"{directory}: writing failed ({error}); make room or check the file system") from error
    return SimulatedTile(plan, paths, truth, size_bytes, time.perf_counter() - began)


def _write_subbands(run: Run, plan: TilePlan, paths: Mapping[int, Path], progress: Progress | None) -> int:
    """Write all files and rename each when its turn has come; the bytes written."""

    def write(subband: int) -> int:
        visibilities = subband_visibilities(run, plan, subband)
        write_subband(paths[subband], run.options, plan, run.array, subband, visibilities)
        return incomplete_path(paths[subband]).stat().st_size

    size_bytes = 0
    try:
        with ThreadPoolExecutor(run.options.threads) as pool:
            for subband, size in enumerate(pool.map(write, paths)):
                incomplete_path(paths[subband]).rename(paths[subband])
                size_bytes += size
                if progress is not None:
                    progress(paths[subband])
    finally:
        for path in paths.values():
            incomplete_path(path).unlink(missing_ok=True)
    return size_bytes


def tile_paths(plan: TilePlan, options: SimulateOptions, directory: Path) -> dict[int, Path]:
    """Where each subband's file goes, in order of subband.

    Each machine stamps its file by its own clock, up to `clock_spread` whole seconds late; the first is in time.
    Only names differ: the integrations' times come from one clock and are the same in all files of a group.
    """
    rng = np.random.default_rng([options.seed, 6, plan.index])
    offsets_s = rng.integers(0, options.clock_spread, size=BAND.subbands, endpoint=True)
    offsets_s[0] = 0
    return {subband: directory / plan.file_name(subband, int(offset_s)) for subband, offset_s in enumerate(offsets_s)}
