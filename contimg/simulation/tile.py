"""Writing the subband files of a tile, or of a run of tiles."""

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
    """The files of a tile.

    Attributes
    ----------
    plan : of the tile.
    files : path of each subband.
    truth : JSON file with the sources and receivers.
    size_bytes : total size of the files.
    seconds : time that the writing took.
    """

    plan: TilePlan
    files: Mapping[int, Path]
    truth: Path
    size_bytes: int
    seconds: float


def simulate(options: SimulateOptions, directory: Path, progress: Progress | None = None) -> Iterator[SimulatedTile]:
    """Write the tiles of a run and yield each when it is complete.

    Parameters
    ----------
    options : of the run; with `pace`, tile n starts n cadences / pace after the first.
    directory : to write in.
    progress : called with each finished file.
    """
    start_s = time.monotonic()
    for plan in plan_tiles(options):
        if options.pace > 0:
            due = start_s + plan.index * options.cadence_s / options.pace
            time.sleep(max(0.0, due - time.monotonic()))
        yield simulate_tile(plan, options, directory, progress)


def simulate_tile(
    plan: TilePlan, options: SimulateOptions, directory: Path, progress: Progress | None = None
) -> SimulatedTile:
    """Write the 16 files of a tile and its truth; at most `options.threads` subbands are in memory at a time.

    Files get their final names in order of subband. Unfinished files are removed on an interruption.

    Parameters
    ----------
    plan : the tile.
    options : of the run.
    directory : to write in.
    progress : called with each finished file.

    Raises
    ------
    Misconfigured : the directory cannot be written to.
    Transient : the disk is full or fails.
    """
    start_s = time.perf_counter()
    run = prepare_run(options)
    paths = tile_paths(plan, options, directory)
    try:
        truth = write_truth(directory, run, plan)
        size_bytes = _write_subbands(run, plan, paths, progress)
    except (PermissionError, FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise Misconfigured(f"{directory}: cannot write here ({error.strerror}); give a writable directory") from error
    except OSError as error:
        raise Transient(f"{directory}: writing failed ({error}); free space or check the file system") from error
    return SimulatedTile(plan, paths, truth, size_bytes, time.perf_counter() - start_s)


def _write_subbands(run: Run, plan: TilePlan, paths: Mapping[int, Path], progress: Progress | None) -> int:
    """Write all files, rename them in order of subband, and return their total size."""

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
    """Return the path of each subband file, in order of subband.

    Each machine stamps the name by its own clock, up to `options.clock_spread` whole seconds late; the first is on
    time. The times of the integrations are the same in all files of a group.

    Parameters
    ----------
    plan : the tile.
    options : of the run.
    directory : of the files.
    """
    rng = np.random.default_rng([options.seed, 6, plan.index])
    offsets_s = rng.integers(0, options.clock_spread, size=BAND.subbands, endpoint=True)
    offsets_s[0] = 0
    return {subband: directory / plan.file_name(subband, int(offset_s)) for subband, offset_s in enumerate(offsets_s)}
