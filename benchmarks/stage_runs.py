"""The stages as a worker runs them, for benchmarks: on tiles of a chosen size, warm, each run's cost taken."""

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
    """Seconds by the clock; of cores, processes that were started and have ended among them; and peak memory, bytes.

    The memory is this process's alone.
    """

    seconds: float
    core_s: float
    peak_bytes: int


@dataclass(frozen=True)
class TileSize:
    """What a tile is made of; two polarisations."""

    antennas: int
    integrations: int
    channels: int

    @property
    def samples(self) -> int:
        """Visibilities of a tile, autocorrelations among them."""
        return self.antennas * (self.antennas + 1) // 2 * self.integrations * self.channels * 2

    def __str__(self) -> str:
        return f"{self.antennas}x{self.integrations}x{self.channels}"


@dataclass(frozen=True)
class MadeTile:
    """A simulated tile: its subband files, the gains it was made with, and its Measurement Set, if converted."""

    files: dict[int, Path]
    truth: Path
    ms: Path


def make_tile(room: Path, size: TileSize, *, calibrator: bool = False) -> MadeTile:
    """Simulate and convert a target tile, with dead antennas and interference; or the calibrator's transit.

    The target is an hour after the calibrator, which is then in no image however large.
    """
    options = SimulateOptions(groups=2, gap=11, dead=max(1, size.antennas // 20), rfi=True, **asdict(size))
    plan = plan_tiles(options)[0 if calibrator else 1]
    made = simulate_tile(plan, options, room / "subbands")
    ms = convert(made.files, room / f"{plan.group}.ms", ConvertOptions()).path
    return MadeTile(dict(made.files), made.truth.with_suffix(".npz"), ms)


def measured(step: Callable[..., Any], *arguments: Any) -> tuple[Any, Cost]:
    """What a step returns, and its cost in this process."""
    CLEAR_REFS.write_text("5")  # the peak of memory begins anew
    begun, used = time.perf_counter(), core_s()
    result = step(*arguments)
    return result, Cost(time.perf_counter() - begun, core_s() - used, peak_bytes())


def core_s() -> float:
    """Seconds of cores that this process and its ended children have used."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def peak_bytes() -> int:
    """The most memory this process has had; getrusage would count its parent's."""
    (line,) = (line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def apart(step: Callable[..., Any], *arguments: Any) -> Any:
    """What a step returns, run in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(step, arguments)


def fresh_copy(ms: Path, room: Path) -> Path:
    """The same Measurement Set again, for a stage that changes it."""
    copy = room / ms.name
    shutil.rmtree(copy, ignore_errors=True)
    return Path(shutil.copytree(ms, copy))


def flag_ms(ms: Path) -> Any:
    """Flag; returns what was found."""
    from contimg.formats.ms.info import read_ms_info
    from contimg.tile.flag.run import flag

    return flag(read_ms_info(ms))


def apply_known(ms: Path, one: Any) -> Any:
    """Write CORRECTED_DATA."""
    from contimg.formats.ms.info import read_ms_info
    from contimg.tile.calibrate.apply import apply_caltable_set

    return apply_caltable_set(one, read_ms_info(ms))


def solve_ms(ms: Path, directory: Path, unflagged: Any) -> Any:
    """Solve on the calibrator in the beam; returns the set."""
    from contimg.formats.ms.info import read_ms_info
    from contimg.tile.calibrate.options import CalibrateOptions
    from contimg.tile.calibrate.selection import select_calibrators, with_companions
    from contimg.tile.calibrate.solve.run import solve

    tile, options = read_ms_info(ms), CalibrateOptions()
    main = select_calibrators(tile, options.min_attenuation, options.min_apparent_jy)[0]
    return solve(tile, with_companions(tile, main), unflagged, directory, options)
