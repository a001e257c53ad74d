"""One point of the growth curves: a stage on a tile of one size, in a process of its own, warm as a worker's is."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from known_gains import known_set
from stage_runs import Cost, MadeTile, TileSize, apply_known, flag_ms, fresh_copy, make_tile, measured, solve_ms

from contimg.conversion import ConvertOptions, convert
from contimg.imaging import ImageOptions, image
from contimg.measurement_set.description import describe

SMALL = TileSize(16, 6, 192)
SMALL_PIXELS = 256
PIXEL_ARCSEC = 3.0  # of the largest images that are asked for
Run = Callable[[Path], tuple[Any, Cost]]


@dataclass(frozen=True)
class Point:
    """A stage, the size of its tile, and the side of its image in pixels, which only imaging asks for."""

    stage: str
    tile: TileSize
    pixels: int


def measure(point: Point, tile: MadeTile, small: MadeTile, rounds: int, room: Path) -> dict[str, Any]:
    """The medians of a point's costs, after a small tile, and what the stage said; for a fresh process."""
    prepare = {"convert": _convert, "flag": _flag, "apply": _apply, "image": _image, "solve": _solve}[point.stage]
    with TemporaryDirectory(dir=room) as name:
        warm = Path(name) / "warm"
        warm.mkdir()
        prepare(small, warm, SMALL_PIXELS)(warm)
        run, said, costs = prepare(tile, Path(name), point.pixels), {}, []
        for number in range(rounds):
            work = Path(name) / str(number)
            work.mkdir()
            said, cost = run(work)
            costs.append(cost)
    return {
        "seconds": statistics.median(cost.seconds for cost in costs),
        "core_s": statistics.median(cost.core_s for cost in costs),
        "peak_mib": statistics.median(cost.peak_bytes for cost in costs) / 2**20,
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
    one = known_set(describe(tile.ms), tile.truth, room / "set")

    def run(work: Path) -> tuple[dict[str, Any], Cost]:
        return {}, measured(apply_known, fresh_copy(tile.ms, work), one)[1]

    return run


def _image(tile: MadeTile, room: Path, pixels: int) -> Run:
    ms = fresh_copy(tile.ms, room)
    flag_ms(ms)
    apply_known(ms, known_set(describe(ms), tile.truth, room / "set"))
    options = ImageOptions(size=pixels, pixel_arcsec=PIXEL_ARCSEC)

    def run(work: Path) -> tuple[dict[str, Any], Cost]:
        look, cost = measured(image, ms, work, options)
        return {"iterations": look.iterations, "channel_average": look.channel_average, "steps": look.seconds}, cost

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
