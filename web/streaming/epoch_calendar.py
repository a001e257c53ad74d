"""The calendar of epochs: a row for each sidereal window, a column for each day."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mode

from contimg.common.units import format_utc
from contimg.epoch.windows import strip_of_key
from contimg.instrument.time import DAY_S
from contimg.store.epochs.mosaics import CalendarEpoch

_KEY = re.compile(r"(\d{4}-\d\d-\d\d)b?_L(\d\d)(\d\d)")


@dataclass(frozen=True)
class CalendarDay:
    """A column: a UTC day, and how many of its epochs have a mosaic.

    Attributes
    ----------
    date : as 2026-02-22.
    weekday : as Sun.
    completed, total : epochs with their mosaic, and all.
    """

    date: str
    weekday: str
    completed: int
    total: int


@dataclass(frozen=True)
class CalendarEntry:
    """An epoch in a cell.

    Attributes
    ----------
    id : key of the epoch.
    text : QA grade of the mosaic, or the state of the job.
    tone : class of its colour: the grade or the state.
    strip : declination of its strip, as +16.3°; empty for the strip of most epochs.
    tile_count : tile images in its mosaic; 0 without one.
    """

    id: str
    text: str
    tone: str
    strip: str
    tile_count: int


@dataclass(frozen=True)
class CalendarRow:
    """A row: the beginning of a window in local sidereal time, as 01:30, and the epochs of each day."""

    lst: str
    cells: tuple[tuple[CalendarEntry, ...], ...]


@dataclass(frozen=True)
class EpochCalendar:
    """Windows by days, the latest day first.

    Attributes
    ----------
    days : from the newest day back to the first one with an epoch.
    rows : windows that have an epoch on one of these days, by local sidereal time.
    strip : declination strip of most epochs, as +16.3°; empty without an epoch.
    """

    days: tuple[CalendarDay, ...]
    rows: tuple[CalendarRow, ...]
    strip: str


def arrange_epochs(epochs: Iterable[CalendarEpoch], until_s: float) -> EpochCalendar:
    """Arrange epochs by window and day.

    Parameters
    ----------
    epochs : of the days before `until_s`.
    until_s : end of the newest day, epoch seconds.
    """
    by_cell: dict[tuple[str, str], list[CalendarEpoch]] = defaultdict(list)
    for epoch in epochs:
        match = _KEY.match(epoch.id)
        if match:
            by_cell[f"{match[2]}:{match[3]}", match[1]].append(epoch)
    if not by_cell:
        return EpochCalendar((), (), "")
    first = min(date for _, date in by_cell)
    dates = [format_utc(until_s - DAY_S / 2, "%Y-%m-%d")]
    while dates[-1] > first:
        dates.append(format_utc(until_s - (len(dates) + 0.5) * DAY_S, "%Y-%m-%d"))
    listed = [epoch for cell in by_cell.values() for epoch in cell]
    usual = mode(sorted(strip_of_key(epoch.id) or 0 for epoch in listed))
    days = []
    for number, date in enumerate(dates):
        of_day = [epoch for (_, day), cell in by_cell.items() if day == date for epoch in cell]
        weekday = format_utc(until_s - (number + 0.5) * DAY_S, "%a")
        days.append(CalendarDay(date, weekday, sum(epoch.tile_count > 0 for epoch in of_day), len(of_day)))
    rows = [
        CalendarRow(
            lst,
            tuple(tuple(_enter(epoch, usual) for epoch in by_cell.get((lst, date), ())) for date in dates),
        )
        for lst in sorted({lst for lst, _ in by_cell})
    ]
    return EpochCalendar(tuple(days), tuple(rows), _format_strip(usual))


def _enter(epoch: CalendarEpoch, usual: int) -> CalendarEntry:
    shown = epoch.grade if epoch.grade and epoch.state == "completed" else str(epoch.state)
    strip = strip_of_key(epoch.id) or 0
    shown_strip = "" if strip == usual else _format_strip(strip)
    return CalendarEntry(epoch.id, shown.replace("_", " "), shown, shown_strip, epoch.tile_count)


def _format_strip(strip: int) -> str:
    return f"{strip / 10:+.1f}°".replace("-", "−")
