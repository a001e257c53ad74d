"""The time line of a group: arrivals of its files, attempts of its stages, the waiting times between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from contimg.store import TILE, FileRecord, GroupRecord, Stage, StageRunRecord

WIDTH = 1000.0
TICK_STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600, 43200)
MAX_TICKS = 8


@dataclass(frozen=True)
class Bar:
    """An attempt: start and width on the drawing, outcome, waiting time before it and duration, s."""

    run: StageRunRecord
    x: float
    width: float
    outcome: str
    waited_s: float
    duration_s: float

    @property
    def host(self) -> str:
        """The machine that executed it."""
        return self.run.owner.split(":")[0]


@dataclass(frozen=True)
class Timeline:
    """The drawing, `WIDTH` wide, from the first file to the end, or to now.

    Attributes
    ----------
    start_s, end_s : its limits, epoch seconds.
    arrivals : position of each file.
    bars : the attempts of each stage.
    ticks : position of each tick, and seconds since the first file.
    """

    start_s: float
    end_s: float
    arrivals: tuple[float, ...]
    bars: tuple[tuple[Stage, tuple[Bar, ...]], ...]
    ticks: tuple[tuple[float, float], ...]

    @classmethod
    def draw(
        cls, group: GroupRecord, runs: Sequence[StageRunRecord], files: Sequence[FileRecord], now_s: float
    ) -> Self:
        """Draw the time line of a group.

        Parameters
        ----------
        group, runs, files : the group, its attempts and its subband files.
        now_s : the end of running attempts, epoch seconds.
        """
        arrivals_s = [file.arrived_at for file in files]
        start_s = min([group.created_at, *arrivals_s])
        end_s = max([*(run.ended_at or now_s for run in runs), *arrivals_s, group.updated_at, start_s + 1.0])
        scale = WIDTH / (end_s - start_s)
        ready_s = max(arrivals_s, default=start_s)
        bars: dict[Stage, list[Bar]] = {stage: [] for stage in TILE.stages}
        for run in runs:
            run_end_s = run.ended_at or now_s
            width = max((run_end_s - run.started_at) * scale, 3.0)
            x = min((run.started_at - start_s) * scale, WIDTH - width)
            waited_s, duration_s = max(0.0, run.started_at - ready_s), run_end_s - run.started_at
            bars[run.stage].append(Bar(run, x, width, str(run.outcome or "running"), waited_s, duration_s))
            ready_s = run_end_s
        step_s = _tick_step(end_s - start_s)
        ticks = tuple((n * step_s * scale, n * step_s) for n in range(int((end_s - start_s) / step_s) + 1))
        return cls(
            start_s, end_s, tuple((arrival_s - start_s) * scale for arrival_s in arrivals_s),
            tuple((stage, tuple(bars[stage])) for stage in TILE.stages), ticks,
        )  # fmt: skip


def _tick_step(seconds: float) -> float:
    """Return a round step that divides a duration into at most `MAX_TICKS` parts."""
    days = 86400.0 * max(1, seconds // (MAX_TICKS * 86400) + 1)
    return next((float(step) for step in TICK_STEPS_S if seconds / step <= MAX_TICKS), days)
