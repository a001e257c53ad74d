"""Nights of the store: a span of them in numbers, one in detail, reports that are written once, notes.

A night is a UTC day. A tile belongs to the day of its group's time of observation, in the live processing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Integer, cast, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from contimg.common.errors import BadInput, mask_secrets
from contimg.common.units import format_utc, parse_time_span
from contimg.instrument.dsa110 import CADENCE_S
from contimg.instrument.time import DAY_S, unix_to_mjd
from contimg.quality.grades import GOOD, GRADES
from contimg.settings.alerts import RULE_LEVELS
from contimg.store import tables
from contimg.store.activity.events import record_event
from contimg.store.database import Repository
from contimg.store.files.groups import FileState
from contimg.store.jobs.kinds import LIVE, TILE, State
from contimg.store.survey.nights.detail import images_of, read_detail
from contimg.store.survey.nights.records import Night, NightNote, NightSummary
from contimg.store.tables import record_of

HISTORY_DAYS = 30
LOOK_BACK_DAYS = 7
MAX_NOTE_LENGTH = 2000
UNGRADED = "ungraded"
_DAY_FORM = "%Y-%m-%d"


def day_of(time_s: float) -> str:
    """Return the UTC day of a time, as 2026-02-22.

    Parameters
    ----------
    time_s : epoch seconds.
    """
    return format_utc(time_s, _DAY_FORM)


def day_limits(day: str) -> tuple[float, float]:
    """Return the beginning and the end of a UTC day, epoch seconds.

    Parameters
    ----------
    day : as 2026-02-22.

    Raises
    ------
    BadInput : it is no day.
    """
    try:
        begin_s, end_s = parse_time_span(day)
    except ValueError:
        begin_s = end_s = None
    if begin_s is None or end_s is None or len(day) != 10:
        raise BadInput(f"{day[:40]!r}: must be a UTC day such as 2026-02-22")
    return begin_s, begin_s + DAY_S


class Nights(Repository):
    """Nights in the live processing."""

    def summaries(self, since_s: float, until_s: float) -> tuple[NightSummary, ...]:
        """Return every night of a span in numbers, in order; a fixed number of queries, whatever the span.

        Parameters
        ----------
        since_s, until_s : beginning of the first day, and end of the last, epoch seconds.
        """
        now = self._database.clock()
        with self._database.read() as session:
            return _summarise(session, since_s, until_s, now)

    def night(self, day: str) -> Night:
        """Return what became of a night.

        Parameters
        ----------
        day : as 2026-02-22.

        Raises
        ------
        BadInput : it is no day.
        """
        since_s, until_s = day_limits(day)
        now, expected_subbands = self._database.clock(), self._database.rules.expected_subbands
        with self._database.read() as session:
            *before, summary = _summarise(session, since_s - HISTORY_DAYS * DAY_S, until_s, now)
            report = session.get(tables.NightReportRow, day)
            first_s = _first_group_s(session)
            observed = (since_s if first_s is None else max(since_s, first_s), min(until_s, now))
            detail = read_detail(session, (since_s, until_s), observed, expected_subbands)
            return Night(
                **vars(summary), **detail, at=now, began_at=since_s, ended_at=until_s, nights_before=tuple(before),
                notes=_read_notes(session, day), report_path=report.path if report else None,
            )  # fmt: skip

    def newest_day(self) -> str | None:
        """Return the day of the newest group that is not in the future; None without one."""
        group = tables.Group
        query = select(func.max(group.reference_s)).where(group.reference_s <= self._database.clock())
        with self._database.read() as session:
            newest_s = session.scalar(query)
        return None if newest_s is None else day_of(newest_s)

    def newest_report(self) -> str | None:
        """Return the day of the newest report; None without one."""
        with self._database.read() as session:
            return session.scalar(select(func.max(tables.NightReportRow.day)))

    def due_reports(self, delay_s: float) -> tuple[str, ...]:
        """Return the days whose report is not written yet, in order: of the last seven, from the first group on.

        A day that begins more than seven days after the newest group has no report: nothing is observed.

        Parameters
        ----------
        delay_s : time after the end of a day from which its report is due, s.
        """
        newest_end_s = (self._database.clock() - delay_s) // DAY_S * DAY_S
        begins_s = [newest_end_s - number * DAY_S for number in reversed(range(1, LOOK_BACK_DAYS + 1))]
        days = {day_of(begin_s): begin_s for begin_s in begins_s}
        row = tables.NightReportRow
        with self._database.read() as session:
            first_s, last_s = _first_group_s(session), session.scalar(select(func.max(tables.Group.reference_s)))
            if first_s is None or last_s is None:
                return ()
            written = set(session.scalars(select(row.day).where(row.day.in_(days))))
        return tuple(
            day
            for day, begin_s in days.items()
            if first_s - DAY_S < begin_s <= last_s + LOOK_BACK_DAYS * DAY_S and day not in written
        )

    def record_report(self, day: str, path: str, line: str) -> bool:
        """Record that the report of a day is written, with an event that goes to every recipient of notifications.

        Parameters
        ----------
        day : as 2026-02-22.
        path : of the report.
        line : the night in one line, for the event.

        Returns
        -------
        False, and nothing is recorded, when that was recorded before.
        """
        now, row = self._database.clock(), tables.NightReportRow
        try:
            with self._database.write() as session:
                if session.get(row, day) is not None:
                    return False
                session.add(row(day=day, path=path, written_at=now))
                session.flush()
                record_event(session, now, RULE_LEVELS["night"], None, line, "night")
        except IntegrityError:  # another process was first, at the same moment
            return False
        return True

    def add_note(self, day: str, text: str, by: str) -> NightNote:
        """Add a note of an observer to a night.

        Parameters
        ----------
        day : as 2026-02-22.
        text : the note.
        by : who writes it.

        Raises
        ------
        BadInput : it is no day, or the note is empty or longer than 2000 characters.
        """
        day_limits(day)
        note, now = mask_secrets(" ".join(text.split())), self._database.clock()
        if not 0 < len(note) <= MAX_NOTE_LENGTH:
            raise BadInput(f"note of {len(note)} characters: must have 1 to {MAX_NOTE_LENGTH}")
        with self._database.write() as session:
            row = tables.NightNoteRow(day=day, at=now, name=by, text=note)
            session.add(row)
            session.flush()
            return record_of(NightNote, row)


def _read_notes(session: Session, day: str) -> tuple[NightNote, ...]:
    row = tables.NightNoteRow
    query = select(row).where(row.day == day).order_by(row.id)
    return tuple(record_of(NightNote, note) for note in session.scalars(query))


def _first_group_s(session: Session) -> float | None:
    return session.scalar(select(func.min(tables.Group.reference_s)))


def _summarise(session: Session, since_s: float, until_s: float, now: float) -> tuple[NightSummary, ...]:
    """Every night from the beginning of a day to the end of another."""
    first_s = _first_group_s(session)
    number = round((until_s - since_s) / DAY_S)
    limits = {day_of(begin_s): begin_s for begin_s in (since_s + index * DAY_S for index in range(number))}
    arrived, partial = _count_groups(session, since_s, until_s)
    failed = _count_failed(session, since_s, until_s)
    images = _read_images(session, since_s, until_s)
    mosaics, good_mosaics = _count_mosaics(session, since_s, until_s)
    quarantined = _count_quarantined(session, since_s, until_s)
    antennas, alerts = _count_antennas(session, limits), _count_alerts(session, limits)
    notes, written = _read_reports(session, limits)
    summaries = []
    for day, begin_s in limits.items():
        observed_s = min(begin_s + DAY_S, now) - max(begin_s, now if first_s is None else first_s)
        of_day = images.get(day, _ImageNumbers())
        summaries.append(
            NightSummary(
                day=day, expected_tiles=max(0, round(observed_s / CADENCE_S)), arrived_tiles=arrived[day],
                partial_tiles=partial[day], failed_tiles=failed[day], imaged_tiles=of_day.grades.total(),
                grades={grade: of_day.grades[grade] for grade in (*GRADES, UNGRADED)},
                noise_ratio=of_day.noise_ratio, flux_ratio=of_day.flux_ratio, offset_arcsec=of_day.offset_arcsec,
                mosaics=mosaics[day], good_mosaics=good_mosaics[day], quarantined_files=quarantined[day],
                antennas_down=antennas[day], alerts=alerts[day], note_count=notes[day],
                report_written_at=written.get(day),
            )
        )  # fmt: skip
    return tuple(summaries)


def _day_number(column: Any) -> Any:
    """The number of the day of a time in a query."""
    return cast(func.floor(column / DAY_S), Integer)


def _by_day(rows: Iterable[Any]) -> Counter[str]:
    """Counts by day of rows of a day's number and a count."""
    counts: Counter[str] = Counter()
    for number, count in rows:
        counts[day_of(number * DAY_S)] += count
    return counts


def _count_groups(session: Session, since_s: float, until_s: float) -> tuple[Counter[str], Counter[str]]:
    """Groups, and partial ones, by day; each kind along the index of both columns."""
    group = tables.Group
    number = _day_number(group.reference_s)
    kinds = []
    for is_partial in (False, True):
        of_span = (group.partial == is_partial, group.reference_s >= since_s, group.reference_s < until_s)
        query = select(number, func.count()).where(*of_span).group_by(number)
        kinds.append(_by_day(session.execute(query)))
    return kinds[0] + kinds[1], kinds[1]


def _count_failed(session: Session, since_s: float, until_s: float) -> Counter[str]:
    job = tables.Job
    number = _day_number(job.reference_s)
    of_span = (job.state == State.FAILED, job.reference_s >= since_s, job.reference_s < until_s)
    query = select(number, func.count()).where(*of_span, job.kind == TILE.name, job.processing == LIVE)
    return _by_day(session.execute(query.group_by(number)))


@dataclass(frozen=True)
class _ImageNumbers:
    """Images of a day: their number by grade, and medians."""

    grades: Counter[str] = field(default_factory=Counter)
    noise_ratio: float | None = None
    flux_ratio: float | None = None
    offset_arcsec: float | None = None


def _read_images(session: Session, since_s: float, until_s: float) -> Mapping[str, _ImageNumbers]:
    """Numbers of the images by day, from one index alone; a year has a hundred thousand."""
    image: Any = tables.Image
    query = (
        select(
            func.substr(image.group_id, 1, 10), image.verdict,
            image.rms_jy / func.nullif(image.expected_rms_jy, 0.0), image.catalogue_flux_ratio,
            image.catalogue_offset_arcsec,
        )
        .where(*images_of(since_s, until_s))
        .order_by(image.group_id)
    )  # fmt: skip
    rows = session.connection().execute(query).all()  # without the session, which takes twice as long
    if not rows:
        return {}
    days, grades, *columns = zip(*rows, strict=True)
    numbers = np.array(columns, dtype=float)  # None becomes NaN
    starts = [index for index in range(len(days)) if index == 0 or days[index] != days[index - 1]]
    by_day = {}
    for first, after in pairwise([*starts, len(days)]):
        of_day = Counter(grade or UNGRADED for grade in grades[first:after])
        by_day[days[first]] = _ImageNumbers(of_day, *map(_median, numbers[:, first:after]))
    return by_day


def _median(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else None


def _count_mosaics(session: Session, since_s: float, until_s: float) -> tuple[Counter[str], Counter[str]]:
    """Mosaics, and good ones, by the day in which their window begins."""
    row = tables.MosaicRow
    number = _day_number(row.reference_s)
    of_span = (row.processing == LIVE, row.reference_s >= since_s, row.reference_s < until_s)
    query = select(number, row.verdict, func.count()).where(*of_span).group_by(number, row.verdict)
    rows = session.execute(query).all()
    every = _by_day((number, count) for number, _, count in rows)
    return every, _by_day((number, count) for number, grade, count in rows if grade == GOOD)


def _count_quarantined(session: Session, since_s: float, until_s: float) -> Counter[str]:
    file = tables.SubbandFileRow
    time_s = func.coalesce(file.time_s, file.arrived_at)
    number = _day_number(time_s)
    of_span = (file.state == FileState.QUARANTINED, time_s >= since_s, time_s < until_s)
    return _by_day(session.execute(select(number, func.count()).where(*of_span).group_by(number)))


def _count_antennas(session: Session, limits: Mapping[str, float]) -> Counter[str]:
    """Antennas with an outage, by day."""
    row = tables.AntennaOutage
    since_mjd, until_mjd = unix_to_mjd(min(limits.values())), unix_to_mjd(max(limits.values()) + DAY_S)
    overlapping = (row.began_mjd < until_mjd, or_(row.ended_mjd.is_(None), row.ended_mjd >= since_mjd))
    spans = session.execute(select(row.antenna, row.began_mjd, row.ended_mjd).where(*overlapping)).all()
    pairs = {
        (day, antenna)
        for antenna, began_mjd, ended_mjd in spans
        for day in _days_of(limits, began_mjd, ended_mjd, since_mjd)
    }
    return Counter(day for day, _ in pairs)


def _days_of(limits: Mapping[str, float], began_mjd: float, ended_mjd: float | None, since_mjd: float) -> Sequence[str]:
    days = list(limits)
    first = max(0, int(began_mjd - since_mjd))
    last = len(days) - 1 if ended_mjd is None else int(ended_mjd - since_mjd)
    return days[first : last + 1]


def _count_alerts(session: Session, limits: Mapping[str, float]) -> Counter[str]:
    row = tables.Alert
    since_s, until_s = min(limits.values()), max(limits.values()) + DAY_S
    overlapping = (row.began_at < until_s, or_(row.ended_at.is_(None), row.ended_at >= since_s))
    counts: Counter[str] = Counter()
    for began_at, ended_at in session.execute(select(row.began_at, row.ended_at).where(*overlapping)):
        ended_mjd = None if ended_at is None else unix_to_mjd(ended_at)
        counts.update(_days_of(limits, unix_to_mjd(began_at), ended_mjd, unix_to_mjd(since_s)))
    return counts


def _read_reports(session: Session, limits: Mapping[str, float]) -> tuple[Counter[str], Mapping[str, float]]:
    """The number of notes, and when the report was written, by day."""
    note, report = tables.NightNoteRow, tables.NightReportRow
    first, last = min(limits), max(limits)
    counted = select(note.day, func.count()).where(note.day >= first, note.day <= last).group_by(note.day)
    written = select(report.day, report.written_at).where(report.day >= first, report.day <= last)
    notes = Counter({day: count for day, count in session.execute(counted)})
    return notes, {day: written_at for day, written_at in session.execute(written)}
