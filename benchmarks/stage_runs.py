"""Run the stages as a worker does, on simulated tiles of a chosen size, and measure the cost of each run."""

import multiprocessing
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contimg.simulation import SimulateOptions, plan_tiles, simulate_tile
from contimg.tile.convert import ConvertOptions, convert

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Cost:
    """Elapsed seconds, core seconds (with ended child processes) and peak memory of this process in bytes."""

    seconds: float
    core_s: float
    peak_bytes: int


@dataclass(frozen=True)
class TileSize:
    """Dimensions of a tile with two polarisations."""

    antennas: int
    integrations: int
    channels: int

    @property
    def samples(self) -> int:
        """Return the number of visibilities of a tile, with autocorrelations."""
        return self.antennas * (self.antennas + 1) // 2 * self.integrations * self.channels * 2

    def __str__(self) -> str:
        return f"{self.antennas}x{self.integrations}x{self.channels}"


@dataclass(frozen=True)
class SimulatedTile:
    """A simulated tile: its subband files, the file of its true gains, and its Measurement Set."""

    files: dict[int, Path]
    truth: Path
    ms: Path


def make_tile(directory: Path, size: TileSize, *, calibrator: bool = False) -> SimulatedTile:
    """Simulate and convert a target tile with dead antennas and interference, or the transit of the calibrator.

    The target is an hour after the calibrator, so that the calibrator is outside the largest image.
    """
    options = SimulateOptions(groups=2, gap=11, dead=max(1, size.antennas // 20), rfi=True, **asdict(size))
    plan = plan_tiles(options)[0 if calibrator else 1]
    tile = simulate_tile(plan, options, directory / "subbands")
    ms = convert(tile.files, directory / f"{plan.group}.ms", ConvertOptions()).path
    return SimulatedTile(dict(tile.files), tile.truth.with_suffix(".npz"), ms)


def measure_cost(step: Callable[..., Any], *arguments: Any) -> tuple[Any, Cost]:
    """Call a step in this process; return its result and its cost."""
    CLEAR_REFS.write_text("5")  # resets the peak memory
    start_s, start_core_s = time.perf_counter(), core_s()
    result = step(*arguments)
    return result, Cost(time.perf_counter() - start_s, core_s() - start_core_s, peak_bytes())


def core_s() -> float:
    """Return the core seconds that this process and its ended children have used."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def peak_bytes() -> int:
    """Return the peak memory of this process; getrusage would include that of its parent."""
    (line,) = (line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def run_in_process(step: Callable[..., Any], *arguments: Any) -> Any:
    """Call a step in a fresh process and return its result."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(step, arguments)


def fresh_copy(ms: Path, directory: Path) -> Path:
    """Copy a Measurement Set for a stage that changes it."""
    copy = directory / ms.name
    shutil.rmtree(copy, ignore_errors=True)
    return Path(shutil.copytree(ms, copy))


def flag_ms(ms: Path) -> Any:
    """Flag a Measurement Set and return the result."""
    from contimg.formats.ms.info import read_ms_info
    from contimg.tile.flag.run import flag

    return flag(read_ms_info(ms))


def apply_known(ms: Path, caltable_set: Any) -> Any:
    """Write CORRECTED_DATA with a calibration set."""
    from contimg.formats.ms.info import read_ms_info
    from contimg.tile.calibrate.apply import apply_caltable_set

    return apply_caltable_set(caltable_set, read_ms_info(ms))


def solve_ms(ms: Path, directory: Path, unflagged: Any, solver: str = "stefcal") -> Any:
    """Solve on the calibrator in the primary beam and return the calibration set."""
    from contimg.formats.ms.info import read_ms_info
    from contimg.tile.calibrate.options import CalibrateOptions
    from contimg.tile.calibrate.selection import compute_min_calibrator_jy, select_calibrators, with_companions
    from contimg.tile.calibrate.solve.run import solve

    tile, options = read_ms_info(ms), CalibrateOptions.build({"solver": solver})
    min_jy = compute_min_calibrator_jy(tile, len(tile.antennas), options.min_channel_snr)
    calibrator = select_calibrators(tile, options.min_attenuation, min_jy)[0]
    return solve(tile, with_companions(tile, calibrator), unflagged, directory, options)
