"""The calendar of nights: a block for each month of a year, a row for each week."""

import calendar
from collections.abc import Mapping
from dataclasses import dataclass

from contimg.store.survey.nights.records import NightSummary

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True)
class CalendarNight:
    """A day: its number in the month, and the night; None before the first tile and after the newest day."""

    number: int
    night: NightSummary | None

    @property
    def tone(self) -> str:
        """Class of its colour: the grade of most images, `empty` without an image, nothing without a night."""
        if self.night is None:
            return ""
        return self.night.grade or "empty"


@dataclass(frozen=True)
class CalendarMonth:
    """A month, as 2026-02, its name, and its weeks of seven days, None for days of other months."""

    month: str
    name: str
    weeks: tuple[tuple[CalendarNight | None, ...], ...]


def arrange_year(year: int, nights: Mapping[str, NightSummary]) -> tuple[CalendarMonth, ...]:
    """Arrange the nights of a year by month.

    Parameters
    ----------
    year : of the calendar.
    nights : by day; nights in which no tile was expected are left out.
    """
    months = []
    for month in range(1, 13):
        weeks = tuple(
            tuple(_night_of(f"{year:04d}-{month:02d}-{day:02d}", day, nights) for day in week)
            for week in calendar.Calendar().monthdayscalendar(year, month)
        )
        months.append(CalendarMonth(f"{year:04d}-{month:02d}", calendar.month_name[month], weeks))
    return tuple(months)


def _night_of(date: str, day: int, nights: Mapping[str, NightSummary]) -> CalendarNight | None:
    if day == 0:
        return None
    night = nights.get(date)
    return CalendarNight(day, night if night is not None and night.expected_tiles + night.arrived_tiles else None)
