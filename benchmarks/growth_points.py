"""One point of the growth curves: a stage on a tile of one size, in a process of its own, warm as a worker's is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from known_gains import known_set
from stage_runs import Cost, MadeTile, TileSize, apply_known, flag_ms, fresh_copy, make_tile, measured, solve_ms

from contimg.formats.ms.info import read_ms_info
from contimg.tile.convert import ConvertOptions, convert
from contimg.tile.image import ImageOptions, image

SMALL = TileSize(16, 6, 192)
SMALL_PIXELS = 256
PATIENCE_S = 8.0  # of runs of one point
PIXEL_ARCSEC = 3.0  # of the largest images that are asked for
Run = Callable[[Path], tuple[Any, Cost]]


@dataclass(frozen=True)
class Point:
    """A stage, the size of its tile, and the side of its image in pixels, which only imaging asks for."""

    stage: str
    tile: TileSize
    pixels: int


def measure(point: Point, tile: MadeTile, small: MadeTile, rounds: int, room: Path) -> dict[str, Any]:
    """The least of a point's costs, after a small tile, and what the stage said; for a fresh process.

    The least and not the median: memory that a virtual machine has not had yet costs its kernel a second a gigabyte,
    and the first runs have it. Runs that are long are not disturbed by that, and not repeated as often.
    """
    prepare = {"convert": _convert, "flag": _flag, "apply": _apply, "image": _image, "solve": _solve}[point.stage]
    with TemporaryDirectory(dir=room) as name:
        warm = Path(name) / "warm"
        warm.mkdir()
        prepare(small, warm, SMALL_PIXELS)(warm)
        run, said, costs = prepare(tile, Path(name), point.pixels), {}, list[Cost]()
        while len(costs) < rounds and sum(cost.seconds for cost in costs) < PATIENCE_S:
            with TemporaryDirectory(dir=name) as work:
                said, cost = run(Path(work))
            costs.append(cost)
    return {
        "seconds": min(cost.seconds for cost in costs),
        "core_s": min(cost.core_s for cost in costs),
        "peak_mib": min(cost.peak_bytes for cost in costs) / 2**20,
        "rounds": len(costs),
        **said,
    }


def _convert(tile: MadeTile, room: Path, pixels: int) -> Run:
    def run(work: Path) -> tuple[dict[str, Any], Cost]:
        return {}, measured(convert, tile.files, work / tile.ms.name, ConvertOptions())[1]

    return run


def _flag(tile: MadeTile, room: Path, pixels: int) -> Run:
    def run(work: Path) -> tuple[dict[str, Any], Cost]:
        found, cost = measured(flag_ms, fresh_copy(tile.ms, work))
        return {"flagged": round(found.fraction, 4)}, cost

    return run


def _apply(tile: MadeTile, room: Path, pixels: int) -> Run:
    one = known_set(read_ms_info(tile.ms), tile.truth, room / "set")

    def run(work: Path) -> tuple[dict[str, Any], Cost]:
        return {}, measured(apply_known, fresh_copy(tile.ms, work), one)[1]

    return run


def _image(tile: MadeTile, room: Path, pixels: int) -> Run:
    ms = fresh_copy(tile.ms, room)
    flag_ms(ms)
    apply_known(ms, known_set(read_ms_info(ms), tile.truth, room / "set"))
    options = ImageOptions(size=pixels, pixel_arcsec=PIXEL_ARCSEC)

    def run(work: Path) -> tuple[dict[str, Any], Cost]:
        tile_image, cost = measured(image, ms, work, options)
        return {
            "iterations": tile_image.iterations,
            "channel_average": tile_image.channel_average,
            "steps": tile_image.seconds,
        }, cost

    return run


def _solve(tile: MadeTile, room: Path, pixels: int) -> Run:
    def run(work: Path) -> tuple[dict[str, Any], Cost]:
        ms = fresh_copy(tile.ms, work)
        found = flag_ms(ms)
        one, cost = measured(solve_ms, ms, work / "calibration", found.unflagged)
        return {"grade": one.grade}, cost

    return run


def made(room: Path, size: TileSize, calibrator: bool) -> MadeTile:
    """A tile, for a fresh process."""
    return make_tile(room, size, calibrator=calibrator)
