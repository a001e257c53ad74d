"""Nights (UTC days) with their counts of images, and the labelled UTC axis of a chart."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contimg.common.units import format_utc, parse_time_span
from contimg.instrument.time import DAY_S, mjd_to_unix, unix_to_mjd
from contimg.store import ImageFilter, Store

LISTED_NIGHTS = 14
MAX_TICKS = 7
_HOUR_S, _DAY_S = 3600, int(DAY_S)
_STEPS_S = (60, 300, 900, 1800, _HOUR_S, 2 * _HOUR_S, 4 * _HOUR_S, 12 * _HOUR_S, _DAY_S, 2 * _DAY_S, 7 * _DAY_S,
            14 * _DAY_S, 30 * _DAY_S, 60 * _DAY_S, 120 * _DAY_S, 365 * _DAY_S)  # fmt: skip


@dataclass(frozen=True)
class NightCount:
    """A night: its date, and its number of images by QA grade; the empty grade counts those without one."""

    date: str
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """Number of images."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class NightList:
    """The nights that a page links to, and the times that it shows.

    Attributes
    ----------
    nights : those with images in the two weeks that end with the newest image, or a week after the selected night.
    earlier, later : dates of the nearest earlier night and of the newest night, where these are not listed; else None.
    since_mjd, until_mjd : limits of the selected night, or of all listed nights, days, UTC.
    """

    nights: tuple[NightCount, ...]
    earlier: str | None
    later: str | None
    since_mjd: float
    until_mjd: float

    @classmethod
    def read(cls, store: Store, selected: str) -> "NightList":
        """Read the nights around a selected one, or the latest.

        Parameters
        ----------
        store : the store.
        selected : date, as 2026-02-22; empty for all nights of the list.
        """
        newest = store.products.images(1)
        until = math.floor(newest[0].mjd) + 1 if newest else 0
        limits = None
        if selected:
            limits = night_limits(selected)
            until = min(until, math.floor(limits[0]) + LISTED_NIGHTS // 2 + 1)
        since = until - LISTED_NIGHTS
        counts = store.products.count_nights(ImageFilter(since_mjd=since, until_mjd=until))
        before = store.products.find_images(ImageFilter(until_mjd=since), 1)
        after = newest if newest and newest[0].mjd >= until else ()
        since_mjd, until_mjd = limits or (float(since), float(until))
        return cls(
            tuple(NightCount(night_of(night), by_grade) for night, by_grade in counts.items()),
            night_of(before[0].mjd) if before else None,
            night_of(after[0].mjd) if after else None,
            since_mjd,
            until_mjd,
        )


@dataclass(frozen=True)
class Tick:
    """A tick of an axis: its position in percent of the axis, and its label."""

    percent: float
    label: str

    @property
    def anchor(self) -> str:
        """How the label is placed on the position, so that it ends within the axis."""
        return "start" if self.percent < 4 else "end" if self.percent > 96 else "middle"


def night_of(mjd: float) -> str:
    """Return the night of a time, as 2026-02-22.

    Parameters
    ----------
    mjd : days, UTC.
    """
    return format_utc(mjd_to_unix(math.floor(mjd)), "%Y-%m-%d")


def night_limits(date: str) -> tuple[float, float]:
    """Return the beginning and the end of a night.

    Parameters
    ----------
    date : as 2026-02-22.

    Returns
    -------
    MJD, days, UTC.
    """
    begin_s, end_s = parse_time_span(date)
    return unix_to_mjd(begin_s or 0.0), unix_to_mjd(end_s or 0.0)


def whole_hours(times_mjd: Sequence[float]) -> tuple[float, float]:
    """Return the limits of an axis that shows all times and begins and ends at a whole hour.

    Parameters
    ----------
    times_mjd : at least one time, days, UTC.

    Returns
    -------
    MJD, days, at least one hour apart.
    """
    begin_h, end_h = math.floor(24 * min(times_mjd)), math.ceil(24 * max(times_mjd))
    return begin_h / 24, max(end_h, begin_h + 1) / 24


def utc_ticks(since_mjd: float, until_mjd: float) -> tuple[Tick, ...]:
    """Return ticks at round times, no two with the same label; midnight is labelled with the date.

    Parameters
    ----------
    since_mjd, until_mjd : limits of the axis, days, UTC.
    """
    since_s, until_s = mjd_to_unix(since_mjd), mjd_to_unix(until_mjd)
    span_s = until_s - since_s
    step_s = next((step for step in _STEPS_S if span_s / step <= MAX_TICKS - 1), _STEPS_S[-1])
    first = math.ceil((since_s - 1e-3) / step_s)
    times_s = [n * step_s for n in range(first, math.floor((until_s + 1e-3) / step_s) + 1)]
    date = "%m-%d" if span_s < 300 * _DAY_S else "%Y-%m-%d"
    clock = "%H:%M" if span_s <= _DAY_S + 1 else "%d %H:%M"
    return tuple(
        Tick(100 * (time_s - since_s) / span_s, format_utc(time_s, clock if time_s % _DAY_S else date))
        for time_s in times_s
    )
