"""Measure a point of the growth curves: a stage on a tile of one size, in a process of its own, after a warm-up."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from known_gains import known_set
from stage_runs import (
    Cost,
    SimulatedTile,
    TileSize,
    apply_known,
    flag_ms,
    fresh_copy,
    make_tile,
    measure_cost,
    solve_ms,
)

from contimg.formats.ms.info import read_ms_info
from contimg.tile.convert import ConvertOptions, convert
from contimg.tile.image import ImageOptions, image

SMALL = TileSize(16, 6, 192)
SMALL_PIXELS = 256
MAX_ROUNDS_S = 8.0  # total time after which a point is not repeated
PIXEL_ARCSEC = 3.0  # of the largest images in use
Run = Callable[[Path], tuple[Any, Cost]]


@dataclass(frozen=True)
class Point:
    """A stage, the size of its tile, and the side of its image in pixels (imaging only, otherwise 0)."""

    stage: str
    tile: TileSize
    pixels: int


def measure(point: Point, tile: SimulatedTile, small: SimulatedTile, rounds: int, directory: Path) -> dict[str, Any]:
    """Return the minimum costs of a point after a small tile, and remarks of the stage; call it in a fresh process.

    The minimum and not the median: the first use of memory in a virtual machine costs its kernel a second per gigabyte,
    which falls on the first runs. The effect on long runs is small, so they are repeated less often.
    """
    prepare = {"convert": _convert, "flag": _flag, "apply": _apply, "image": _image, "solve": _solve}[point.stage]
    with TemporaryDirectory(dir=directory) as name:
        warm_up_directory = Path(name) / "warm"
        warm_up_directory.mkdir()
        prepare(small, warm_up_directory, SMALL_PIXELS)(warm_up_directory)
        run, remarks, costs = prepare(tile, Path(name), point.pixels), {}, list[Cost]()
        while len(costs) < rounds and sum(cost.seconds for cost in costs) < MAX_ROUNDS_S:
            with TemporaryDirectory(dir=name) as work_directory:
                remarks, cost = run(Path(work_directory))
            costs.append(cost)
    return {
        "seconds": min(cost.seconds for cost in costs),
        "core_s": min(cost.core_s for cost in costs),
        "peak_mib": min(cost.peak_bytes for cost in costs) / 2**20,
        "rounds": len(costs),
        **remarks,
    }


def _convert(tile: SimulatedTile, directory: Path, pixels: int) -> Run:
    def run(work_directory: Path) -> tuple[dict[str, Any], Cost]:
        return {}, measure_cost(convert, tile.files, work_directory / tile.ms.name, ConvertOptions())[1]

    return run


def _flag(tile: SimulatedTile, directory: Path, pixels: int) -> Run:
    def run(work_directory: Path) -> tuple[dict[str, Any], Cost]:
        flagged, cost = measure_cost(flag_ms, fresh_copy(tile.ms, work_directory))
        return {"flagged": round(flagged.fraction, 4)}, cost

    return run


def _apply(tile: SimulatedTile, directory: Path, pixels: int) -> Run:
    caltable_set = known_set(read_ms_info(tile.ms), tile.truth, directory / "set")

    def run(work_directory: Path) -> tuple[dict[str, Any], Cost]:
        return {}, measure_cost(apply_known, fresh_copy(tile.ms, work_directory), caltable_set)[1]

    return run


def _image(tile: SimulatedTile, directory: Path, pixels: int) -> Run:
    ms = fresh_copy(tile.ms, directory)
    flag_ms(ms)
    apply_known(ms, known_set(read_ms_info(ms), tile.truth, directory / "set"))
    options = ImageOptions(size=pixels, pixel_arcsec=PIXEL_ARCSEC)

    def run(work_directory: Path) -> tuple[dict[str, Any], Cost]:
        tile_image, cost = measure_cost(image, ms, work_directory, options)
        return {
            "iterations": tile_image.iterations,
            "channel_average": tile_image.channel_average,
            "steps": tile_image.seconds,
        }, cost

    return run


def _solve(tile: SimulatedTile, directory: Path, pixels: int) -> Run:
    def run(work_directory: Path) -> tuple[dict[str, Any], Cost]:
        ms = fresh_copy(tile.ms, work_directory)
        flagged = flag_ms(ms)
        caltable_set, cost = measure_cost(solve_ms, ms, work_directory / "calibration", flagged.unflagged)
        return {"grade": caltable_set.grade}, cost

    return run


def simulate_and_convert(directory: Path, size: TileSize, calibrator: bool) -> SimulatedTile:
    """Simulate and convert a tile; call it in a fresh process."""
    return make_tile(directory, size, calibrator=calibrator)
