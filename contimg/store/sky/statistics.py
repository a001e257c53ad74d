"""Statistics of sources, from their counted measurements alone.

A measurement at the end of a light curve is added to the running sums; one before the end, or one that is taken away,
makes the sums of its source be computed again.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from contimg.sky.variability.statistics import FluxSums
from contimg.store import tables
from contimg.store.sky.identification import chunks
from contimg.store.sky.rows import COLUMNS, Keys, make_points, read_epochs, read_rows, split_keys
from contimg.store.sky.sums import POINT, SUMS_BYTES, Points, RunningStatistics, unpack


def update_statistics(session: Session, processing: str, changed: Keys, points: Points) -> None:
    """Update the statistics of sources whose counted measurement of a day may have changed.

    Parameters
    ----------
    session : of the caller's transaction, which has written the measurements.
    processing : of the measurements.
    changed : of `keys_of`, each once.
    points : the counted measurements of these sources and days, ordered by source; none where no measurement counts.
    """
    table = tables.SourceStatistics
    ids, days_changed = np.unique(split_keys(changed)[0], return_counts=True)
    states = _read_states(session, processing, ids.tolist())
    index_of = {number: index for index, number in enumerate(points["source_id"].tolist())}
    first, following, again = [], [], []
    for number, days in zip(ids.tolist(), days_changed.tolist(), strict=True):
        state, index = states.get(number), index_of.get(number)
        if days > 1 or index is None:
            again.append(number)
        elif state is None:
            first.append(index)
        elif points["day"][index] >= state.last_day and len(state.sums) == SUMS_BYTES:
            following.append(index)
        else:
            again.append(number)
    rows = RunningStatistics.of(points[first]).rows(processing)
    before = _state([states[number] for number in points["source_id"][following].tolist()])
    rows += before.followed_by(points[following]).rows(processing)
    rows += recompute(session, processing, again)
    for part in chunks(list(states)):
        session.execute(delete(table).where(table.processing == processing, table.source_id.in_(part)))
    if rows:
        session.execute(insert(table.__table__), rows)  # type: ignore[arg-type]


def recompute(session: Session, processing: str, source_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return the rows of the statistics of sources from all their counted measurements.

    Parameters
    ----------
    session : of the caller's transaction.
    processing : of the measurements.
    source_ids : numbers of the sources; one without a counted measurement has no row.
    """
    table, epoch = tables.Measurement, tables.MeasuredEpoch
    rows: list[dict[str, Any]] = []
    for part in chunks(source_ids):
        query = select(*COLUMNS).join(epoch, epoch.id == table.epoch_id)
        is_counted = table.is_counted & (epoch.processing == processing)
        counted = read_rows(session, query.where(table.source_id.in_(part), is_counted))
        rows += RunningStatistics.of(make_points(counted, read_epochs(session, counted))).rows(processing)
    return rows


def read_sums(session: Session, source_ids: Sequence[int], processing: str) -> FluxSums:
    """Return the sums of sources over all counted measurements; empty ones of a source without any.

    Parameters
    ----------
    session : of the caller's transaction.
    source_ids : numbers of the sources.
    processing : of the measurements.
    """
    states = _read_states(session, processing, source_ids)
    numbers = [number for number in source_ids if number in states]
    stored = _state([states[number] for number in numbers]).sums
    index_of = {number: index for index, number in enumerate(numbers)}
    index = np.array([index_of.get(number, -1) for number in source_ids], dtype=np.int64)
    empty = FluxSums.empty(1)
    return FluxSums(**{
        field.name: np.append(getattr(stored, field.name), getattr(empty, field.name))[index]
        for field in fields(FluxSums)
    })  # fmt: skip


def _read_states(session: Session, processing: str, source_ids: Sequence[int]) -> dict[int, Any]:
    """Running sums and last measurement of the sources that have any, by number."""
    table = tables.SourceStatistics
    query = select(table.source_id, table.last_day, table.last_jy, table.last_error_jy, table.last_mjd, table.sums)
    of_processing = query.where(table.processing == processing)
    return {
        row.source_id: row
        for part in chunks(source_ids)
        for row in session.execute(of_processing.where(table.source_id.in_(part)))
    }


def _state(states: Sequence[Any]) -> RunningStatistics:
    """Running statistics of rows."""
    last = [(row.source_id, row.last_day, row.last_jy, row.last_error_jy, row.last_mjd) for row in states]
    return RunningStatistics(unpack(row.sums for row in states), np.array(last, dtype=POINT))
