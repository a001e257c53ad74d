"""Regression guard: compare the cost of each stage, relative to reference work in the same run, with a record.

    make bench-guard                      under a minute; exits with 1 when a stage lost more than 30 %
    make bench-guard ARGS="--record"      record the measured ratios

A ratio is the core seconds of a stage divided by those of a reference (guard_references.py), each the minimum of
several rounds in which all alternate, so that other load on the machine affects both. A stage above its limit is
measured again, for as many rounds, before it is reported. Core seconds do not include waiting, so a loss of
parallelism is not detected here; `make bench` shows it.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click
from growth_points import PIXEL_ARCSEC
from guard_limits import Recorded, find_losses, format_report
from guard_references import copy_column, grid_once, rotate_and_write, search_baselines
from known_gains import known_set
from machine import machine
from stage_runs import TileSize, apply_known, flag_ms, fresh_copy, make_tile, measure_cost

from contimg.common.errors import Misconfigured
from contimg.formats.ms.info import read_ms_info
from contimg.tile.convert import ConvertOptions, convert
from contimg.tile.image import ImageOptions, image

RECORD = Path(__file__).with_name("recorded.json")
TILE, PIXELS = TileSize(48, 24, 384), 1024
SIZE = f"{TILE}, {PIXELS} pixels"
REPETITIONS = {"convert": 2, "flag": 1, "apply": 3, "image": 1}  # runs per round; short stages run more often
STAGES = tuple(REPETITIONS)
RUNS_RECORDED = 3
Work = Callable[[], Any]


class StageCosts:
    """The stages and their references on one tile, with the minimum core seconds of each so far."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._tile = make_tile(directory / "tile", TILE)
        self._caltable_set = known_set(read_ms_info(self._tile.ms), self._tile.truth, directory / "set")
        for name in ("calibrated", "ours", "reference"):
            (directory / name).mkdir()
        self._calibrated_ms = self._make_calibrated(directory / "calibrated")
        self.minima: dict[str, tuple[float, float]] = {}
        self.measure(1, STAGES)  # compiles kernels, fills the page cache
        self.minima.clear()

    def _make_calibrated(self, directory: Path) -> Path:
        ms = fresh_copy(self._tile.ms, directory)
        flag_ms(ms)
        apply_known(ms, self._caltable_set)
        return ms

    def measure(self, rounds: int, stages: tuple[str, ...]) -> None:
        """Run the stages for `rounds` rounds, each followed by its reference."""
        for _ in range(rounds):
            for stage in (name for name in stages for _ in range(REPETITIONS[name])):
                costs = [measure_cost(work)[1].core_s for work in self._stage_and_reference(stage)]
                before = self.minima.get(stage, (float("inf"), float("inf")))
                self.minima[stage] = min(before[0], costs[0]), min(before[1], costs[1])

    def _stage_and_reference(self, stage: str) -> tuple[Work, Work]:
        tile, directory = self._tile, self._directory
        options = ImageOptions(size=PIXELS, pixel_arcsec=PIXEL_ARCSEC)
        if stage == "convert":
            return lambda: convert(tile.files, directory / "out.ms", ConvertOptions()), lambda: rotate_and_write(
                tile, directory
            )
        if stage == "flag":
            ms = fresh_copy(tile.ms, directory / "ours")
            return lambda: flag_ms(ms), lambda: search_baselines(tile)
        if stage == "apply":
            our_ms, reference_ms = (fresh_copy(tile.ms, directory / name) for name in ("ours", "reference"))
            return lambda: apply_known(our_ms, self._caltable_set), lambda: copy_column(reference_ms)
        return lambda: image(self._calibrated_ms, directory / "images", options), lambda: grid_once(tile, PIXELS)

    @property
    def ratios(self) -> dict[str, float]:
        """Return the cost of each stage divided by the cost of its reference."""
        return {stage: ours / reference for stage, (ours, reference) in self.minima.items()}


def measure_and_compare(directory: Path, rounds: int, recorded: Recorded) -> StageCosts:
    """Measure all stages, and those above the limit a second time."""
    stage_costs = StageCosts(directory)
    stage_costs.measure(rounds, STAGES)
    suspects = tuple(find_losses(stage_costs.ratios, recorded))
    if suspects:
        click.echo(f"measuring {', '.join(suspects)} again")
        stage_costs.measure(rounds, suspects)
    return stage_costs


def record_ratios(directory: Path, rounds: int) -> StageCosts:
    """Write the medians of the ratios of several runs."""
    stage_costs, ratios = StageCosts(directory), []
    for _ in range(RUNS_RECORDED):
        stage_costs.minima.clear()
        stage_costs.measure(rounds, STAGES)
        ratios.append(stage_costs.ratios)
    Recorded(SIZE, {stage: median(run_ratios[stage] for run_ratios in ratios) for stage in STAGES}, machine()).write(
        RECORD
    )
    return stage_costs


@click.command()
@click.option("--record", is_flag=True, help="write the measured ratios to recorded.json")
@click.option("--rounds", default=5, show_default=True, help="number of rounds; the minimum counts")
@click.option("--scratch", type=click.Path(path_type=Path), help="working directory; needs 1 GB")
def main(record: bool, rounds: int, scratch: Path | None) -> None:
    """Compare the ratios of the stages with the recorded ratios."""
    try:
        sys.exit(0 if _is_within_limits(record, rounds, scratch) else 1)
    except Misconfigured as error:
        raise click.ClickException(str(error)) from error


def _is_within_limits(record: bool, rounds: int, scratch: Path | None) -> bool:
    before = None if record else Recorded.read(RECORD, SIZE)
    with tempfile.TemporaryDirectory(prefix="bench-guard-", dir=scratch) as directory:
        stage_costs = (
            measure_and_compare(Path(directory), rounds, before) if before else record_ratios(Path(directory), rounds)
        )
    recorded = before or Recorded.read(RECORD, SIZE)
    click.echo(format_report(stage_costs.minima, stage_costs.ratios, recorded))
    lost_stages = find_losses(stage_costs.ratios, recorded)
    click.echo("\n".join(lost_stages.values()) or "no stage is above its limit")
    return not lost_stages


if __name__ == "__main__":
    main()
