"""How the cost of each stage grows with antennas, integrations, channels and the image's size.

    make bench-growth                                 eight minutes on two cores, 6 GB of disk
    make bench-growth ARGS="--plot growth.png --json growth.json"
    make bench-growth ARGS="--stage solve"            solving: CASA, some minutes

One dimension is varied at a time, the others held. Each point is the least of its rounds, in a process of its own that
has done a small tile before. Exits with 1 when somewhere a cost grows faster than it may: by more than half a power
above the expected one, between any two neighbouring points.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from growth_points import SMALL, Point, made, measure
from growth_verdict import ANTENNAS, CHANNELS, EXPECTED, INTEGRATIONS, MARGIN, PIXELS, Curve, curve, verdict
from machine import machine
from stage_runs import MadeTile, TileSize, apart

BASE, BASE_PIXELS = TileSize(48, 24, 384), 1024
SWEEPS = {
    ANTENNAS: (24, 48, 72, 96, 110), INTEGRATIONS: (6, 12, 24, 48), CHANNELS: (192, 384, 768, 1536),
    PIXELS: (512, 1024, 2048, 4096, 4800),
}  # fmt: skip
IMAGE, SOLVE = "image", "solve"
STAGES = ("convert", "flag", "apply", IMAGE)
SOLVE_ANTENNAS = (24, 48, 96)
COSTS = ("core_s", "seconds", "peak_mib")
JUDGED = ("core_s", "peak_mib")  # seconds by the clock are other processes', too


def points_of(dimension: str, stages: tuple[str, ...]) -> Iterator[tuple[int, Point]]:
    """What is measured along a dimension: the image's size matters to imaging alone, solving goes by antennas only."""
    for stage in stages:
        if (stage == SOLVE and dimension != ANTENNAS) or (stage != IMAGE and dimension == PIXELS):
            continue
        for size in SOLVE_ANTENNAS if stage == SOLVE else SWEEPS[dimension]:
            tile = BASE if dimension == PIXELS else replace(BASE, **{dimension: size})
            yield size, Point(stage, tile, (size if dimension == PIXELS else BASE_PIXELS) if stage == IMAGE else 0)


def measure_all(wanted: list[tuple[str, int, Point]], room: Path, rounds: int) -> dict[Point, dict[str, Any]]:
    """Every point once, tile by tile."""
    small = apart(made, room / "small", SMALL, False)
    small_transit = apart(made, room / "small-transit", SMALL, True) if _solves(wanted) else small
    found: dict[Point, dict[str, Any]] = {}
    points = dict.fromkeys(point for _, _, point in wanted)
    for tile, transit in dict.fromkeys((point.tile, point.stage == SOLVE) for point in points):
        place = room / f"{tile}{'-transit' * transit}"
        ready = apart(made, place, tile, transit)
        for point in points:
            if (point.tile, point.stage == SOLVE) == (tile, transit):
                found[point] = _measure(point, ready, small_transit if transit else small, rounds, room)
        shutil.rmtree(place)
    return found


def _solves(wanted: list[tuple[str, int, Point]]) -> bool:
    return any(point.stage == SOLVE for _, _, point in wanted)


def _measure(point: Point, tile: MadeTile, small: MadeTile, rounds: int, room: Path) -> dict[str, Any]:
    one = apart(measure, point, tile, small, 1 if point.stage == SOLVE else rounds, room)
    what = f"{point.tile}" + (f" {point.pixels}²" if point.pixels else "")
    click.echo(
        f"  {what:18} {point.stage:8} {one['seconds']:7.2f} s  {one['core_s']:7.2f} core s  {one['peak_mib']:6.0f} MiB"
        + (f"  {one['iterations']} iterations" if "iterations" in one else "")
    )
    return one


def curves_of(wanted: list[tuple[str, int, Point]], found: dict[Point, dict[str, Any]]) -> list[Curve]:
    """A curve for each stage, dimension and cost."""
    keys = dict.fromkeys((point.stage, dimension) for dimension, _, point in wanted)
    return [
        curve(
            stage, dimension, cost,
            {size: found[point][cost] for along, size, point in wanted if (point.stage, along) == (stage, dimension)},
        )
        for cost in COSTS for stage, dimension in keys
    ]  # fmt: skip


def table(curves: list[Curve]) -> str:
    """The powers, one line for a curve."""
    lines = [f"{'against':13}{'stage':9}{'cost':10}{'power':>6}{'expected':>10}   between neighbours"]
    for one in sorted(curves, key=lambda one: (list(EXPECTED).index(one.dimension), COSTS.index(one.cost))):
        local = "  ".join(f"{power:5.2f}" for power in one.local_powers)
        lines.append(f"{one.dimension:13}{one.stage:9}{one.cost:10}{one.power:6.2f}{one.expected:10g}   {local}")
    return "\n".join(lines)


@click.command()
@click.option("--rounds", default=4, show_default=True, help="runs of each point at most; the least of them counts")
@click.option("--only", type=click.Choice(tuple(SWEEPS)), multiple=True, help="these dimensions; may be repeated")
@click.option(
    "--stage", "stages", type=click.Choice((*STAGES, SOLVE)), multiple=True, default=STAGES, help="these stages"
)
@click.option("--json", "record", type=click.Path(path_type=Path), help="write the measurements here")
@click.option("--plot", type=click.Path(path_type=Path), help="draw the curves here: .png or .svg")
@click.option("--scratch", type=click.Path(path_type=Path), help="where to work; 6 GB")
def main(
    rounds: int,
    only: tuple[str, ...],
    stages: tuple[str, ...],
    record: Path | None,
    plot: Path | None,
    scratch: Path | None,
) -> None:
    """Measure how the stages' costs grow."""
    begun, host = time.perf_counter(), machine()
    wanted = [(along, size, point) for along in only or SWEEPS for size, point in points_of(along, stages)]
    with tempfile.TemporaryDirectory(prefix="bench-growth-", dir=scratch) as name:
        found = measure_all(wanted, Path(name), rounds)
    curves = curves_of(wanted, found)
    cliffs = verdict([one for one in curves if one.cost in JUDGED])
    click.echo(f"\n{table(curves)}\n\n{time.perf_counter() - begun:.0f} s in all")
    click.echo("\n".join(cliffs) or f"no cliff: no local power exceeds the expected one by more than {MARGIN:g}")
    if record:
        points = [{**asdict(point), **one} for point, one in found.items()]
        powers = [{**asdict(one), "power": one.power, "local_powers": one.local_powers} for one in curves]
        record.write_text(json.dumps({"machine": host, "points": points, "curves": powers, "cliffs": cliffs}, indent=1))
    if plot:
        from growth_plot import draw

        draw(curves, plot)
    sys.exit(bool(cliffs))


if __name__ == "__main__":
    main()
