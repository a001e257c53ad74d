"""The parts of one night that its summary does not have: queries over the rows of one day."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from contimg.common.units import format_utc
from contimg.instrument.dsa110 import CADENCE_S
from contimg.instrument.time import mjd_to_unix, unix_to_mjd
from contimg.store import tables
from contimg.store.epochs.mosaics import read_calendar
from contimg.store.files.groups import FileState
from contimg.store.jobs.kinds import LIVE, TILE
from contimg.store.jobs.records import Outcome
from contimg.store.products.interference import read_mean_interference
from contimg.store.survey.nights.records import (
    AntennaDown,
    CalibrationUse,
    Gap,
    NightAction,
    NightAlert,
    NightEpoch,
    NightImage,
    NightLatency,
    QuarantinedFile,
    SolvedSet,
    Spread,
    SubbandCount,
    rank,
)
from contimg.store.tables import record_of

LISTED_FILES = 100
Span = tuple[float, float]


def read_detail(session: Session, day_s: Span, observed_s: Span, expected_subbands: int) -> dict[str, Any]:
    """Read the fields of `Night` that its summary lacks, but for its notes and its report.

    Parameters
    ----------
    session : of the caller's transaction.
    day_s : beginning and end of the day, epoch seconds.
    observed_s : the part of it in which tiles are expected.
    expected_subbands : of a complete group.
    """
    images = _read_images(session, day_s)
    return {
        **_read_tiles(session, day_s, observed_s, expected_subbands),
        **_read_quarantined(session, day_s),
        "states": _count_states(session, day_s),
        "calibrated_by": _read_calibration(session, day_s),
        "solved_sets": _read_solved_sets(session, day_s),
        "images": images,
        "epochs": tuple(
            NightEpoch(epoch.id, str(epoch.state), epoch.grade, epoch.tile_count)
            for epoch in read_calendar(session, *day_s)
        ),
        "rms_jy": Spread.of([image.rms_jy for image in images]),
        "noise_ratios": Spread.of([image.noise_ratio for image in images]),
        "history_ratios": Spread.of([image.history_ratio for image in images]),
        "flux_ratios": Spread.of([image.flux_ratio for image in images]),
        "offsets_east_arcsec": Spread.of([image.offset_east_arcsec for image in images]),
        "offsets_north_arcsec": Spread.of([image.offset_north_arcsec for image in images]),
        "outages": _read_outages(session, day_s, observed_s[1]),
        "interference": read_mean_interference(session, *day_s),
        "latency": _read_latency(session, day_s),
        "alert_list": _read_alerts(session, day_s),
        "actions": _read_actions(session, day_s),
    }


def _read_tiles(session: Session, day_s: Span, observed_s: Span, expected_subbands: int) -> dict[str, Any]:
    """Groups by completeness, the subbands that they lack, and the gaps between them."""
    group, file = tables.Group, tables.SubbandFileRow
    of_day = (group.reference_s >= day_s[0], group.reference_s < day_s[1])
    rows = session.execute(select(group.id, group.reference_s, group.partial).where(*of_day)).all()
    usable = (file.state != FileState.QUARANTINED, file.subband.is_not(None))
    files = select(group.id, file.subband).join(file, file.group_id == group.id).where(*of_day, *usable)
    subbands: dict[str, set[int]] = defaultdict(set)
    for group_id, subband in session.execute(files):
        subbands[group_id].add(subband or 0)
    expected = range(expected_subbands)
    lacking = Counter(number for row in rows for number in expected if number not in subbands[row.id])
    whole = sum(not row.partial and len(subbands[row.id]) >= expected_subbands for row in rows)
    partial = sum(row.partial for row in rows)
    return {
        "complete_tiles": whole,
        "incomplete_tiles": len(rows) - whole - partial,
        "missing_by_subband": tuple(SubbandCount(number, lacking[number]) for number in sorted(lacking)),
        "gaps": _find_gaps(sorted(row.reference_s for row in rows), observed_s, _read_maintenance(session, day_s)),
    }


def _find_gaps(times_s: Sequence[float], observed_s: Span, windows: Sequence[tables.Silence]) -> tuple[Gap, ...]:
    """Times between tiles, and before and after them, in which at least one more would fit."""
    since_s, until_s = observed_s
    edges = [since_s - CADENCE_S, *times_s, until_s]
    gaps = []
    for index, (before_s, after_s) in enumerate(pairwise(edges)):
        is_at_edge = index == 0 or index == len(edges) - 2
        steps = (after_s - before_s) / CADENCE_S
        missing = (int(steps) if is_at_edge else round(steps)) - 1
        if missing > 0:
            began_s = max(since_s, before_s)
            reason = next((row.reason for row in windows if row.begins_at < after_s and row.ends_at > began_s), None)
            gaps.append(Gap(began_s, after_s, missing, reason))
    return tuple(gaps)


def _read_maintenance(session: Session, day_s: Span) -> Sequence[tables.Silence]:
    row = tables.Silence
    within = (row.rule.is_(None), row.begins_at < day_s[1], row.ends_at >= day_s[0])
    return session.scalars(select(row).where(*within).order_by(row.begins_at)).all()


def _read_quarantined(session: Session, day_s: Span) -> dict[str, Any]:
    file = tables.SubbandFileRow
    time_s = func.coalesce(file.time_s, file.arrived_at)
    of_day = (file.state == FileState.QUARANTINED, time_s >= day_s[0], time_s < day_s[1])
    rows = session.execute(select(file.path, file.group_id, file.reason).where(*of_day)).all()
    files = sorted((Path(path).name, group, reason) for path, group, reason in rows)
    return {
        "quarantined_tiles": len({group for _, group, _ in files if group}),
        "quarantined": tuple(QuarantinedFile(*file) for file in files[:LISTED_FILES]),
    }


def _count_states(session: Session, day_s: Span) -> Mapping[str, int]:
    job = tables.Job
    query = select(job.state, func.count()).where(*_tiles_of(day_s)).group_by(job.state).order_by(job.state)
    return {state: number for state, number in session.execute(query)}


def _tiles_of(day_s: Span) -> tuple[Any, ...]:
    job = tables.Job
    live = (job.kind == TILE.name, job.processing == LIVE)
    return (job.reference_s >= day_s[0], job.reference_s < day_s[1], *live)


def images_of(since_s: float, until_s: float) -> tuple[Any, ...]:
    """The conditions of the live images of a span of days, along the index of nights.

    Parameters
    ----------
    since_s, until_s : beginnings of days, epoch seconds; the second is excluded.
    """
    image = tables.Image
    since, until = (format_utc(time_s, "%Y-%m-%d") for time_s in (since_s, until_s))
    # An expression: SQLite would look up the processing alone, in the index of grades.
    return image.processing + "" == LIVE, image.group_id >= since, image.group_id < until


def _read_images(session: Session, day_s: Span) -> tuple[NightImage, ...]:
    image: Any = tables.Image
    query = select(
        image.id, image.group_id, image.mjd, image.verdict, image.rms_jy, image.expected_rms_jy, image.history_rms_jy,
        image.catalogue_flux_ratio, image.catalogue_offset_arcsec, image.catalogue_offset_east_arcsec,
        image.catalogue_offset_north_arcsec,
    ).where(*images_of(*day_s))  # fmt: skip
    return tuple(NightImage(*row) for row in session.execute(query.order_by(image.group_id)))


def _read_calibration(session: Session, day_s: Span) -> tuple[CalibrationUse, ...]:
    image = tables.Image
    kinds = (image.calibration_set, image.calibration_class, image.calibration_grade)
    query = select(*kinds, func.count()).where(*images_of(*day_s)).group_by(*kinds)
    uses = [CalibrationUse(*row) for row in session.execute(query)]
    return tuple(sorted(uses, key=lambda use: (-use.tiles, use.calibration_set or "", use.calibration_class or "")))


def _read_solved_sets(session: Session, day_s: Span) -> tuple[SolvedSet, ...]:
    row = tables.CalibrationTable
    since_mjd, until_mjd = map(unix_to_mjd, day_s)
    of_day = (row.mjd >= since_mjd, row.mjd < until_mjd, row.processing == LIVE, row.job_id.is_not(None))
    query = select(row.set_name, row.calibrator, row.grade, row.mjd).where(*of_day).order_by(row.mjd, row.id)
    return tuple(dict.fromkeys(SolvedSet(*names) for *names, _ in session.execute(query)))


def _read_outages(session: Session, day_s: Span, until_s: float) -> tuple[AntennaDown, ...]:
    row = tables.AntennaOutage
    since_mjd, until_mjd = map(unix_to_mjd, day_s)
    within = (row.began_mjd < until_mjd, or_(row.ended_mjd.is_(None), row.ended_mjd >= since_mjd))
    outages = []
    for outage in session.scalars(select(row).where(*within)):
        began_s = mjd_to_unix(outage.began_mjd)
        ended_s = None if outage.ended_mjd is None else mjd_to_unix(outage.ended_mjd)
        end_s = until_s if ended_s is None else min(ended_s, until_s)
        down_s = max(0.0, end_s - max(began_s, day_s[0]))
        outages.append(AntennaDown(outage.antenna, outage.state, outage.reason, began_s, ended_s, down_s))
    return tuple(sorted(outages, key=lambda outage: (-outage.down_s, outage.antenna)))


def _read_latency(session: Session, day_s: Span) -> NightLatency | None:
    """The latency of tiles whose stages ran once: a retried or reprocessed tile has other runs too."""
    job, file, run = tables.Job, tables.SubbandFileRow, tables.StageRun
    of_day = (*_tiles_of(day_s), job.completed_at.is_not(None))
    repeated = select(run.job_id).join(job, job.id == run.job_id).where(*of_day, run.outcome != Outcome.COMMITTED)
    last_files = (
        select(job.id, job.completed_at, func.max(file.arrived_at))
        .join(file, file.group_id == job.key)
        .where(*of_day, file.state != FileState.QUARANTINED)
        .group_by(job.id, job.completed_at)
    )
    excluded = set(session.scalars(repeated))
    rows: list[Any] = list(session.execute(last_files))
    seconds = sorted(done_s - arrived_s for job_id, done_s, arrived_s in rows if job_id not in excluded)
    if not seconds:
        return None
    p90_s, p95_s, p99_s = (rank(seconds, part) for part in (0.9, 0.95, 0.99))
    return NightLatency(len(seconds), median(seconds), p90_s, p95_s, p99_s, seconds[-1])


def _read_alerts(session: Session, day_s: Span) -> tuple[NightAlert, ...]:
    row = tables.Alert
    within = (row.began_at < day_s[1], or_(row.ended_at.is_(None), row.ended_at >= day_s[0]))
    return tuple(record_of(NightAlert, alert) for alert in session.scalars(select(row).where(*within).order_by(row.id)))


def _read_actions(session: Session, day_s: Span) -> tuple[NightAction, ...]:
    event = tables.Event
    of_day = (event.at >= day_s[0], event.at < day_s[1], event.author.is_not(None))
    return tuple(
        record_of(NightAction, row) for row in session.scalars(select(event).where(*of_day).order_by(event.id))
    )
