"""Nights in a store, written as rows: a tile each 309 s, with some failed, partial, quarantined and uncalibrated."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sqlalchemy import Table, insert

from contimg.common.units import format_utc
from contimg.instrument.dsa110 import CADENCE_S
from contimg.instrument.time import DAY_S, unix_to_mjd
from contimg.store import Store, tables

FIRST_S = 1_771_718_400.0  # 2026-02-22
LATENCY_S = 70.0
EPOCHS = 48
_ROWS = 2000  # of an insertion


def fill_nights(store: Store, days: int, *, files: bool = True, since_s: float = FIRST_S, gap: bool = True) -> int:
    """Write days of tiles from `since_s` on, and return the number of groups.

    Without `files` a tile has no file and no run, as a long span needs for its summary. A day begins with ten tiles
    without calibration; its last hour has none at all if `gap`.
    """
    random = np.random.default_rng(1)
    rows: dict[Any, list[dict[str, Any]]] = {
        table.__table__: []
        for table in (tables.Group, tables.Job, tables.SubbandFileRow, tables.StageRun, tables.Image, tables.MosaicRow)
    }
    groups = 0
    with store.database.engine.begin() as connection:
        for day in range(days):
            begin_s = since_s + day * DAY_S
            times_s = np.arange(begin_s, begin_s + DAY_S - (3600 if gap else 0), CADENCE_S)
            for index, time_s in enumerate(times_s):
                for table, row in _tile(groups, index, float(time_s), files, random):
                    rows[table].append(row)
                groups += 1
            for index in range(EPOCHS):
                for table, row in _epoch(day, index, begin_s + index * DAY_S / EPOCHS):
                    rows[table].append(row)
            if len(rows[tables.Group.__table__]) > _ROWS or day == days - 1:
                for table, values in rows.items():
                    if values:
                        connection.execute(insert(table), values)
                    values.clear()
    return groups


def _tile(
    number: int, index: int, time_s: float, files: bool, random: Any
) -> Iterator[tuple[Table | Any, dict[str, Any]]]:
    group, job_id = format_utc(time_s, "%Y-%m-%dT%H:%M:%S"), number + 1
    is_partial, is_failed = index % 50 == 7, index % 100 == 33
    done_s = time_s + 400.0 + LATENCY_S + index % 10
    yield tables.Group.__table__, {
        "id": group, "reference_s": time_s, "echo": False, "partial": is_partial, "collecting_since": time_s,
        "created_at": time_s + 320,
    }  # fmt: skip
    yield tables.Job.__table__, {
        "id": job_id, "kind": "tile", "key": group, "processing": "live", "priority": 6, "reference_s": time_s,
        "state": "failed" if is_failed else "completed", "stage": "image", "attempts": 1, "fence": 3,
        "created_at": time_s + 320, "updated_at": done_s, "completed_at": None if is_failed else done_s,
        "error": "no live antenna" if is_failed else None,
    }  # fmt: skip
    for subband in range(16) if files else ():
        if is_partial and subband in (3, index // 50 % 16):
            continue
        is_bad = is_failed and subband == 5
        yield tables.SubbandFileRow.__table__, {
            "path": f"/incoming/{group}_sb{subband:02d}.hdf5", "group_id": group, "subband": subband, "time_s": time_s,
            "size": 100, "mtime": time_s, "arrived_at": time_s + 400, "discarded_at": None,
            "state": "quarantined" if is_bad else "present", "reason": "truncated: 12 of 100 bytes" if is_bad else None,
        }  # fmt: skip
    if files:
        yield tables.StageRun.__table__, {
            "job_id": job_id, "processing": "live", "stage": "convert", "attempt": 1, "fence": 1, "owner": "host:1",
            "started_at": time_s + 401, "ended_at": time_s + 410, "seconds": 9.0,
            "outcome": "expired" if index % 40 == 1 else "committed",
        }  # fmt: skip
    if not is_failed:
        yield tables.Image.__table__, _image(group, job_id, index, time_s, random)


def _image(group: str, job_id: int, index: int, time_s: float, random: Any) -> dict[str, Any]:
    is_calibrated = index >= 10
    grade = "suspect" if not is_calibrated else "bad" if index % 60 == 59 else "good"
    noise = float(random.uniform(1.1, 1.6)) * (1 if is_calibrated else 9)
    offset = random.normal(0, 0.7, 2) if is_calibrated else None
    return {
        "job_id": job_id, "processing": "live", "group_id": group, "ra_deg": 24.4, "dec_deg": 16.3,
        "fits_path": f"/products/images/{group}.fits", "rms_jy": 0.001 * noise, "expected_rms_jy": 0.001,
        "history_rms_jy": 0.0013 if is_calibrated else None, "peak_jy": 0.5, "dynamic_range": 300.0,
        "beam_major_arcsec": 20.0, "beam_minor_arcsec": 15.0, "beam_angle_deg": 0.0,
        "mjd": unix_to_mjd(time_s + CADENCE_S / 2), "freq_hz": 1.405e9, "pixels": 2400, "cell_arcsec": 3.0,
        "sources": [{"name": "J013741.3+330935", "flux_jy": 0.3}] * 20, "verdict": grade, "verdict_reasons": [],
        "calibration_set": "2026-02-22T01:35:20" if is_calibrated else None,
        "calibration_class": "same day" if is_calibrated else "none",
        "calibration_grade": "good" if is_calibrated else "bad",
        "catalogue_flux_ratio": float(random.normal(0.98, 0.03)) if is_calibrated else None,
        "catalogue_offset_arcsec": None if offset is None else float(np.hypot(*offset)),
        "catalogue_offset_east_arcsec": None if offset is None else float(offset[0]),
        "catalogue_offset_north_arcsec": None if offset is None else float(offset[1]),
        "catalogue_offset_field": [], "catalogue_flux_by_snr": [], "catalogue_flux_by_radius": [],
        "catalogue_completeness_by_flux": [], "subtracted_sources": [], "missing_subbands": [],
        "created_at": time_s + 470,
    }  # fmt: skip


def _epoch(day: int, index: int, time_s: float) -> Iterator[tuple[Table | Any, dict[str, Any]]]:
    job_id = 10_000_000 + day * EPOCHS + index
    key = f"{format_utc(time_s, '%Y-%m-%d')}_L{index // 2:02d}{index % 2 * 30:02d}_D+163"
    yield tables.Job.__table__, {
        "id": job_id, "kind": "epoch", "key": key, "processing": "live", "priority": 6, "reference_s": time_s,
        "state": "completed", "stage": "measure", "attempts": 1, "fence": 1, "created_at": time_s,
        "updated_at": time_s + 4000, "completed_at": time_s + 4000, "error": None,
    }  # fmt: skip
    yield tables.MosaicRow.__table__, {
        "job_id": job_id, "processing": "live", "epoch": key, "strip": 163, "reference_s": time_s, "rms_jy": 0.0005,
        "verdict": "suspect" if index % 12 == 5 else "good", "record": {"name": key}, "created_at": time_s + 4000,
    }  # fmt: skip
