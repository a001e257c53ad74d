"""Measure how the cost of each stage grows with antennas, integrations, channels and image size.

    make bench-growth                                 eight minutes on two cores, 6 GB of disk
    make bench-growth ARGS="--plot growth.png --json growth.json"
    make bench-growth ARGS="--stage solve"            the solving stage

One dimension is varied at a time, the others are fixed. Each point is the minimum of its rounds, in a process of its
own that has processed a small tile before. Exits with 1 when a cost grows faster than its limit between two
neighbouring points: the limit is the expected power plus 0.5.
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
from growth_limits import ANTENNAS, CHANNELS, EXPECTED, INTEGRATIONS, MARGIN, PIXELS, Curve, find_cliffs, fit_curve
from growth_points import SMALL, Point, measure, simulate_and_convert
from machine import machine
from stage_runs import SimulatedTile, TileSize, run_in_process

BASE, BASE_PIXELS = TileSize(48, 24, 384), 1024
SWEEPS = {
    ANTENNAS: (24, 48, 72, 96, 110), INTEGRATIONS: (6, 12, 24, 48), CHANNELS: (192, 384, 768, 1536),
    PIXELS: (512, 1024, 2048, 4096, 4800),
}  # fmt: skip
IMAGE, SOLVE = "image", "solve"
STAGES = ("convert", "flag", "apply", IMAGE)
SOLVE_ANTENNAS = (24, 48, 96)
COSTS = ("core_s", "seconds", "peak_mib")
LIMITED_COSTS = ("core_s", "peak_mib")  # elapsed seconds depend on other processes


def points_of(dimension: str, stages: tuple[str, ...]) -> Iterator[tuple[int, Point]]:
    """Yield the points along a dimension; the image size applies to imaging only, solving varies with antennas only."""
    for stage in stages:
        if (stage == SOLVE and dimension != ANTENNAS) or (stage != IMAGE and dimension == PIXELS):
            continue
        for size in SOLVE_ANTENNAS if stage == SOLVE else SWEEPS[dimension]:
            tile = BASE if dimension == PIXELS else replace(BASE, **{dimension: size})
            yield size, Point(stage, tile, (size if dimension == PIXELS else BASE_PIXELS) if stage == IMAGE else 0)


def measure_all(
    measurements: list[tuple[str, int, Point]], directory: Path, rounds: int
) -> dict[Point, dict[str, Any]]:
    """Measure every point once, tile by tile."""
    small = run_in_process(simulate_and_convert, directory / "small", SMALL, False)
    small_transit = (
        run_in_process(simulate_and_convert, directory / "small-transit", SMALL, True)
        if _include_solving(measurements)
        else small
    )
    figures: dict[Point, dict[str, Any]] = {}
    points = dict.fromkeys(point for _, _, point in measurements)
    for tile, transit in dict.fromkeys((point.tile, point.stage == SOLVE) for point in points):
        tile_directory = directory / f"{tile}{'-transit' * transit}"
        simulated = run_in_process(simulate_and_convert, tile_directory, tile, transit)
        for point in points:
            if (point.tile, point.stage == SOLVE) == (tile, transit):
                figures[point] = _measure(point, simulated, small_transit if transit else small, rounds, directory)
        shutil.rmtree(tile_directory)
    return figures


def _include_solving(measurements: list[tuple[str, int, Point]]) -> bool:
    return any(point.stage == SOLVE for _, _, point in measurements)


def _measure(point: Point, tile: SimulatedTile, small: SimulatedTile, rounds: int, directory: Path) -> dict[str, Any]:
    figures = run_in_process(measure, point, tile, small, 1 if point.stage == SOLVE else rounds, directory)
    size = f"{point.tile}" + (f" {point.pixels}²" if point.pixels else "")
    click.echo(
        f"  {size:18} {point.stage:8} {figures['seconds']:7.2f} s  {figures['core_s']:7.2f} core s  "
        f"{figures['peak_mib']:6.0f} MiB" + (f"  {figures['iterations']} iterations" if "iterations" in figures else "")
    )
    return figures


def curves_of(measurements: list[tuple[str, int, Point]], figures: dict[Point, dict[str, Any]]) -> list[Curve]:
    """Return a curve for each stage, dimension and cost."""
    values: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for dimension, size, point in measurements:
        values.setdefault((point.stage, dimension), {})[size] = figures[point]
    return [
        fit_curve(stage, dimension, cost, {size: costs[cost] for size, costs in points.items()})
        for cost in COSTS
        for (stage, dimension), points in values.items()
    ]


def table(curves: list[Curve]) -> str:
    """Return the powers as text, one line per curve."""
    lines = [f"{'against':13}{'stage':9}{'cost':10}{'power':>6}{'expected':>10}   between neighbouring points"]
    for curve in sorted(curves, key=lambda curve: (list(EXPECTED).index(curve.dimension), COSTS.index(curve.cost))):
        local_powers = "  ".join(f"{power:5.2f}" for power in curve.local_powers)
        lines.append(
            f"{curve.dimension:13}{curve.stage:9}{curve.cost:10}{curve.power:6.2f}{curve.expected:10g}   {local_powers}"
        )
    return "\n".join(lines)


@click.command()
@click.option("--rounds", default=4, show_default=True, help="maximum number of runs of each point; the minimum counts")
@click.option(
    "--only", type=click.Choice(tuple(SWEEPS)), multiple=True, help="measure this dimension only; may be repeated"
)
@click.option(
    "--stage",
    "stages",
    type=click.Choice((*STAGES, SOLVE)),
    multiple=True,
    default=STAGES,
    help="measure this stage; may be repeated",
)
@click.option(
    "--json", "figures_path", type=click.Path(path_type=Path), help="write the measurements to this file as JSON"
)
@click.option("--plot", type=click.Path(path_type=Path), help="draw the curves into this file: .png or .svg")
@click.option("--scratch", type=click.Path(path_type=Path), help="working directory; needs 6 GB")
def main(
    rounds: int,
    only: tuple[str, ...],
    stages: tuple[str, ...],
    figures_path: Path | None,
    plot: Path | None,
    scratch: Path | None,
) -> None:
    """Measure how the stages' costs grow."""
    start_s, host = time.perf_counter(), machine()
    measurements = [
        (dimension, size, point) for dimension in only or SWEEPS for size, point in points_of(dimension, stages)
    ]
    with tempfile.TemporaryDirectory(prefix="bench-growth-", dir=scratch) as name:
        figures = measure_all(measurements, Path(name), rounds)
    curves = curves_of(measurements, figures)
    cliffs = find_cliffs([curve for curve in curves if curve.cost in LIMITED_COSTS])
    click.echo(f"\n{table(curves)}\n\n{time.perf_counter() - start_s:.0f} s in total")
    click.echo("\n".join(cliffs) or f"no cliff: no local power exceeds the expected one by more than {MARGIN:g}")
    if figures_path:
        points = [{**asdict(point), **costs} for point, costs in figures.items()]
        powers = [{**asdict(curve), "power": curve.power, "local_powers": curve.local_powers} for curve in curves]
        figures_path.write_text(
            json.dumps({"machine": host, "points": points, "curves": powers, "cliffs": cliffs}, indent=1)
        )
    if plot:
        from growth_plot import draw

        draw(curves, plot)
    sys.exit(bool(cliffs))


if __name__ == "__main__":
    main()
