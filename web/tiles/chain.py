"""One group's way through the stages as a drawing: files arriving, attempts as bars, the waiting between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from contimg.store import FileRecord, GroupRecord, Stage, StageRunRecord

WIDTH = 1000.0


@dataclass(frozen=True)
class Bar:
    """An attempt on the drawing: where it begins and how wide it is, its outcome, and how long it had waited, s."""

    run: StageRunRecord
    x: float
    width: float
    outcome: str
    waited_s: float
    took_s: float

    @property
    def host(self) -> str:
        """The machine that ran it."""
        return self.run.owner.split(":")[0]


@dataclass(frozen=True)
class Chain:
    """The drawing, 1000 wide: its time runs from the first file to the end, or to now.

    Attributes
    ----------
    arrivals : where each file came.
    bars : every attempt of each stage.
    ticks : marks of time, (place, seconds since the first file).
    """

    began_s: float
    ended_s: float
    arrivals: tuple[float, ...]
    bars: tuple[tuple[Stage, tuple[Bar, ...]], ...]
    ticks: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, group: GroupRecord, runs: Sequence[StageRunRecord], files: Sequence[FileRecord], now_s: float) -> Self:
        """The drawing of a group at a time (epoch seconds)."""
        ends = [run.ended_at or now_s for run in runs] + [file.arrived_at for file in files]
        began = min([group.created_at, *(file.arrived_at for file in files)])
        ended = max([*ends, group.updated_at, began + 1.0])
        scale = WIDTH / (ended - began)

        def place(at_s: float) -> float:
            return (at_s - began) * scale

        free = max([file.arrived_at for file in files], default=began)
        drawn: dict[Stage, list[Bar]] = {stage: [] for stage in Stage}
        for run in runs:
            end = run.ended_at or now_s
            x, width = place(run.started_at), max((end - run.started_at) * scale, 3.0)
            outcome = str(run.outcome or "running")
            drawn[run.stage].append(
                Bar(run, min(x, WIDTH - width), width, outcome, max(0.0, run.started_at - free), end - run.started_at)
            )
            free = end
        bars = tuple((stage, tuple(drawn[stage])) for stage in Stage)
        step = _step(ended - began)
        ticks = [(place(began + n * step), n * step) for n in range(int((ended - began) / step) + 1)]
        return cls(began, ended, tuple(place(file.arrived_at) for file in files), bars, tuple(ticks))


def _step(seconds: float) -> float:
    """A round length of time that divides a span into at most eight parts."""
    steps = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600, 43200)
    return next((float(step) for step in steps if seconds / step <= 8), 86400.0 * max(1, seconds // (8 * 86400) + 1))
