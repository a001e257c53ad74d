"""A regression guard: has a stage become dearer than it was, held against plain work in the same run?

    make bench-guard                      under a minute; exits with 1 when a stage lost more than 30 %
    make bench-guard ARGS="--record"      these ratios are from now on the recorded ones

A ratio is a stage's seconds of cores over those of a reference (guard_references.py), each the least of several rounds
in which all take turns: what disturbs the machine disturbs both, and the least is the least disturbed. A stage that
seems to have lost is measured again, as many rounds more, before it is said to have. Seconds of cores are not changed
by waiting, so work that was parallel and no longer is goes unseen here; `make bench` shows that.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click
from growth_points import PIXEL_ARCSEC
from guard_references import copy_column, grid_once, rotate_and_write, search_baselines
from guard_verdict import Recorded, losses, report
from known_gains import known_set
from machine import machine
from stage_runs import TileSize, apply_known, flag_ms, fresh_copy, make_tile, measured

from contimg.errors import Misconfigured
from contimg.formats.ms.info import read_ms_info
from contimg.tile.convert import ConvertOptions, convert
from contimg.tile.image import ImageOptions, image

RECORD = Path(__file__).with_name("recorded.json")
TILE, PIXELS = TileSize(48, 24, 384), 1024
SIZE = f"{TILE}, {PIXELS} pixels"
TURNS = {"convert": 2, "flag": 1, "apply": 3, "image": 1}  # in a round; the shorter, the more often
STAGES = tuple(TURNS)
RUNS_RECORDED = 3
Work = Callable[[], Any]


class Guarded:
    """The stages and their references on one tile; the least seconds of cores of each so far."""

    def __init__(self, room: Path) -> None:
        self._room = room
        self._tile = make_tile(room / "tile", TILE)
        self._set = known_set(read_ms_info(self._tile.ms), self._tile.truth, room / "set")
        for place in ("calibrated", "ours", "theirs"):
            (room / place).mkdir()
        self._clean = self._calibrated(room / "calibrated")
        self.least: dict[str, tuple[float, float]] = {}
        self.take_turns(1, STAGES)  # compiles, fills the page cache
        self.least.clear()

    def _calibrated(self, place: Path) -> Path:
        ms = fresh_copy(self._tile.ms, place)
        flag_ms(ms)
        apply_known(ms, self._set)
        return ms

    def take_turns(self, rounds: int, stages: tuple[str, ...]) -> None:
        """So many rounds of these stages, each followed by its reference."""
        for _ in range(rounds):
            for stage in (one for one in stages for _ in range(TURNS[one])):
                pair = [measured(work)[1].core_s for work in self._works(stage)]
                before = self.least.get(stage, (float("inf"), float("inf")))
                self.least[stage] = min(before[0], pair[0]), min(before[1], pair[1])

    def _works(self, stage: str) -> tuple[Work, Work]:
        tile, room = self._tile, self._room
        options = ImageOptions(size=PIXELS, pixel_arcsec=PIXEL_ARCSEC)
        if stage == "convert":
            return lambda: convert(tile.files, room / "out.ms", ConvertOptions()), lambda: rotate_and_write(tile, room)
        if stage == "flag":
            ms = fresh_copy(tile.ms, room / "ours")
            return lambda: flag_ms(ms), lambda: search_baselines(tile)
        if stage == "apply":
            ours, theirs = (fresh_copy(tile.ms, room / place) for place in ("ours", "theirs"))
            return lambda: apply_known(ours, self._set), lambda: copy_column(theirs)
        return lambda: image(self._clean, room / "images", options), lambda: grid_once(tile, PIXELS)

    @property
    def ratios(self) -> dict[str, float]:
        """A stage's cost over its reference's."""
        return {stage: ours / reference for stage, (ours, reference) in self.least.items()}


def guard(room: Path, rounds: int, recorded: Recorded) -> Guarded:
    """Measure; once more what seems to have lost."""
    bench = Guarded(room)
    bench.take_turns(rounds, STAGES)
    doubtful = tuple(losses(bench.ratios, recorded))
    if doubtful:
        click.echo(f"measuring {', '.join(doubtful)} again")
        bench.take_turns(rounds, doubtful)
    return bench


def record_anew(room: Path, rounds: int) -> Guarded:
    """Write the medians of what several runs of the guard would find."""
    bench, found = Guarded(room), []
    for _ in range(RUNS_RECORDED):
        bench.least.clear()
        bench.take_turns(rounds, STAGES)
        found.append(bench.ratios)
    Recorded(SIZE, {stage: median(one[stage] for one in found) for stage in STAGES}, machine()).write(RECORD)
    return bench


@click.command()
@click.option("--record", is_flag=True, help="write the ratios as the recorded ones")
@click.option("--rounds", default=5, show_default=True, help="rounds; the least of them counts")
@click.option("--scratch", type=click.Path(path_type=Path), help="where to work; 1 GB")
def main(record: bool, rounds: int, scratch: Path | None) -> None:
    """Compare the stages' ratios with the recorded ones."""
    try:
        sys.exit(0 if _holds(record, rounds, scratch) else 1)
    except Misconfigured as error:
        raise click.ClickException(str(error)) from error


def _holds(record: bool, rounds: int, scratch: Path | None) -> bool:
    before = None if record else Recorded.read(RECORD, SIZE)
    with tempfile.TemporaryDirectory(prefix="bench-guard-", dir=scratch) as room:
        bench = guard(Path(room), rounds, before) if before else record_anew(Path(room), rounds)
    recorded = before or Recorded.read(RECORD, SIZE)
    click.echo(report(bench.least, bench.ratios, recorded))
    lost = losses(bench.ratios, recorded)
    click.echo("\n".join(lost.values()) or "no stage has lost")
    return not lost


if __name__ == "__main__":
    main()
